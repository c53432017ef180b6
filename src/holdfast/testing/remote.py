"""A test's server in a process of an environment of its own, so that the tested program's need not have the server's packages.

The process is `holdfast test-server` (command.py): a line of JSON on its standard input is a request, one on its standard output the answer. It ends when
its standard input does, so also when the tests are killed. One serves all tests of a run, each with a server of its own.
"""

import contextlib
import shlex
import subprocess
import tempfile
from collections.abc import Sequence
from typing import Any, Self

import msgspec

from holdfast.client import Client
from holdfast.testing.server import CALL_S, TestServer

_END_S = 30.0


class Command:
    """The process, such as of `uvx --from 'holdfast-queue[server]' holdfast`. Raises `RuntimeError` if it is no Holdfast with a server."""

    def __init__(self, command: str | Sequence[str]) -> None:
        self._command = [*(shlex.split(command) if isinstance(command, str) else command), "test-server"]
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (as long as the process)
        try:
            self._process = subprocess.Popen(  # noqa: S603  (the command of whoever runs the tests)
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said
            )
        except OSError as error:
            raise RuntimeError(f"{shlex.join(self._command)} can't be started: {error.strerror or error}") from error
        self.version = self._heard()["holdfast"]

    def ask(self, what: str, **given: Any) -> Any:
        """The answer to a request."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # then there is no answer
            self._process.stdin.write(msgspec.json.encode({"do": what, **given}) + b"\n")
            self._process.stdin.flush()
        return self._heard()

    def _heard(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        try:
            answer = msgspec.json.decode(line)
        except msgspec.DecodeError:
            self._process.kill()
            self._process.wait()
            self._said.seek(0)
            said = (line + self._process.stdout.read() + self._said.read())[-2_000:].decode(errors="replace").strip()
            raise RuntimeError(f"{shlex.join(self._command)} is no server for tests; it said: {said or 'nothing'}") from None
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()


class RemoteServer(TestServer):
    """A server for one test, in the process of a command. Settings are those of `holdfast serve`."""

    def __init__(self, command: Command, **settings: Any) -> None:
        self._command = command
        self._settings = settings

    def start(self) -> Self:
        """Serve."""
        self.url = self._command.ask("start", settings=self._settings)["url"]
        self.client = Client(self.url, token="", deadline_s=CALL_S)
        return self

    def stop(self) -> None:
        """Stop, and discard everything."""
        self.client.close()
        self._command.ask("stop")

    def _now_ms(self) -> int:
        now: int = self._command.ask("now")["now_ms"]
        return now

    def _advance(self, ms: int) -> None:
        self._command.ask("advance", ms=ms)
