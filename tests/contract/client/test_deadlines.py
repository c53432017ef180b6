"""A server that stands still: a call is given up when its deadline says, and what is known of its outcome is said; what waits by intention
waits on, and a worker outlives it.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cluster.ports import free_port
from holdfast import AsyncClient, Client, NewJob, Worker
from holdfast.client import Unreachable
from holdfast.client.aio.transport import AT_ONCE
from holdfast.errors import OutcomeUnknown
from tests.contract.client.clients import LOOPS
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import standing, until

pytestmark = pytest.mark.long(170)

AWAY_S = 35.0  # longer than anything that a worker waits for an answer
LATE_S = 2.0  # by so much a busy machine may be late


def given_up(call: Callable[[], Any], error: type[Exception], after_s: float) -> Any:
    """The error of a call that is given up after so many seconds, and no sooner."""
    began = time.monotonic()
    with pytest.raises(error) as caught:
        call()
    assert after_s - 0.05 <= time.monotonic() - began < after_s + LATE_S
    return caught.value


@pytest.fixture
def server(serve):
    return serve()


@pytest.fixture
def client(clients, server):
    """A client with the deadlines that it has unless told otherwise."""
    return clients(server.url, deadline_s=None)


def test_a_call_is_given_up_after_two_seconds_and_says_what_is_known(client, server):
    client.set_interest("q", "*")
    client.enqueue("q", 0)
    (job,) = client.lease("q")
    with standing(server):
        unknown = given_up(lambda: client.enqueue("q", 1), OutcomeUnknown, 2)
        assert str(unknown) == (
            f"The answer of {server.url} was lost: no answer in time. Tried for 2.0 s. "
            "POST /v1/queues/q/jobs may or may not have been done; with the same idempotency_key it is not done twice."
        )
        given_up(lambda: client.publish({"n": 1}), OutcomeUnknown, 2)
        given_up(lambda: client.conclude(job.lease.token), OutcomeUnknown, 2)
        lost = given_up(lambda: client.job(job.id), Unreachable, 2)
        assert str(lost) == f"The answer of {server.url} was lost: no answer in time. Tried for 2.0 s."
    client.within(60).enqueue("q", 1, idempotency_key=unknown.idempotency_key)
    assert [one.payload for one in client.jobs(queue="q", state="ready")].count(1) == 1


def test_nobody_there_is_said_within_two_seconds(clients):
    client = clients(f"http://127.0.0.1:{free_port()}", deadline_s=None)
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"can't be reached: Connection refused\. Tried for [12]\.\d s\."):
        client.enqueue("q", 1)
    assert time.monotonic() - began < 2 + LATE_S


def test_a_server_that_is_silent_leaves_time_for_the_next(clients, server, shared, queue):
    client = clients([server.url, shared.url], deadline_s=None)
    with standing(server):
        assert client.enqueue(queue).id
    assert client.nodes.current == shared.url


def test_a_client_or_a_call_may_have_another_deadline(clients, server):
    client = clients(server.url, deadline_s=0.5)
    with standing(server):
        given_up(lambda: client.enqueue("q"), OutcomeUnknown, 0.5)
        given_up(lambda: client.purge("q"), OutcomeUnknown, 0.5)
        given_up(lambda: client.within(1).enqueue("q"), OutcomeUnknown, 1)
    with standing(server, 3):
        assert client.within(60).enqueue("q").id


def test_what_the_server_was_asked_to_wait_comes_on_top(client, server):
    client.set_queue("q", capacity_jobs=1)
    job = client.enqueue("q").id
    with standing(server):
        given_up(lambda: client.lease("other", wait_ms=1_000), OutcomeUnknown, 3)
        given_up(lambda: client.enqueue("q", wait_ms=1_000), OutcomeUnknown, 3)
        given_up(lambda: client.wait(job, timeout_s=1), Unreachable, 3)


def test_calls_about_many_and_what_waits_for_a_job_wait_for_a_server(client, server):
    job = client.enqueue("q").id
    with standing(server, 4):
        client.enqueue_many([NewJob(queue="many")] * 3)
    with standing(server, 4):
        assert [one.id for one in client.jobs(queue="q")] == [job]
    with standing(server, 4):
        assert client.purge("many") == 3
    client.cancel(job)
    with standing(server, 4):
        assert client.wait(job, timeout_s=60).state == "cancelled"


def test_a_call_whose_turn_does_not_come_in_time_was_not_sent(server):
    """As many callers as an asynchronous client sends at a time, at a server that stands still, and one more."""

    async def crowd() -> list[Any]:
        async with AsyncClient(server.url, deadline_s=4) as client:
            calls = [asyncio.create_task(client.enqueue("q", n)) for n in range(AT_ONCE)]
            await asyncio.sleep(0)  # each has begun
            with pytest.raises(Unreachable, match=f"{AT_ONCE} other calls were under way"):
                await client.within(1).enqueue("q", "late")
            polled = asyncio.create_task(client.lease("other", wait_ms=1))  # it waits by intention, and takes nobody's turn
            return await asyncio.gather(*calls, polled, return_exceptions=True)

    with standing(server, 2.5):
        found = asyncio.run(crowd())
    assert [one.id for one in found[:-1]] == list(range(1, AT_ONCE + 1))
    assert found[-1] == []


@pytest.mark.parametrize("loop", LOOPS)
def test_an_answer_that_came_while_the_event_loop_was_busy_is_heard(server, loop):
    async def call() -> Any:
        async with AsyncClient(server.url, deadline_s=1) as client:
            await client.within(60).enqueue("q", 1)  # a connection is open
            with standing(server):
                put = asyncio.create_task(client.enqueue("q", 2))
                for _ in range(
                    3
                ):  # turns of the loop: in the first it is asked, in the next it is sent, as a connection is open
                    await asyncio.sleep(0)
            until(lambda: witness.queue("q").jobs.ready == 2, "it is done")  # which keeps the event loop from all else
            time.sleep(1)  # noqa: ASYNC251  (until the deadline is over)
            return await put

    with Client(server.url, deadline_s=60) as witness, asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(call()).id == 2


@pytest.mark.parametrize("clients", ["sync"], indirect=True)
def test_a_worker_outlives_a_server_that_is_away_for_long(clients, server):
    """One that polls, and one with a live channel: what their handlers did meanwhile is concluded, at the first attempt."""
    client = clients(server.url)
    begun, there = threading.Semaphore(0), threading.Event()

    def work(_job: Any) -> str:
        begun.release()
        assert there.wait(60)
        return "done"

    workers = [Worker(name, url=server.url, live=name == "live") for name in ("live", "polled")]
    for worker in workers:
        worker.handler()(work)
    with running(workers[0]), running(workers[1]):
        jobs = [client.enqueue(name).id for name in ("live", "polled")]
        for _ in jobs:
            assert begun.acquire(timeout=30)
        with standing(server, AWAY_S):
            there.set()
            ended = [client.wait(job, timeout_s=90) for job in jobs]
    assert [(job.state, job.result, job.attempt, job.crashes) for job in ended] == [("concluded", "done", 1, 0)] * 2
