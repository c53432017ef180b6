"""A keep-alive HTTP/1.1 client connection that costs a few microseconds per request.

A load generator that costs as much as the server measures itself, so this is hand-written: requests are prepared bytes, a
response is cut out of the stream by its Content-Length, and a caller is a Python generator that yields requests and is sent
answers, without a task or a future per request.

    script --yields request--> Connection --writes--> server
    script <--sent an answer-- Connection <--reads-- Reader <-- server
"""

import asyncio
from collections.abc import Callable, Generator
from typing import Any, Protocol

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
CHUNKED = b"\r\ntransfer-encoding:"
BODILESS = frozenset((204, 304))

Script = Generator[bytes | None, Any, None]


class Reader(Protocol):
    """Cuts a stream of bytes into answers."""

    def feed(self, data: bytes) -> list[Any]:
        """The answers that `data` completes, in order."""


class BrokenResponse(Exception):
    """The peer sent something that this client cannot cut into responses."""


def http_request(method: str, path: str, body: bytes = b"", host: str = "127.0.0.1") -> bytes:
    """The bytes of one request with a JSON body."""
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def body_length(head: bytes, status: int) -> int:
    """How many bytes follow a response's head (without its closing empty line)."""
    if status in BODILESS:
        return 0
    lowered = head.lower()
    at = lowered.find(LENGTH)
    if at < 0:
        named = "is chunked" if CHUNKED in lowered else "has no Content-Length"
        raise BrokenResponse(f"a response with status {status} {named}")
    return int(lowered[at + len(LENGTH) :].split(b"\r\n", 1)[0])


class HttpReader:
    """Cuts (status, body) pairs out of a stream, however the network split or joined them."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        if self._rest:
            data = self._rest + data
        answers = []
        start = 0
        while (head_end := data.find(HEAD_END, start)) >= 0:
            status = int(data[start + 9 : start + 12])
            body_start = head_end + len(HEAD_END)
            if status < 200:  # an interim response: the real one follows
                start = body_start
                continue
            body_end = body_start + body_length(data[start:head_end], status)
            if body_end > len(data):
                break
            answers.append((status, data[body_start:body_end]))
            start = body_end
        self._rest = data[start:]
        return answers


class Connection(asyncio.Protocol):
    """One connection playing one script at a time.

    A script that yields None has nothing to send now: it waits for a call of `resume`.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._transport: asyncio.WriteTransport | None = None
        self._script: Script | None = None
        self._ended: Callable[[str], None] = lambda _why: None
        self._idle: list[Connection] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def play(self, script: Script, ended: Callable[[str], None], idle: "list[Connection] | None" = None) -> None:
        """Start `script`; `ended` is called with "" when it has finished, or with the reason why it was cut short."""
        self._script, self._ended = script, ended
        self._idle = idle if idle is not None else []
        self._send(None)

    def resume(self) -> None:
        """Resume a script that yielded None."""
        self._send(None)

    def data_received(self, data: bytes) -> None:
        try:
            for answer in self._reader.feed(data):
                self._send(answer)
        except (BrokenResponse, ValueError) as broken:
            self._end(f"broken response: {broken}")
            self.close()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._end("connection lost")

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _send(self, answer: Any) -> None:
        if self._script is None:
            return  # an answer after the phase was over
        try:
            request = self._script.send(answer)
        except StopIteration:
            self._end("")
            return
        if request is None:
            self._idle.append(self)
        else:
            self._transport.write(request)  # type: ignore[union-attr]

    def _end(self, why: str) -> None:
        if self._script is not None:
            self._script = None
            self._ended(why)
