"""One connection, by default of HTTP/1.1, that reports exactly whether a request can have reached the server.

A general client retries, pools and reconnects by itself, and so hides what a history must record. This one sends each request
once. It raises `NeverSent` only if no connection could be made; every other failure is `Broken`: the outcome is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class NeverSent(Exception):
    """No connection: the server cannot have seen the request."""


class Broken(Exception):
    """The request was sent, at least in part, and no complete answer came back."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


class Wire:
    """A keep-alive connection to one address, opened on demand; `timeout_s` bounds a whole exchange.

    If there are `others`, equivalent to the first, the next request after a failure goes to the next of them.
    """

    def __init__(self, port: int, timeout_s: float, others: tuple[int, ...] = ()) -> None:
        self.port = port
        self._others = others
        self.timeout_s = timeout_s
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def open(self) -> bool:
        return self._streams is not None

    async def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        """One exchange of HTTP."""
        return await self.exchange(self.http(method, path, body, headers), self._reply)

    def http(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        """A request as it is sent."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(body)}"]
        if body:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def exchange(self, sent: bytes, reply: Callable[[asyncio.StreamReader], Awaitable[T]]) -> T:
        """Send this, and read the answer with `reply`; an `OSError`, `EOFError` or `ValueError` of that is `Broken`."""
        reader, writer = await self._open()
        try:
            writer.write(sent)
            async with asyncio.timeout(self.timeout_s):
                await writer.drain()
                return await reply(reader)
        except (OSError, EOFError, ValueError, TimeoutError) as problem:
            self.turn()
            raise Broken(repr(problem)) from problem
        except asyncio.CancelledError:
            self.close()
            raise

    async def late(self, sent: bytes, after_s: float, half_closed: bool = False) -> Reply:
        """One exchange of HTTP by a client that stands still before it reads the answer; or has nothing more to say, and says so."""

        async def read(reader: asyncio.StreamReader) -> Reply:
            if half_closed and self._streams is not None:
                self._streams[1].write_eof()
            await asyncio.sleep(after_s)  # to stand still is what it does
            return await self._reply(reader)

        try:
            return await self.exchange(sent, read)
        finally:
            self.close()

    def turn(self) -> None:
        """Switch to the next address."""
        self.close()
        if self._others:
            self.port, self._others = self._others[0], (*self._others[1:], self.port)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            try:
                async with asyncio.timeout(self.timeout_s):
                    self._streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
            except (OSError, TimeoutError) as problem:
                self.turn()
                raise NeverSent(repr(problem)) from problem
        return self._streams

    async def _reply(self, reader: asyncio.StreamReader) -> Reply:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *fields = head.rstrip("\r\n").split("\r\n")
        status = int(first.split(" ", 2)[1])
        named = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        if named.get("transfer-encoding", "").lower() == "chunked":
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(named.get("content-length", 0)))
        if named.get("connection", "").lower() == "close":
            self.close()
        return Reply(status, body)

    async def _chunks(self, reader: asyncio.StreamReader) -> bytes:
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append(await reader.readexactly(size))
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        return b"".join(parts)
