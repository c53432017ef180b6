"""The pytest plugin, as a program's own tests use it: a real server, a worker that is drained, and a clock that is moved."""

import asyncio
import os
import urllib.request

import pytest

from holdfast import AsyncClient, Client, GiveBack, NewJob, Worker
from holdfast.errors import QueueFull
from holdfast.testing import LocalServer


@pytest.fixture
def doubling():
    worker = Worker("sums")

    @worker.handler("double")
    def double(job):
        return job.payload * 2

    return worker


def test_a_worker_is_drained_and_its_results_are_there(holdfast, doubling):
    ids = [holdfast.client.enqueue("sums", n, type="double").id for n in range(3)]
    assert holdfast.drain(doubling) == {"concluded": 3}
    assert [holdfast.client.result(job) for job in ids] == [0, 2, 4]


def test_follow_ups_are_run_too(holdfast):
    worker = Worker(["first", "second"])
    seen = []

    @worker.handler()
    def handle(job):
        seen.append(job.queue)
        if job.queue == "first":
            job.follow(NewJob(queue="second"))

    holdfast.client.enqueue("first")
    assert holdfast.drain(worker) == {"concluded": 2}
    assert seen == ["first", "second"]


def test_a_scheduled_job_is_run_once_the_clock_has_come_to_it(holdfast, doubling):
    before = holdfast.now
    job = holdfast.client.enqueue("sums", 4, type="double", delay_ms=86_400_000).id
    assert holdfast.drain(doubling) == {}
    holdfast.advance(86_399)
    assert holdfast.client.job(job).state == "scheduled"
    holdfast.advance(1)
    assert holdfast.drain(doubling) == {"concluded": 1}
    assert holdfast.client.job(job).ended_at == holdfast.now
    assert (holdfast.now - before).days == 1


def test_what_failed_is_tried_again_after_its_delay(holdfast):
    worker, tries = Worker("q"), []

    @worker.handler()
    async def flaky(job):
        tries.append(job.attempt)
        if len(tries) < 3:
            raise ValueError("not yet")

    job = holdfast.client.enqueue("q", retry={"base_ms": 1_000, "jitter": 0.0}).id
    assert holdfast.drain(worker) == {"failed": 1}
    holdfast.advance(1)
    assert holdfast.drain(worker) == {"failed": 1}
    holdfast.advance(1)
    assert holdfast.drain(worker) == {}, "the second delay is twice as long"
    holdfast.advance(1)
    assert holdfast.drain(worker) == {"concluded": 1}
    assert tries == [1, 2, 3]
    assert [error.kind for error in holdfast.client.job(job).errors] == ["failed", "failed"]


def test_a_lease_that_nobody_keeps_ends_when_the_clock_has_passed_it(holdfast):
    job = holdfast.client.enqueue("q").id
    holdfast.client.lease("q", lease_ms=60_000)
    holdfast.advance(60)
    seen = holdfast.client.job(job)
    assert (seen.state, seen.crashes) == ("ready", 1)


def test_a_schedule_fires_when_the_clock_has_come_to_it(holdfast):
    holdfast.client.set_schedule("tick", interval_ms=3_600_000, queue="q")
    holdfast.advance(3_600)
    assert holdfast.client.queue("q").jobs.ready == 1


def test_a_job_that_is_given_back_spends_no_try(holdfast):
    worker = Worker("q")

    @worker.handler()
    def busy(job):
        raise GiveBack(delay_ms=1_000)

    job = holdfast.client.enqueue("q", max_attempts=1).id
    assert holdfast.drain(worker) == {"released": 1}
    seen = holdfast.client.job(job)
    assert (seen.state, seen.failures) == ("scheduled", 0)


async def test_handlers_can_run_in_the_loop_of_the_test(holdfast):
    worker, loops = Worker("q"), []

    @worker.handler()
    async def note_loop(job):
        loops.append(asyncio.get_running_loop())

    async with AsyncClient() as client:
        await client.enqueue("q")
    assert await worker.drain(holdfast.url) == {"concluded": 1}
    assert loops == [asyncio.get_running_loop()]


def test_the_environment_names_the_server_and_bounds_are_real(holdfast):
    assert os.environ["HOLDFAST_URL"] == holdfast.url
    with Client() as client:
        client.set_queue("small", capacity_jobs=1)
        client.enqueue("small")
        with pytest.raises(QueueFull) as refused:
            client.enqueue("small")
    assert (refused.value.queue, refused.value.capacity_jobs) == ("small", 1)


def test_it_has_a_name_that_hides_nothing(holdfast_server, holdfast):
    assert holdfast_server is holdfast


def test_every_test_has_a_server_of_its_own(holdfast):
    assert list(holdfast.client.jobs()) == []
    with urllib.request.urlopen(holdfast.url + "/readyz") as answer:
        assert answer.status == 200


def test_it_can_be_used_without_pytest():
    with LocalServer(size=1) as server:
        server.client.enqueue("q")
        with pytest.raises(QueueFull):
            server.client.enqueue("q")
