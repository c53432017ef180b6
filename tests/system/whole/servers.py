"""Starts the real server as a user would, tells its processes apart, and knows when the last of them is gone.

All processes of one start share a session, so that they can be found and signalled as a whole, whoever their parent is by now. What they
say is read as it comes; only what can't be waited for is looked at again and again.
"""

import http.client
import io
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import httpx

from tests import prefork

WITHIN_S = 30.0
AFTERWARDS_S = 2.0
LOOK_S = 0.01  # between two looks at what can only be asked about: who is waited for needs the processor, too


class NotAsExpected(AssertionError):
    """The server did not do what every test relies on: start, say something, or end."""


class Output:
    """The lines of one pipe, as they come."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._reader.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                with self._news:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, text: str, count: int = 1) -> str:
        """The line with this text (the `count`-th such line), once it is there."""

        def found() -> list[str]:
            return [line for line in self.lines if text in line]

        with self._news:
            self._news.wait_for(lambda: len(found()) >= count or self._ended, WITHIN_S)
        if len(found()) < count:
            raise NotAsExpected(f"{text!r} was not said {count} times, but:\n{self.text}")
        return found()[count - 1]

    def wait_for_end(self) -> None:
        """Return when nobody holds the other end any more."""
        self._reader.join(WITHIN_S)
        if self._reader.is_alive():
            raise NotAsExpected(f"somebody still holds the pipe after {WITHIN_S:.0f} s; it said:\n{self.text}")

    def read_out(self) -> None:
        """Return when all is read that a process which has ended said; soon, if another one holds the other end still."""
        self._reader.join(AFTERWARDS_S)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)


class Server:
    """One `holdfast serve` in the folder `home`, with these options and variables, perhaps by way of a `wrapper` that becomes it.

    With a descriptor of one's own as `stderr`, what it says there is not read. `fresh`: by an interpreter of its own, as a user's is; see prefork.py.
    """

    def __init__(
        self,
        home: Path,
        *options: str,
        env: dict[str, str] | None = None,
        wrapper: tuple[str, ...] = (),
        stderr: int = subprocess.PIPE,
        fresh: bool = False,
    ) -> None:
        self.home = home
        self.options = options
        self.wrapper = wrapper
        self._stderr = stderr
        self._fresh = fresh
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | (env or {})
        self._pidfds: dict[int, int] = {}

    # Its life

    def launch(self) -> "Server":
        """Start it without waiting for anything."""
        self.home.mkdir(exist_ok=True)
        command = [*self.wrapper, sys.executable, "-m", "holdfast", "serve", "--port", "0", *self.options]
        self.process = prefork.start(
            command,
            fresh=self._fresh,
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.out, self.err = Output(self.process.stdout), Output(self.process.stderr or io.BytesIO())
        self.watch(self.process.pid)
        return self

    def start(self) -> "Server":
        """Start it and wait until it says where it is."""
        self.launch()
        try:
            self.out.wait_for("obs are kept")  # or: when something is mended, jobs are kept …
        except NotAsExpected as trouble:
            raise NotAsExpected(f"the server did not start: {trouble}\n{self.err.text}") from None
        for pid in self.pids():
            self.watch(pid)
        if "--fronts" in self.options:  # the first lines come when front 0 is there
            fronts = int(self.options[self.options.index("--fronts") + 1])
            with self.client(verify=False) as client:
                names = [str(number) for number in range(fronts)]
                until(
                    lambda: all(f'holdfast_waiters{{front="{name}"}}' in client.get("/metrics").text for name in names),
                    "all fronts",
                )
        return self

    def ended(self) -> int:
        """The exit code, once it has ended."""
        try:
            code = self.process.wait(WITHIN_S)
            self.err.read_out()
            self.out.read_out()
            return code
        except subprocess.TimeoutExpired:
            raise NotAsExpected(f"it still runs after {WITHIN_S:.0f} s; it said:\n{self.err.text}") from None

    def gone(self) -> None:
        """Return when no process of it is left, whoever its parent was; raise when one stays."""
        self.ended()
        self.err.wait_for_end()
        self.out.wait_for_end()
        for pid, pidfd in self._pidfds.items():
            readable, _, _ = select.select([pidfd], [], [], WITHIN_S)
            if not readable:
                raise NotAsExpected(f"process {pid} ({command_line(pid)}) outlived the server")
        left = self.pids()
        if left:
            raise NotAsExpected(f"left running: {[(pid, command_line(pid)) for pid in left]}")

    def destroy(self) -> None:
        """Kill whatever is left of it; for the end of a test."""
        self.kill_all()
        self.gone()
        for pidfd in self._pidfds.values():
            os.close(pidfd)
        self._pidfds.clear()

    # Its processes

    def watch(self, pid: int) -> None:
        """Have `gone` wait for this process too."""
        if pid not in self._pidfds:
            self._pidfds[pid] = os.pidfd_open(pid)

    def pids(self) -> list[int]:
        """Every live process of it."""
        return sorted(session_members(self.process.pid))

    @property
    def pid(self) -> int:
        """The process that was started: front 0."""
        return self.process.pid

    @property
    def keeper(self) -> int:
        """The process that owns the store."""
        alone = "--fronts" in self.options and self.options[self.options.index("--fronts") + 1] == "0"
        found = [self.pid] if alone else self._called("holdfast.keeper.main")
        if not found:
            raise NotAsExpected(f"there is no keeper: {[(pid, command_line(pid)) for pid in self.pids()]}")
        return found[0]

    def wait_for_keeper(self) -> int:
        """The keeper of a server that is starting, as soon as there is one."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(NotAsExpected):
                return self.keeper
            time.sleep(LOOK_S / 10)
        raise NotAsExpected(f"no keeper was started; the server said:\n{self.err.text}")

    @property
    def other_fronts(self) -> list[int]:
        """The fronts besides front 0."""
        return self._called("holdfast.server")

    def _called(self, module: str) -> list[int]:
        return [pid for pid in self.pids() if f" -m {module} " in command_line(pid)]

    def send(self, number: signal.Signals, *pids: int) -> None:
        """Send a signal to these processes, by default to the one that was started."""
        for pid in pids or (self.pid,):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_all(self) -> None:
        """SIGKILL to the whole group at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    # Talking to it

    @property
    def first_lines(self) -> list[str]:
        """What it said on its start."""
        return self.out.lines[:2]

    @property
    def url(self) -> str:
        """Where it said that it is, without its path prefix."""
        scheme, _, rest = self.out.lines[0].split(" on ")[1].partition("://")
        return f"{scheme}://{rest.split()[0].split('/')[0]}"

    @property
    def port(self) -> int:
        """The port that it took."""
        return int(self.url.rpartition(":")[2])

    def has_read_everything(self) -> None:
        """Return when what was sent before is on its way to the keeper. The event loop takes things in their order, so a few rounds of
        a call that needs no keeper, on a connection younger than all others, come after it."""
        with self.client() as client:
            for _ in range(3):
                assert client.get("/healthz").status_code == 200

    def client(self, **more: Any) -> httpx.Client:
        """A client of it; the environment's proxies are not asked."""
        return httpx.Client(base_url=self.url, trust_env=False, timeout=WITHIN_S, **more)


