"""Plays a case against a port, and records the answer."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass

from fuzz.case import HALF, PAUSE, RESET, Case

BOUND_S = 20.0  # until a connection that sends nothing more hears anything: far more than an answer takes on a busy machine
IN_ALL_S = 100.0  # until it is answered and closed: it may have asked for several things, one after the other
TAKEN_S = 5.0  # until the server has read a segment
LINGER_S = 0.05  # until a connection closes that does not wait for its answers
DEAF_S = 0.2  # until a connection closes that does not read
KEPT_BYTES = 32 << 20


@dataclass(slots=True)
class Heard:
    """The answer. `over`: whether the server closed the connection within the bound; None if the case did not wait for that."""

    data: bytes = b""
    over: bool | None = None
    cut: bool = False  # by a reset of the server
    refused: str = ""  # no connection could be made
    seconds: float = 0.0
    heard_at: float = 0.0  # the last of it; monotonic


async def play(case: Case, port: int) -> Heard:
    """One connection from its beginning to its end."""
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    except OSError as error:
        return Heard(refused=repr(error))
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    heard = Heard()
    reading = asyncio.ensure_future(_read(reader, heard)) if case.reads else None
    try:
        await _send(case, writer)
        await _end(case, writer, reading, heard)
    finally:
        if reading:
            reading.cancel()
        if case.end == RESET or not case.reads:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    heard.seconds = time.monotonic() - began
    return heard


async def _send(case: Case, writer: asyncio.StreamWriter) -> None:
    if not case.reads:
        writer.transport.pause_reading()
    with suppress(OSError, TimeoutError):
        for what, value in case.steps:
            if what == PAUSE:
                await asyncio.sleep(float(value))
                continue
            assert isinstance(value, bytes)
            writer.write(value)
            async with asyncio.timeout(TAKEN_S):
                await writer.drain()
            if len(case.steps) > 1:
                await asyncio.sleep(0)  # a segment of its own


async def _end(case: Case, writer: asyncio.StreamWriter, reading: asyncio.Future[None] | None, heard: Heard) -> None:
    if reading is None:
        await asyncio.sleep(DEAF_S)
        return
    if case.end == HALF:
        with suppress(OSError):
            writer.write_eof()
    if case.end == RESET:
        return
    if case.end != HALF and case.answers is None:
        await asyncio.wait([reading], timeout=LINGER_S)
        return
    heard.heard_at = began = time.monotonic()
    while not reading.done() and (left := min(heard.heard_at + BOUND_S, began + IN_ALL_S) - time.monotonic()) > 0:
        await asyncio.wait([reading], timeout=left)
    heard.over = reading.done()


async def _read(reader: asyncio.StreamReader, heard: Heard) -> None:
    parts: list[bytes] = []
    size = 0
    try:
        while data := await reader.read(1 << 18):
            heard.heard_at = time.monotonic()
            if size < KEPT_BYTES:
                parts.append(data)
                size += len(data)
    except OSError:
        heard.cut = True
    finally:
        heard.data = b"".join(parts)
