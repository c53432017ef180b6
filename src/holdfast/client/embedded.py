"""A server as a child of this program, for development and tests: `holdfast.embedded("jobs.db")`.

It is the real server, in one process, of this environment or of another one's command. Its standard input is a pipe from here, and it ends when that does: at the end of the block,
and when this program is killed. The file may be served by `holdfast serve` afterwards.
"""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast.client.aio.client import AsyncClient
from holdfast.client.sync.client import Client

_START_S = 60.0
_END_S = 60.0
_ENDS_BY_ITSELF_S = 5.0  # whose output is at its end
_URL = "HOLDFAST_URL"
Setting = str | int | bool


class EmbeddedServer:
    """The server. `url` is its base URL once it serves, and so is `HOLDFAST_URL` of this process until it is stopped, unless `set_url` is False."""

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        command: str | Sequence[str] | None,
        set_url: bool,
        settings: dict[str, Setting],
    ) -> None:
        store = "memory" if path is None else f"sqlite:///{Path(path).absolute()}"
        program = shlex.split(command) if isinstance(command, str) else command or [sys.executable, "-m", "holdfast"]
        given: dict[str, Setting] = {"port": 0, "store": store, "linger_s": 0, "log_level": "warning", **settings}
        if not command and not str(given["store"]).startswith(
            "postgres"
        ):  # another version's command may not know it, and a node is one process
            given.setdefault("fronts", 0)
        self._command = [*program, "serve", "--until-eof", *(_flag(name, value) for name, value in given.items())]
        self._set_url = set_url
        self._url_before: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> Self:
        """Serve. Raises `RuntimeError` if it does not start; why is on standard error."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
        try:
            process = self._process = subprocess.Popen(  # noqa: S603  (ours, or a command of the program's)
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the program, which ends it then
            )
        except OSError as error:
            raise RuntimeError(f"{shlex.join(self._command)} can't be started: {error.strerror or error}") from error
        giving_up = threading.Timer(_START_S, _kill, [process])
        giving_up.start()
        try:
            self.url = _address(process)
        finally:
            giving_up.cancel()
        if not self.url:
            self._process, ended = None, _ended(process)
            raise RuntimeError(f"the server did not start ({ended}); why is on standard error")
        if self._set_url:
            self._url_before, os.environ[_URL] = os.environ.get(_URL), self.url
        return self

    def end(self) -> None:
        """Have it end, without waiting for that."""
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def stop(self) -> None:
        """Have it answer what it has begun, and end."""
        self.end()
        process, self._process = self._process, None
        if process is None or process.stdout is None:
            return
        if self._set_url and os.environ.get(_URL) == self.url:
            os.environ.pop(_URL)
            if self._url_before is not None:
                os.environ[_URL] = self._url_before
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
        process.stdout.close()

    def wait(self) -> int:
        """Wait until it ends by itself; its exit code."""
        return 0 if self._process is None else self._process.wait()

    def client(self, **options: Any) -> Client:
        """A `Client` for it."""
        return Client(self.url, **options)

    def aclient(self, **options: Any) -> AsyncClient:
        """An `AsyncClient` for it."""
        return AsyncClient(self.url, **options)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)


def embedded(
    path: str | os.PathLike[str] | None = None,
    *,
    command: str | Sequence[str] | None = None,
    set_url: bool = True,
    **settings: Setting,
) -> EmbeddedServer:
    """A server of this program's own, for `with` or `async with`: with its jobs in this file, or in memory.

    `command`: a `holdfast` of another environment, such as `uvx --from 'holdfast-queue[server]' holdfast`. `set_url`: `HOLDFAST_URL` names it meanwhile, so that a
    `Client()` or `Tasks()` uses it. Settings are those of `holdfast serve`; the port is a free one.
    """
    return EmbeddedServer(path, command, set_url, settings)


def _address(process: "subprocess.Popen[bytes]") -> str:
    """The URL, once it says it; empty if it says none until it ends, or closes its output."""
    assert process.stdout is not None
    for line in process.stdout:
        _, found, rest = line.decode(errors="replace").partition(" on http")
        if found:
            return "http" + rest.split()[0]
    return ""


def _ended(process: "subprocess.Popen[bytes]") -> str:
    """How one ended that has said no address; it is ended, if it does not by itself."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    process.stdout.close()
    try:
        return f"exit code {process.wait(_ENDS_BY_ITSELF_S)}"
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()
        return "it closed its standard output and said no address"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """With whatever it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _flag(name: str, value: Setting) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag}={value}"
