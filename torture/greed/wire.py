"""Bytes of greedy callers: raw HTTP, WebSocket frames and the beanstalkd protocol. No client library would send these."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

READ_BYTES = 1 << 18
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Pair]:
    """A connection that is cut at the end, whatever is in transit."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=READ_BYTES)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def request(method: str, path: str, body: bytes = b"", declared: int | None = None, kind: str = "application/json") -> bytes:
    """One request; `declared` is the length in its header, if that is not the body's."""
    length = len(body) if declared is None else declared
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + body


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The status and the body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = int(head.split(None, 2)[1]), 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, await reader.readexactly(length)


async def ask(port: int, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
    """One request on a connection of its own, and its answer."""
    async with connected(port) as (reader, writer):
        writer.write(request(method, path, body, kind=kind))
        return await answer(reader)


def frame(payload: bytes, opcode: int = 1, fin: bool = True, declared: int | None = None) -> bytes:
    """A masked WebSocket frame; `declared` is the length in its header, if that is not the payload's."""
    size = len(payload) if declared is None else declared
    head = bytes([(0x80 if fin else 0) | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


async def upgrade(pair: Pair) -> None:
    """Open a live channel on a connection."""
    reader, writer = pair
    key = b"".join(b"%02x" % byte for byte in os.urandom(8))

    named = base64.b64encode(key).decode()
    writer.write(
        f"GET /v1/channel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {named}\r\n\r\n".encode()
    )
    await reader.readuntil(b"\r\n\r\n")


async def send_all(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send as much as is accepted; being disconnected is a correct reaction."""
    with suppress(OSError):
        writer.write(data)
        await writer.drain()


async def swallow(reader: asyncio.StreamReader) -> None:
    """Read and discard until the other side disconnects."""
    with suppress(OSError):
        while await reader.read(READ_BYTES):
            pass
