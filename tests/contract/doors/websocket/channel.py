"""A worker on a channel, by the client of the `websockets` package; and a bare socket that shook hands and then does as it likes."""

import base64
import itertools
import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.client import ClientConnection, connect

PATIENCE_S = 20.0


class ChannelClient:
    """Sends messages and receives them; a message that comes out of turn is kept for later."""

    def __init__(self, line: ClientConnection) -> None:
        self.line = line
        self._numbers = itertools.count(1)
        self._kept: list[dict[str, Any]] = []

    def send(self, op: str, **fields: Any) -> None:
        """One message."""
        self.line.send(json.dumps({"op": op, **fields}))

    def receive(self, op: str, timeout: float = PATIENCE_S, **fields: Any) -> dict[str, Any]:
        """The next message of a kind, with these fields."""
        for n, message in enumerate(self._kept):
            if message["op"] == op and fields.items() <= message.items():
                return self._kept.pop(n)
        while True:
            message = json.loads(self.line.recv(timeout))
            if message["op"] == op and fields.items() <= message.items():
                return message
            self._kept.append(message)

    def ask(self, op: str, answer: str, **fields: Any) -> dict[str, Any]:
        """Send a message with a reference, and receive its answer."""
        ref = f"r{next(self._numbers)}"
        self.send(op, ref=ref, **fields)
        return self.receive(answer, ref=ref)

    def start(self, *queues: str, credits: int = 1, **more: Any) -> dict[str, Any]:  # noqa: A002  (as on the wire)
        """Ask for jobs."""
        return self.ask("start", "started", queues=queues, credits=credits, **more)

    def jobs(self, count: int) -> list[dict[str, Any]]:
        """So many jobs, in however many messages they come."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += self.receive("jobs")["jobs"]
        assert len(found) == count, found
        return found

    def job(self) -> dict[str, Any]:
        """One job."""
        (one,) = self.jobs(1)
        return one

    def batch(self, **lists: Any) -> dict[str, Any]:
        """A batch that is taken."""
        return self.ask("batch", "results", **lists)

    def conclude(self, *jobs: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        """Conclude these; the outcomes."""
        return self.batch(conclude=[{"token": token(job), **more} for job in jobs])["conclude"]

    def refused(self, op: str, code: str, field: str | None = None, **fields: Any) -> dict[str, Any]:
        """A message that must be refused so."""
        problem = self.ask(op, "error", **fields)
        assert (problem["code"], problem.get("field")) == (code, field), problem
        assert problem["type"] == f"urn:holdfast:error:{code}"
        assert problem["title"]
        assert problem["status"] >= 400
        return problem

    def nothing_more(self) -> None:
        """Whatever the server had to say by now is heard, and no jobs are among it."""
        self.ask("ping", "pong")
        assert not [message for message in self._kept if message["op"] == "jobs"], self._kept


def token(job: dict[str, Any]) -> str:
    """The token of a leased job."""
    return str(job["lease"]["token"])


@contextmanager
def open_channel(url: str, path: str = "/v1/channel", **options: Any) -> Iterator[ChannelClient]:
    """Open a channel."""
    with connect(url.replace("http", "ws", 1) + path, proxy=None, compression=None, max_size=None, **options) as line:
        yield ChannelClient(line)


class RawSocket:
    """A socket on which a channel was opened, and which nobody attends to. With `receive_bytes` it takes in little."""

    def __init__(self, url: str, receive_bytes: int | None = None) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self.socket = socket.socket()
        if receive_bytes is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect((host, int(port)))
        self.socket.sendall(handshake(f"{host}:{port}"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.socket.recv(1)
        assert b" 101 " in head, head

    def send(self, op: str, **fields: Any) -> None:
        """One message."""
        self.socket.sendall(frame(json.dumps({"op": op, **fields}).encode()))

    def receive(self, op: str) -> dict[str, Any]:
        """The next message of a kind; others are passed over."""
        while True:
            opcode, size = struct.unpack("!BB", self._bytes(2))
            if size > 125:
                (size,) = struct.unpack("!H", self._bytes(2)) if size == 126 else struct.unpack("!Q", self._bytes(8))
            data = self._bytes(size)
            if opcode == 0x81 and (message := json.loads(data))["op"] == op:
                return dict(message)

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            assert part, "the server has hung up"
            data += part
        return data

    def received(self) -> bytes:
        """Everything that comes until the server hangs up."""
        parts = []
        try:
            while part := self.socket.recv(1 << 16):
                parts.append(part)
        except ConnectionError:
            pass
        return b"".join(parts)


def handshake(host: str, **headers: str) -> bytes:
    """The head of a good handshake, with these headers besides or instead."""
    fields = {
        "Host": host,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value]
    return f"GET /v1/channel HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


def frame(data: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """A frame as a client sends it, masked with zeroes."""
    size = len(data)
    length = (
        struct.pack("!B", 0x80 | size) if size < 126
        else struct.pack("!BH", 0x80 | 126, size) if size < 65_536
        else struct.pack("!BQ", 0x80 | 127, size)
    )  # fmt: skip
    return bytes([(0x80 if fin else 0) | opcode]) + length + b"\0\0\0\0" + data
