"""A worker on a live channel: it is sent its jobs and told what it has to know, and where there is no channel it polls."""

import asyncio
import gc
import signal
import threading

import aiohttp
import pytest

from holdfast import Client, NewJob, Worker
from holdfast.client.worker.websocket_connection import WebSocketConnection
from holdfast.errors import OutcomeUnknown
from tests.contract.client.clients import PATIENCE_S
from tests.contract.client.proxy import Proxy, Relay, answer
from tests.contract.client.worker.workers import running
from tests.system.whole.calls import metric
from tests.system.whole.servers import Server, standing, until


def messages(server: Server, op: str) -> float:
    """How many such messages the server has had on channels."""
    with server.client() as client:
        return metric(client.get("/metrics").text, "holdfast_channel_messages_total", op=op)


def test_jobs_come_on_the_channel_and_are_ended_on_it_in_batches(shared, worker, witness, queue):
    witness.enqueue_many(NewJob(queue=queue, payload=n) for n in range(500))
    work, seen, before = worker(concurrency=50, prefetch=50), [], messages(shared, "batch")

    @work.handler()
    async def handle(job):
        seen.append(job.payload)
        return job.payload + 1

    with running(work):
        until(lambda: witness.queue(queue).jobs.concluded == 500, "all are done")
    assert sorted(seen) == list(range(500))
    assert {job.attempt for job in witness.jobs(queue=queue)} == {1}
    assert 5 <= messages(shared, "batch") - before <= 200
    assert work.tally["concluded"] == 500


def test_no_more_run_at_once_and_wait_here_than_were_asked_for(worker, witness, queue):
    witness.enqueue_many(NewJob(queue=queue) for _ in range(20))
    work, now, most, go = worker(concurrency=3, prefetch=2), set(), [], asyncio.Event()

    @work.handler()
    async def handle(job):
        now.add(job.id)
        most.append(len(now))
        await go.wait()
        now.remove(job.id)

    with running(work):
        until(lambda: len(now) == 3, "it works")
        until(lambda: witness.queue(queue).jobs.leased == 5, "it has taken what it may")
        assert witness.queue(queue).jobs.leased == 5
        work.loop.call_soon_threadsafe(go.set)
        until(lambda: witness.queue(queue).jobs.concluded == 20, "all are done")
    assert max(most) == 3


def test_a_request_to_cancel_is_heeded_at_once_though_the_lease_is_long(worker, put, witness, queue):
    work = worker(lease_ms=600_000)

    @work.handler()
    async def handle(job):
        await asyncio.sleep(60)

    job = put()
    with running(work):
        until(lambda: witness.queue(queue).jobs.leased == 1, "it has begun")
        witness.cancel(job)
        assert witness.wait(job, 30).state == "cancelled"


def test_a_worker_that_stops_gives_back_what_it_did_not_begin(worker, witness, queue):
    witness.enqueue_many(NewJob(queue=queue) for _ in range(6))
    work = worker(concurrency=1, prefetch=1, grace_s=0.1)

    @work.handler()
    async def handle(job):
        await asyncio.sleep(60)

    with running(work):
        until(lambda: witness.queue(queue).jobs.leased == 2, "it has taken what it may")
    counts = witness.queue(queue).jobs
    assert (counts.ready, counts.leased) == (6, 0)
    assert {(job.failures, job.crashes) for job in witness.jobs(queue=queue)} == {(0, 0)}


def test_a_connection_that_breaks_costs_no_job_and_the_next_channel_brings_more(shared, worker, witness, queue):
    relay = Relay(shared.port)
    work, begun, go, before = worker(url=relay.url, concurrency=4, prefetch=4), [], asyncio.Event(), messages(shared, "start")

    @work.handler()
    async def handle(job):
        begun.append(job.id)
        await go.wait()
        return "done"

    first = [receipt.id for receipt in witness.enqueue_many(NewJob(queue=queue) for _ in range(8))]
    known = messages(shared, "got")
    with running(work):
        until(
            lambda: len(begun) == 4 and messages(shared, "got") == known + 1, "four run, four wait here, and the server knows"
        )
        relay.cut()
        until(lambda: not work._sessions[0]._channel._line.open, "it knows")
        work.loop.call_soon_threadsafe(go.set)
        second = witness.enqueue(queue).id
        done = [witness.wait(job, 30) for job in [*first, second]]
        assert messages(shared, "start") == before + 2
    assert {(job.state, job.attempt, job.crashes) for job in done} == {("concluded", 1, 0)}
    relay.close()


