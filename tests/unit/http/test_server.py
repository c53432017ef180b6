"""A server of a few routes: defects in their answers, and callers that are gone."""

import asyncio
import contextlib

import pytest
import uvloop
from structlog.testing import capture_logs

from holdfast.budget import Budget
from holdfast.connection_limit import ConnectionLimit
from holdfast.doors.rest.bodies import read_in_turns
from holdfast.http.app import App
from holdfast.http.origin import Guard
from holdfast.http.reply import Reply
from holdfast.http.route import get, post
from holdfast.http.router import Router
from holdfast.http.server import HttpServer


class NoMetrics:
    """Counts nothing."""

    def observe(self, method, route, status, seconds):
        """One request was answered."""

    async def page(self):
        """No metrics."""
        return b""


class NoChannel:
    """Takes no connection over."""

    path = "/none"

    def open(self, app, connection, method, target, headers):
        """Nobody calls this."""
        raise AssertionError


@contextlib.asynccontextmanager
async def serving(*routes):
    """The address of a server of these routes, and the server."""
    app = App(
        Router(routes), None, Guard(None, frozenset()), NoMetrics(), Budget(), ConnectionLimit(9, 9, 9), 1_000, 9, "",
        lambda path, headers, address: None, lambda request: None, read_in_turns, NoChannel(),
    )  # fmt: skip
    server = HttpServer(app, 9, 9)
    listening = await asyncio.get_running_loop().create_server(server.connection, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname(), server
    finally:
        listening.close()
        await server.connections.end(9)


async def raises(request, state):
    raise RuntimeError("a secret")


async def says_what_there_is_not(request, state):
    return Reply(299)


@pytest.mark.parametrize("is_hot", [True, False])
@pytest.mark.parametrize(("handler", "status"), [(raises, b"500"), (says_what_there_is_not, b"")])
async def test_a_defect_is_in_the_log_and_not_in_the_answer(is_hot, handler, status):
    async with serving(get("/here", is_hot=is_hot)(handler)) as (address, _), asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*address)
        with capture_logs() as logs:
            writer.write(b"GET /here HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                answer = await reader.read()
        writer.close()
    assert answer[9:12] == status
    assert b"secret" not in answer
    assert [one["log_level"] for one in logs] == ["error"]


def test_the_address_of_a_caller_is_known_when_it_is_gone():
    """A socket that is closed can't be asked for it, and what came as a whole is done all the same."""

    async def run():
        begun, lost, found = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop().create_future()

        async def looks(request):
            begun.set()
            await lost.wait()
            found.set_result(request.address)

        async with serving(post("/here")(looks)) as (address, server):
            _, writer = await asyncio.open_connection(*address)
            writer.write(b"POST /here HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            await begun.wait()
            writer.transport.abort()
            (task,) = server.connections.tasks
            for connection in list(server.connections._open):
                connection.abort()
            await asyncio.sleep(0)
            lost.set()
            assert await found == "127.0.0.1"
            await task

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(run(), 20))


def test_what_came_behind_the_last_request_of_a_drain_is_not_done():
    """Though the answer is large, and reading it makes room for others."""

    async def run():
        begun, ready, done = asyncio.Event(), asyncio.Event(), []

        async def large(request):
            begun.set()
            await ready.wait()
            return Reply(200, b"x" * (16 << 20))

        async def notes(request):
            done.append(request)

        async with serving(get("/large")(large), post("/note")(notes)) as (address, server):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await begun.wait()
            ending = asyncio.create_task(server.connections.end(10))
            await asyncio.sleep(0)
            writer.write(b"POST /note HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
            (connection,) = server.connections._open
            while not connection.pipeline:  # noqa: ASYNC110  (nothing says so)
                await asyncio.sleep(0)
            ready.set()
            answer = await reader.read()
            writer.close()
            await ending
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"\r\n\r\n" + b"x" * (16 << 20))
        assert done == []

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(run(), 20))


def test_a_connection_that_is_accepted_while_the_server_ends_is_closed():
    """Else the server would wait for its first request."""

    async def run():
        begun, ready = asyncio.Event(), asyncio.Event()

        async def slow(request):
            begun.set()
            await ready.wait()
            return Reply(200)

        async with serving(get("/slow")(slow)) as (address, server):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await begun.wait()
            ending = asyncio.create_task(server.connections.end(60))
            await asyncio.sleep(0)
            late, hers = await asyncio.open_connection(*address)
            assert await late.read() == b""
            hers.close()
            ready.set()
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
            await ending

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(run(), 20))
