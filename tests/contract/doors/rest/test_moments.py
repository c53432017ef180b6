"""What depends on the very moment: a caller that hangs up while its call waits, and how long a connection is kept.

The server's own protocol class is driven by hand over a real engine, so that each moment is met exactly. Whenever a caller leaves: what was
granted is handed back once, no try is spent, and nothing is left behind that still counts, waits or runs out.
"""

import asyncio
import json

import pytest

from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.config import Config
from holdfast.engine.engine import Engine
from holdfast.job.job import NewJob
from holdfast.job.queue import QueuePolicy
from holdfast.messages.commands import LeaseJobs, ReleaseLease
from holdfast.server import application, http_server
from holdfast.stores.sqlite.store import SqliteStore

LONG = 50_000


class Transport(asyncio.Transport):
    """A connection without a network: what was written, whether it is read from, whether it was closed."""

    def can_write_eof(self):
        return True

    def __init__(self):
        super().__init__()
        self.written, self.closed, self.reading = b"", False, True

    def write(self, data):
        assert not self.closed, "written to a connection that was closed"
        self.written += data

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_write_buffer_size(self):
        return 0

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


class Caller:
    """One connection to the server."""

    def __init__(self, server, keep_alive_s):
        self.transport = Transport()
        self.protocol = server.connection()
        self.protocol.keep_alive_s = keep_alive_s
        self.protocol.connection_made(self.transport)

    def send(self, *parts):
        """Send each part as a segment of its own."""
        for part in parts:
            assert self.transport.reading
            self.protocol.data_received(part)

    def leave(self):
        """Hang up: the server sees it if it reads."""
        assert self.transport.reading, "the server does not look"
        self.transport.closed = True
        self.protocol.connection_lost(None)


class Backend(LocalBackend):
    """Calls `answered` in the very turn in which a commit answers a dequeue, and counts what is handed back."""

    answered = None

    def submit(self, request):
        future = super().submit(request)
        self.released += isinstance(request, ReleaseLease)
        self.asked += isinstance(request, LeaseJobs)
        if isinstance(request, LeaseJobs) and self.answered is not None:
            future.add_done_callback(self.answered)
        return future


@pytest.fixture
async def backend():
    backend = Backend(SqliteStore(None, QueuePolicy()), ManualClock())
    backend.released, backend.asked = 0, 0
    yield backend
    await asyncio.wait_for(backend.stop(), 10)


@pytest.fixture
async def commits(backend):
    """Let the committer run; until then nothing is committed."""

    def run():
        if backend._runner is None:
            backend._runner = asyncio.create_task(backend.committer.run())

    yield run
    run()


@pytest.fixture
def engine(backend, commits):
    return Engine(backend)


@pytest.fixture
async def caller(engine):
    settings = Config(web=False, dialects=("none",))
    server = http_server(application(engine, settings)[0], settings)
    yield lambda keep_alive_s=75: Caller(server, keep_alive_s)
    assert not server.connections.tasks, "no task is left"


def head_and_body(path, body, *headers):
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"POST %b HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (path, lines, len(body), body)


def poll(*queues, **options):
    return head_and_body(b"/v1/leases", json.dumps({"queues": queues or ["q"], "wait_ms": LONG, **options}).encode())


async def turns(count=50):
    for _ in range(count):
        await asyncio.sleep(0)


async def put(engine, queue="q"):
    return (await engine.enqueue([NewJob(queue, b"1")])).jobs[0].id


async def is_there_again(engine, backend, count_release):
    """The job is there, with no try spent, and nothing else of the one who left."""
    await turns()
    assert (engine.in_flight, engine.arrivals.parked, list(engine.arrivals.names())) == (0, 0, [])
    (granted,) = (await engine.lease(("q",))).jobs
    assert (granted.job.attempt, granted.job.failures, granted.job.crashes) == (1 + count_release, 0, 0)
    assert backend.released == count_release


async def test_one_that_leaves_while_it_is_parked(engine, backend, commits, caller):
    commits()
    one = caller()
    one.send(poll())
    await turns()
    assert engine.arrivals.parked == 1
    one.leave()
    await turns()
    assert engine.arrivals.parked == 0
    await put(engine)
    await is_there_again(engine, backend, count_release=0)
    assert one.transport.written == b""


