"""How much a worker takes, how it tells what it did, and how it is listed."""

import asyncio
import logging
import os
import threading
import time
from socket import gethostname

import pytest

from holdfast import Client, NewJob, Worker
from holdfast.errors import InvalidRequest
from tests.contract.client.clients import PATIENCE_S
from tests.contract.client.proxy import CUT, Proxy
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until


def test_no_more_run_at_once_than_the_concurrency_and_no_more_are_held_than_prefetched(worker, witness, queue):
    witness.enqueue_many(NewJob(queue=queue) for _ in range(20))
    work, go, lock, seen = worker(concurrency=3, prefetch=2), threading.Event(), threading.Lock(), []
    at_once = 0

    @work.handler()
    def handle(job):
        nonlocal at_once
        with lock:
            at_once += 1
            seen.append(at_once)
        go.wait(20)
        with lock:
            at_once -= 1

    with running(work):
        until(lambda: witness.queue(queue).jobs.leased == 5, "three run and two wait")
        with pytest.raises(TimeoutError):
            witness.wait(next(iter(witness.jobs(queue=queue, state="ready"))).id, 0.3)
        assert (witness.queue(queue).jobs.leased, len(seen)) == (5, 3)
        go.set()
        until(lambda: witness.queue(queue).jobs.concluded == 20, "all are done")
    assert max(seen) == 3


def test_leases_are_ended_in_batches(shared, worker, witness, queue):
    witness.enqueue_many(NewJob(queue=queue) for _ in range(500))
    proxy = Proxy(shared.port)
    work = worker(url=proxy.url, concurrency=50, prefetch=50, live=False)

    @work.handler()
    async def handle(job):
        pass

    with running(work):
        until(lambda: witness.queue(queue).jobs.concluded == 500, "all are done")
    ends = sum(b"/v1/leases/batch" in request.partition(b"\r\n")[0] for request in proxy.requests)
    assert 5 <= ends <= 100
    assert len(proxy.requests) < 200
    proxy.close()


def test_lost_answers_cost_a_worker_nothing(shared, worker, witness, queue):
    witness.enqueue_many(NewJob(queue=queue, payload=n) for n in range(60))
    proxy = Proxy(shared.port)
    proxy.plan.extend([CUT] * 4)
    work, seen = worker(url=proxy.url, concurrency=5, live=False), []

    @work.handler()
    async def handle(job):
        seen.append(job.payload)
        return job.payload

    with running(work):
        until(lambda: witness.queue(queue).jobs.concluded == 60, "all are done")
    assert sorted(seen) == list(range(60)), "each ran once"
    assert {job.attempt for job in witness.jobs(queue=queue)} == {1}
    proxy.close()


def test_a_worker_outlives_a_restart_of_the_server_and_says_so_once(serve, worker, queue, lines, monkeypatch):
    """Meanwhile an idle place polls, progress is noted and a job ends: all of them find nobody."""
    monkeypatch.setattr("holdfast.client.worker.worker._EXTEND_WITHIN_S", 0.3)
    server = serve()
    work = worker(url=server.url, lease_ms=60_000)
    killed, go, begun = threading.Event(), threading.Event(), threading.Event()

    @work.handler()
    def handle(job):
        begun.set()
        killed.wait(60)
        job.note({"page": 1})
        go.wait(60)

    with running(work):
        with Client(server.url, deadline_s=PATIENCE_S) as first:
            job = first.enqueue(queue).id
        assert begun.wait(20)
        server.kill_all()
        server.gone()
        killed.set()
        until(lambda: bool(lines("leases could not be extended")), "the thread that keeps the leases found nobody")
        go.set()
        with Client(serve("--port", str(server.port)).url, deadline_s=PATIENCE_S) as again:
            done = again.wait(job, 30)
            assert (done.state, done.attempt, done.crashes, done.progress) == ("concluded", 1, 0, {"page": 1})
            assert again.wait(again.enqueue(queue).id, 30).state == "concluded"
    (lost,) = lines("no server answers")
    assert lost.levelno == logging.WARNING
    assert [each.levelname for each in lines("a server answers again")] == ["INFO"]