async def test_a_channel_that_breaks_while_something_is_said_on_it_leaves_no_word_in_the_log_but_its_own(shared):
    said = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["message"]))
    async with aiohttp.ClientSession() as session:
        socket = await session.ws_connect(f"{shared.url}/v1/channel")
        line = WebSocketConnection(socket, shared.url, lambda *_: None)
        await line.start({"queues": ["q"], "credits": 0, "lease_ms": 60_000}, 20.0)
        socket._response.connection.transport.abort()
        with pytest.raises(OutcomeUnknown):
            await line.grant(1)
        await line.close()
    gc.collect()
    assert said == []


def test_a_job_that_kills_its_worker_counts_as_crashed_although_it_came_on_a_channel(program, put, shared, witness):
    before = messages(shared, "got")
    dying = program(lease_ms=1_000)
    job = put("sleep", 60)
    dying.said.wait_for(f"begun {job}")
    assert messages(shared, "got") > before
    dying.send(signal.SIGKILL)
    until(lambda: witness.job(job).crashes == 1, "its lease has ended")
    assert witness.job(job).failures == 0


def test_behind_a_proxy_that_lets_no_websocket_through_it_polls(shared, worker, witness, queue):
    witness.enqueue_many(NewJob(queue=queue) for _ in range(20))
    proxy = Proxy(shared.port)
    proxy.refuse.append(answer("404 Not Found"))
    work = worker(url=proxy.url, concurrency=5)

    @work.handler()
    async def handle(job):
        pass

    with running(work):
        until(lambda: witness.queue(queue).jobs.concluded == 20, "all are done")
    asked = [request.partition(b"\r\n")[0] for request in proxy.requests]
    assert sum(b"/v1/channel" in line for line in asked) == 1, "it does not knock again and again"
    proxy.close()


def test_behind_a_proxy_that_swallows_what_follows_the_handshake_it_polls(shared, worker, witness, queue, monkeypatch):
    monkeypatch.setattr("holdfast.client.worker.websocket_source._OPEN_S", 0.5)
    witness.enqueue_many(NewJob(queue=queue) for _ in range(20))
    proxy = Proxy(shared.port)
    work = worker(url=proxy.url, concurrency=5)

    @work.handler()
    async def handle(job):
        pass

    with running(work):
        until(lambda: witness.queue(queue).jobs.concluded == 20, "all are done")
    proxy.close()


def test_a_server_that_is_killed_and_started_again_costs_the_job_nothing(tmp_path, queue):
    server = Server(tmp_path / "home").start()
    witness = Client(server.url, deadline_s=PATIENCE_S)
    work, begun = Worker(queue, url=server.url, lease_ms=60_000), asyncio.Event()

    @work.handler()
    async def handle(job):
        begun.set()
        await asyncio.sleep(4)
        return "done"

    job = witness.enqueue(queue).id
    with running(work):
        until(begun.is_set, "it has begun")
        port = server.port
        server.kill_all()
        server.gone()
        again = Server(tmp_path / "home", "--port", str(port)).start()
        done = witness.wait(job, 40)
        assert (done.state, done.result, done.attempt, done.crashes) == ("concluded", "done", 1, 0)
    again.send(signal.SIGTERM)
    assert again.ended() == 0


def test_a_server_that_answers_too_late_has_the_outcome_all_the_same(serve, monkeypatch):
    """The worker leaves a channel on which it is not answered. It has not hung up: that would give the job back, which is done."""
    monkeypatch.setattr("holdfast.client.worker.websocket_source.ANSWER_S", 1.0)
    server = serve()
    work, begun, there = Worker("q", url=server.url), threading.Event(), threading.Event()

    @work.handler()
    def handle(job):
        begun.set()
        assert there.wait(30)
        return "done"

    with Client(server.url, deadline_s=PATIENCE_S) as witness, running(work):
        job = witness.enqueue("q").id
        assert begun.wait(30)
        with standing(server, 4):
            there.set()
            ended = witness.wait(job, 60)
        assert (ended.state, ended.result, ended.attempt) == ("concluded", "done", 1)