async def test_one_that_leaves_while_its_lease_is_being_committed(engine, backend, commits, caller):
    one, job = caller(), asyncio.create_task(put(engine))
    await turns(2)
    one.send(poll())
    await turns(5)
    assert engine.in_flight == 2
    one.leave()
    await turns(5)
    assert engine.in_flight == 2, "the commit goes on, and counts"
    commits()
    await job
    await is_there_again(engine, backend, count_release=1)


@pytest.mark.parametrize("later", [0, 1, 2])
@pytest.mark.parametrize("there", [True, False], ids=["something", "nothing"])
async def test_one_that_leaves_about_when_the_commit_answers(engine, backend, commits, caller, there, later):
    commits()
    if there:
        await put(engine)
    one = caller()

    def soon(turns_left):
        if turns_left:
            asyncio.get_running_loop().call_soon(soon, turns_left - 1)
        else:
            one.leave()

    backend.answered = lambda _: (setattr(backend, "answered", None), soon(later))
    one.send(poll())
    await turns()
    assert one.transport.closed
    if b"\r\n" in one.transport.written:
        assert there, "there was nothing to tell"
        return  # it was answered before it left: it holds the lease until that runs out
    assert engine.arrivals.parked == 0
    if not there:
        await put(engine)
    await is_there_again(engine, backend, count_release=int(there))


@pytest.mark.parametrize("by_news", [False, True], ids=["granted", "woken"])
@pytest.mark.parametrize("later", range(12))
async def test_one_that_leaves_about_when_a_job_comes_leaves_it_to_the_next(
    engine, backend, commits, caller, later, by_news, monkeypatch
):
    commits()
    if by_news:
        monkeypatch.setattr(backend.committer._awaiting, "pick", lambda _: [])
    leaver, stayer = caller(), caller()
    leaver.send(poll())
    await turns()
    stayer.send(poll())
    await turns()
    assert engine.arrivals.parked == 2
    putting = asyncio.create_task(put(engine))
    await turns(later)
    was_told = b"\r\n" in leaver.transport.written
    leaver.leave()
    await putting
    await turns()
    if was_told:
        assert (backend.released, engine.arrivals.parked) == (0, 1), "it holds the lease until that runs out"
    else:
        answer = json.loads(stayer.transport.written.partition(b"\r\n\r\n")[2])
        assert [(job["failures"], job["crashes"]) for job in answer["jobs"]] == [(0, 0)]
        assert backend.released <= 1
        assert engine.arrivals.parked == 0
    assert engine.in_flight == 0
    stayer.leave()
    await turns()


async def test_one_that_leaves_after_its_answer_keeps_its_lease(engine, backend, commits, caller):
    commits()
    await put(engine)
    one = caller()
    one.send(poll())
    await turns()
    assert one.transport.written.startswith(b"HTTP/1.1 200 ")
    one.leave()
    await turns()
    assert backend.released == 0
    assert not (await engine.lease(("q",))).jobs


async def test_one_that_leaves_twice_leaves_once(engine, backend, commits, caller):
    one, job = caller(), asyncio.create_task(put(engine))
    await turns(2)
    one.send(poll())
    await turns(5)
    one.leave()
    one.protocol.connection_lost(ConnectionResetError())
    commits()
    await job
    await is_there_again(engine, backend, count_release=1)


@pytest.mark.parametrize("together", [True, False], ids=["one segment", "two segments"])
async def test_one_that_leaves_with_more_requests_behind_the_one_that_waits(engine, backend, commits, caller, together):
    commits()
    one = caller()
    behind = head_and_body(b"/v1/queues/other/jobs", b"{}") + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    one.send(*([poll() + behind] if together else [poll()]))
    await turns()
    if not together:
        one.send(behind)
        await turns()
    assert engine.arrivals.parked == 1
    one.leave()
    await turns()
    assert engine.arrivals.parked == 0
    await put(engine)
    await is_there_again(engine, backend, count_release=0)
    assert not (await engine.lease(("other",))).jobs, "nothing of what came behind was done"


async def test_what_comes_behind_a_call_that_waits_is_not_read_without_bound(engine, backend, commits, caller):
    commits()
    one = caller()
    one.send(poll())
    await turns()
    read = 0
    while one.transport.reading and read < 1_000:
        one.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await turns(3)
        read += 1
    assert read < 100
    await put(engine)
    await turns(2_000)
    assert one.transport.written.count(b"HTTP/1.1 200 ") == 1 + read
    assert one.transport.reading
    one.leave()
    await turns()


