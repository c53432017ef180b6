import asyncio
from contextlib import asynccontextmanager
from random import Random

import pytest

from cluster.ports import free_port
from torture.faults import proxy
from torture.wire import Broken, NeverSent, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def server(answer: bytes):
    """A server that answers each request with `answer`, or closes at once if that is empty; yields its port and the requests."""
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                seen.append(await reader.readuntil(b"\r\n\r\n"))
                if not answer:
                    return
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], seen
    finally:
        listener.close()


async def test_a_request_without_a_listener_was_never_sent():
    with pytest.raises(NeverSent):
        await Wire(free_port(), 1.0).request("GET", "/")


async def test_a_connection_that_breaks_after_the_request_leaves_it_unknown():
    async with server(b"") as (port, seen):
        with pytest.raises(Broken):
            await Wire(port, 1.0).request("GET", "/")
    assert len(seen) == 1


@pytest.mark.parametrize("answer", [OK[:-1], b"HTTP/1.1 200 OK\r\n", b"no HTTP at all\r\n\r\n"])
async def test_half_an_answer_is_no_answer(answer):
    async with server(answer) as (port, _):
        with pytest.raises(Broken):
            await Wire(port, 0.2).request("GET", "/")


async def test_a_connection_is_used_again():
    async with server(OK) as (port, seen):
        wire = Wire(port, 1.0)
        replies = [await wire.request("GET", f"/{n}") for n in range(3)]
        wire.close()
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert len(seen) == 3


async def test_an_answer_in_chunks_is_read_whole():
    chunked = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n'
    async with server(chunked) as (port, _):
        wire = Wire(port, 1.0)
        assert (await wire.request("GET", "/")).body == b'{"a":1}'
        wire.close()


@pytest.mark.parametrize(("share", "lost"), [(0.0, 0), (1.0, 1)])
async def test_the_proxy_forwards_a_request_before_it_drops_the_answer(monkeypatch, share, lost):
    monkeypatch.setattr(proxy, "SHARE", share)
    swallowed: list[int] = []
    async with server(OK) as (port, seen), proxy.Proxy(port, Random(1), lambda: swallowed.append(1)) as between:
        wire = Wire(between.port, 1.0)
        if lost:
            with pytest.raises(Broken):
                await wire.request("GET", "/")
        else:
            assert (await wire.request("GET", "/")).status == 200
        wire.close()
    assert len(seen) == 1
    assert len(swallowed) == lost