def test_a_registered_worker_is_listed_and_can_be_sent_home(shared, worker, put, witness, monkeypatch):
    monkeypatch.setattr("holdfast.client.worker.lease_extender._BEAT_S", 0.1)
    work, go = worker(register=True, name="anna"), threading.Event()
    work.handler()(lambda job: go.wait(20))

    def listed():
        return [each for each in witness.workers() if each.name == "anna"]

    with running(work):
        job = put()
        until(lambda: bool(listed() and listed()[0].jobs), "it holds the job")
        (shown,) = listed()
        assert (shown.queues, [held.id for held in shown.jobs]) == ([witness.job(job).queue], [job])
        witness.quiet(shown.id)
        go.set()
        assert witness.wait(job, 20).state == "concluded"
        until(lambda: work._sessions[0].quiet, "it knows")
        second = put()
        time.sleep(0.3)
        assert witness.job(second).state == "ready"
    assert listed() == []


def test_a_registered_worker_that_is_stopped_finishes_its_job_and_ends(worker, put, witness, monkeypatch):
    monkeypatch.setattr("holdfast.client.worker.lease_extender._BEAT_S", 0.1)
    work, go = worker(register=True, name="cleo", version="shop 7"), threading.Event()
    work.handler()(lambda job: go.wait(20))

    def listed():
        return [each for each in witness.workers() if each.name == "cleo"]

    thread = threading.Thread(target=work.run)
    thread.start()
    try:
        job = put()
        until(lambda: bool(listed() and listed()[0].jobs), "it holds the job")
        (shown,) = listed()
        assert (shown.host, shown.pid, shown.version) == (gethostname(), os.getpid(), "shop 7")
        witness.stop_worker(shown.id)
        go.set()
        assert witness.wait(job, 20).state == "concluded"
        thread.join(20)
        assert not thread.is_alive()
    finally:
        go.set()
        work.stop()
        thread.join()
    assert listed() == []


def test_a_registered_worker_that_the_server_forgot_registers_anew(worker, put, witness, monkeypatch):
    monkeypatch.setattr("holdfast.client.worker.lease_extender._BEAT_S", 0.1)
    work = worker(register=True, name="berta")
    work.handler()(print)

    def ids():
        return [each.id for each in witness.workers() if each.name == "berta"]

    with running(work):
        until(lambda: bool(ids()), "it is listed")
        (first,) = ids()
        witness.remove_worker(first)
        until(lambda: bool(ids()), "it is listed again")
        assert ids() != [first]


def test_a_mistake_in_the_queues_name_ends_the_worker_with_its_reason(worker):
    work = worker()
    work.handler()(print)
    work.queues[:] = ["not a name"]
    with pytest.raises(InvalidRequest, match="queues"):
        asyncio.run(asyncio.wait_for(work.work(), 20))


@pytest.mark.parametrize("bounds", [{"concurrency": 0}, {"concurrency": 2, "prefetch": 3}, {"prefetch": -1}])
def test_bounds_without_sense_are_refused(worker, bounds):
    with pytest.raises(ValueError, match="concurrency"):
        worker(**bounds)


@pytest.mark.parametrize("queues", ["", "no such name", ["good", "a/b"], [], "q\n", "\u20ac", "x" * 300, [None]])
def test_a_name_that_no_queue_can_have_is_refused_at_once(shared, queues):
    with pytest.raises(ValueError, match="queue"):
        Worker(queues, url=shared.url)


def test_handlers_are_registered_once_each_and_with_parentheses(worker, put, witness):
    work = worker()

    @work.handler()
    def anything(job):
        return "anything"

    @work.handler("typed")
    async def typed(job):
        return "typed"

    for again in (lambda: work.handler("typed")(typed), lambda: work.handler()(anything)):
        with pytest.raises(ValueError, match="there is a handler for"):
            again()
    with pytest.raises(TypeError, match=r"@worker\.handler has parentheses"):

        @work.handler
        def bare(job): ...

    with pytest.raises(TypeError, match="a handler is a function"):
        work.handler("other")(5)
    with pytest.raises(TypeError, match="type of a job"):
        work.handler(5)
    with running(work):
        assert [witness.result(put(type), 20) for type in ("", "typed")] == ["anything", "typed"]


def test_an_object_that_is_called_like_a_coroutine_function_is_one(worker, put, witness):
    class Handle:
        async def __call__(self, job):
            await asyncio.sleep(0)
            return job.payload

    work = worker()
    work.handler()(Handle())
    with running(work):
        assert witness.result(put(payload=5), 20) == 5


def test_a_worker_without_a_handler_is_refused(worker, put, witness):
    job = put()
    with pytest.raises(ValueError, match="this worker has no handler, so it would release all jobs"):
        worker().run()
    assert witness.job(job).attempt == 0