@pytest.mark.parametrize(
    "rest", [b"", b"GET /healthz HT", head_and_body(b"/v1/queues/q/jobs", b"{}")[:-1]], ids=["", "a head", "a body"]
)
async def test_one_that_leaves_before_all_that_it_sent_is_looked_at_holds_nothing(engine, commits, caller, rest):
    commits()
    one = caller()
    one.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500 + rest)
    one.transport.closed = True
    one.protocol.connection_lost(ConnectionResetError())
    await turns(200)
    assert engine.budget.held == 0


async def test_a_lease_with_a_request_id_stays_for_whom_asks_again(engine, backend, commits, caller):
    one, job = caller(), asyncio.create_task(put(engine))
    await turns(2)
    one.send(poll(request_id="r"))
    await turns(5)
    one.leave()
    commits()
    await job
    await turns()
    assert (backend.released, engine.in_flight, engine.arrivals.parked) == (0, 0, 0)
    again = caller()
    again.send(poll(request_id="r"))
    await turns()
    assert len(json.loads(again.transport.written.partition(b"\r\n\r\n")[2])["jobs"]) == 1
    again.leave()
    await turns()


async def test_one_that_closes_its_half_is_told_of_a_lease_that_stays_for_whom_asks_again(engine, backend, commits, caller):
    """A lease call with a `request_id` is not answered that there is nothing while there is a lease under it."""
    one, job = caller(), asyncio.create_task(put(engine))
    await turns(2)
    one.send(poll(request_id="r"))
    await turns(5)
    one.protocol.eof_received()
    commits()
    await job
    await turns()
    assert len(json.loads(one.transport.written.partition(b"\r\n\r\n")[2])["jobs"]) == 1
    assert (backend.released, engine.in_flight, engine.arrivals.parked) == (0, 0, 0)


# How long a connection is kept


@pytest.fixture
async def hurried(caller):
    """A connection that is kept for 1 s while nothing is under way, and waits 1.5 s for a body."""
    one = caller(keep_alive_s=1.0)
    one.protocol.app.body_s = 1.5
    return one


async def closed(one):
    async with asyncio.timeout(20):
        while not one.transport.closed:  # noqa: ASYNC110  (nothing tells)
            await asyncio.sleep(0.02)


async def test_a_connection_that_is_used_is_kept_and_then_closed(commits, hurried):
    commits()
    for _ in range(6):
        await asyncio.sleep(0.3)
        hurried.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await turns()
    assert hurried.transport.written.count(b"HTTP/1.1 200 ") == 6
    await closed(hurried)


@pytest.mark.parametrize("path", [b"/v1/queues/q/jobs", b"/v1/publish"])
@pytest.mark.parametrize("sent", [0, 5])
async def test_a_body_that_does_not_come_is_not_waited_for_without_end(engine, commits, hurried, path, sent):
    commits()
    whole = head_and_body(path, b'{"payload":1}')
    hurried.send(whole[: len(whole) - 13 + sent])
    await asyncio.sleep(0.3)
    assert not hurried.transport.closed
    await closed(hurried)
    assert hurried.transport.written.startswith(b"HTTP/1.1 400 ")
    assert b"did not arrive" in hurried.transport.written
    hurried.protocol.connection_lost(None)
    await turns()
    assert engine.in_flight == 0


async def test_a_head_that_begins_behind_a_large_body_is_not_too_long(commits, caller):
    commits()
    one = caller()
    first, second = head_and_body(b"/v1/queues/q/jobs", b'"%b"' % (b"x" * 150_000), b"Content-Type: text/plain"), poll()
    one.send(first + second[:30])
    await turns()
    one.send(second[30:])
    await turns()
    assert one.transport.written.count(b"HTTP/1.1 2") == 2
    one.leave()


async def test_one_whose_head_does_not_arrive_in_time_is_told(caller):
    one = caller(keep_alive_s=0.05)
    one.send(b"GET /healthz HTTP/1.1\r\nHost: local")
    while not one.transport.written:  # noqa: ASYNC110  (a timer of the connection writes it)
        await asyncio.sleep(0.01)
    assert one.transport.written.startswith(b"HTTP/1.1 408 ")
    assert b'"field":"headers"' in one.transport.written