@contextmanager
def standing(server: Server, seconds: float | None = None) -> Iterator[None]:
    """All processes of the server stand still (SIGSTOP), until the block ends or for some seconds."""
    pids = server.pids()
    server.send(signal.SIGSTOP, *pids)
    again = threading.Timer(seconds or 0, server.send, (signal.SIGCONT, *pids))
    if seconds is not None:
        again.start()
    try:
        yield
    finally:
        again.cancel()
        server.send(signal.SIGCONT, *pids)


class Line:
    """One connection, kept open. What is sent is on its way at once; the answer can be waited for later."""

    def __init__(self, to: Server | str) -> None:
        url = to if isinstance(to, str) else to.url
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=WITHIN_S)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> "Line":
        """Send a request, its body as JSON."""
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        return self

    def answer(self) -> tuple[int, Any]:
        """Status and body of the answer; raises `OSError` or `HTTPException` where the connection broke."""
        response = self.connection.getresponse()
        self.headers = response.headers
        return response.status, json.loads(response.read() or b"null")

    @property
    def front(self) -> str:
        """Which front it leads to: the ids that a front gives to requests begin alike."""
        assert self.send("GET", "/healthz").answer()[0] == 200
        return str(self.headers["X-Request-Id"].rpartition("-")[0])


class Call(Line):
    """A request on a connection of its own."""

    def __init__(self, to: Server | str, method: str, path: str, body: Any = None, **headers: str) -> None:
        super().__init__(to)
        self.send(method, path, body, **headers)

    def answer(self) -> tuple[int, Any]:
        """Status and body, see `Line`."""
        try:
            return super().answer()
        finally:
            self.connection.close()


def until(true: Callable[[], bool], what: str, within_s: float = WITHIN_S) -> None:
    """Look until it is so; for what the server can only be asked about."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            raise NotAsExpected(f"not within {within_s:.0f} s: {what}")
        time.sleep(LOOK_S)


def again_until_it_ends(server: Server, tell: Callable[[Server], object] = lambda server: server.send(signal.SIGTERM)) -> None:
    """As somebody does it who waits for the end: signals that come together are one."""

    def ended() -> bool:
        with suppress(ProcessLookupError):
            tell(server)
        return server.process.poll() is not None

    until(ended, "it ends at once")


def session_members(session: int) -> Iterator[int]:
    """Live processes of a session; a zombie is not live."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, _, sid = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(sid) == session and state not in ("Z", "X"):
                    yield int(entry.name)


def command_line(pid: int) -> str:
    """The command of a process, empty once it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
