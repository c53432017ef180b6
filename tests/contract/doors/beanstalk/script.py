"""Both servers that the tests talk to, and a way to write down an exchange so that it is compared byte for byte with either.

A script is a list of steps (who, what is sent, what comes back). `<a>` stands for the id of a job: the first time it is met it is learned, and from
then on it is that number. `<#>` is any number. `{t}` is a tube that nobody else uses: every client uses and watches it, and it alone.
"""

import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.missing import missing
from tests.system.whole.servers import Server

WITHIN_S = 10.0
JOB_BYTES = 1 << 20
_MARK = re.compile(r"<(\w+|#)>")


class Client:
    """A connection that reads no further than it is asked to. With a tube, it uses and watches that one alone."""

    def __init__(self, port: int, tube: str | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b""
        if tube is not None:
            name = tube.encode()
            self.send(b"use %b\r\nwatch %b\r\nignore default\r\n" % (name, name))
            assert [self.line() for _ in range(3)] == [b"USING " + name, b"WATCHING 2", b"WATCHING 1"]

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def more(self) -> bool:
        """Read on; False at the end."""
        data = self.socket.recv(1 << 20)
        self.rest += data
        return bool(data)

    def line(self) -> bytes:
        """One reply line, without its end."""
        while b"\r\n" not in self.rest:
            assert self.more(), f"hung up after {self.rest!r}"
        line, _, self.rest = self.rest.partition(b"\r\n")
        return line

    def body(self, size: int) -> bytes:
        while len(self.rest) < size + 2:
            assert self.more(), f"hung up after {self.rest[:100]!r}"
        body, self.rest = self.rest[:size], self.rest[size + 2 :]
        return body

    def ask(self, data: bytes) -> bytes:
        """A command with a reply of one line."""
        return self.send(data).line()

    def page(self, data: bytes) -> dict[str, str]:
        """A command that is answered with names and values."""
        word, size = self.ask(data).split()
        assert word == b"OK"
        return dict(line.split(": ", 1) for line in self.body(int(size)).decode().splitlines()[1:])

    def put(self, body: bytes = b"x", pri: int = 0, delay: int = 0, ttr: int = 60) -> int:
        """Put a job; its id."""
        word, job_id = self.ask(b"put %d %d %d %d\r\n%b\r\n" % (pri, delay, ttr, len(body), body)).split()
        assert word == b"INSERTED"
        return int(job_id)

    def reserve(self, command: bytes = b"reserve-with-timeout 10\r\n") -> tuple[int, bytes]:
        word, *numbers = self.ask(command).split()
        assert word == b"RESERVED", word
        return int(numbers[0]), self.body(int(numbers[1]))

    def is_over(self) -> bool:
        """Whether the server hangs up, and has nothing more to say."""
        with suppress(ConnectionResetError):
            while self.more():
                pass
        return self.rest == b""

    def close(self) -> None:
        self.socket.close()


class Talk:
    """One script at one server."""

    def __init__(self, port: int, tube: str) -> None:
        self.port, self.tube = port, tube
        self.ids: dict[str, str] = {}
        self.clients: dict[str, Client] = {}

    def client(self, who: str) -> Client:
        if who not in self.clients:
            self.clients[who] = Client(self.port, self.tube)
        return self.clients[who]

    def step(self, who: str, sent: str, expected: str) -> None:
        client = self.client(who)
        if sent == "CLOSE":
            client.close()
            del self.clients[who]
        elif sent == "HALF":
            client.socket.shutdown(socket.SHUT_WR)
        elif sent:
            client.send(self.filled(sent).encode("latin-1"))
        if expected:
            self.expect(client, expected, f"{who}: {sent[:200]!r}")

    def filled(self, text: str) -> str:
        return _MARK.sub(lambda mark: self.ids[mark[1]], text.replace("{t}", self.tube))

    def expect(self, client: Client, expected: str, told: str) -> None:
        if expected == "GONE":
            assert client.is_over(), f"{told}: {client.rest!r}"
            client.close()
            self.clients = {who: other for who, other in self.clients.items() if other is not client}
            return
        pattern, learned = self._pattern(expected)
        deadline = time.monotonic() + WITHIN_S
        while (found := re.match(pattern, client.rest, re.DOTALL)) is None:
            client.socket.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                going_on = client.more()
            except TimeoutError:
                going_on = False
            assert going_on, f"after {told}\nexpected {expected!r}\ngot      {client.rest!r}"
        client.rest = client.rest[found.end() :]
        self.ids |= {name: found[name].decode() for name in learned}

    def _pattern(self, expected: str) -> tuple[bytes, list[str]]:
        parts, learned, at = [], [], 0
        expected = expected.replace("{t}", self.tube)
        for mark in _MARK.finditer(expected):
            parts.append(re.escape(expected[at : mark.start()]))
            name, at = mark[1], mark.end()
            if name == "#":
                parts.append(r"\d+")
            elif name in self.ids or name in learned:
                parts.append(self.ids.get(name) or f"(?P={name})")
            else:
                learned.append(name)
                parts.append(rf"(?P<{name}>\d+)")
        parts.append(re.escape(expected[at:]))
        return "".join(parts).encode("latin-1"), learned

    def end(self) -> None:
        """Nobody has anything to read that was not expected."""
        for client in self.clients.values():
            with suppress(OSError):
                client.send(b"list-tube-used\r\n")
                self.expect(client, f"USING {self.tube}\r\n", "the end")
                assert client.rest == b""
            client.close()


def tube_port(server: Server) -> int:
    """Where a server speaks the protocol."""
    return int(server.out.wait_for("beanstalkd's protocol").rpartition(":")[2])


@contextmanager
def serving(home: Path, *options: str, store: str | None = None) -> Iterator[Server]:
    """A server that ends in good order with the block, and has raised nothing."""
    store = store or f"sqlite:///{home / 'jobs.db'}"
    home.mkdir(parents=True, exist_ok=True)
    server = Server(home, "--store", store, "--beanstalk", "127.0.0.1:0", "--log-level", "warning", *options)
    try:
        server.start()
        yield server
        if server.process.poll() is None:
            server.send(signal.SIGTERM)
            assert server.ended() == 0, server.err.text
        assert "Traceback" not in server.err.text, server.err.text
    finally:
        if hasattr(server, "process"):
            server.destroy()


@contextmanager
def debians(*options: str) -> Iterator[int]:
    """Debian's beanstalkd on a free port; skipped loudly where it is not installed, and a failure where CI=true."""
    program = shutil.which("beanstalkd") or shutil.which("beanstalkd", path="/usr/sbin")
    if program is None:
        missing("beanstalkd", "apt install beanstalkd")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port), "-z", str(JOB_BYTES), *options])
    try:
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "beanstalkd ended"
                assert time.monotonic() < deadline, "beanstalkd does not listen"
        yield port
    finally:
        process.terminate()
        process.wait(WITHIN_S)
