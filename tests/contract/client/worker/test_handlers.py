"""What a handler does becomes what the server keeps: results, failures, progress, follow-ups."""

import asyncio
import threading
import time

import pytest

from holdfast import DoNotRetry, GiveBack, NewJob, RetryIn, Worker
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until


def test_coroutines_and_plain_functions_give_results(worker, put, witness):
    work = worker()
    work.handler("plain")(lambda job: {"doubled": job.payload * 2})

    @work.handler("coroutine")
    async def add(job):
        await asyncio.sleep(0)
        return job.payload + 1

    @work.handler()
    def anything(job):
        return [job.type, job.attempt, threading.current_thread().name]

    with running(work):
        jobs = [put("plain", 4), put("coroutine", 4), put("neither")]
        results = [witness.result(job, 20) for job in jobs]
    assert results == [{"doubled": 8}, 5, ["neither", 1, "holdfast-handler"]]
    assert work.tally == {"concluded": 3}


def test_an_exception_is_a_failure_with_its_traceback_from_the_handler_on(worker, put, witness):
    work = worker()

    @work.handler()
    def broken(job):
        raise ValueError("out of paper")

    with running(work):
        job = witness.wait(put(max_attempts=1), 20)
    assert (job.state, job.reason) == ("dead", "attempts_exhausted")
    (error,) = job.errors
    assert error.reason == "ValueError: out of paper"
    assert (error.error.kind, error.error.message) == ("ValueError", "out of paper")
    assert error.error.traceback.endswith("ValueError: out of paper")
    assert "in broken" in error.error.traceback
    assert "holdfast/client" not in error.error.traceback
    assert error.error.place.endswith("test_handlers.py in broken")


def test_a_long_traceback_keeps_its_end(worker, put, witness):
    work = worker()

    @work.handler()
    async def broken(job):
        raise ValueError("x" * 20_000 + "the end")

    with running(work):
        (error,) = witness.wait(put(max_attempts=1), 20).errors
    assert error.error.traceback.endswith("the end")
    assert error.error.message.endswith("the end")
    assert len(error.reason) == 8_192


def test_a_handler_says_whether_and_when_to_try_again(worker, put, witness):
    work = worker()

    @work.handler()
    def picky(job):
        raise {"never": DoNotRetry("no use"), "later": RetryIn(60_000, "wait"), "not here": GiveBack(60_000)}[job.payload]

    with running(work):
        never, later, back = put(payload="never"), put(payload="later"), put(payload="not here")
        dead = witness.wait(never, 20)
        until(lambda: {witness.job(job).state for job in (later, back)} == {"scheduled"}, "both wait")
    assert (dead.reason, dead.errors[0].reason) == ("failed", "no use")
    waiting = witness.job(later)
    assert (waiting.failures, waiting.errors[0].reason) == (1, "wait")
    assert 50 < (waiting.ready_at - waiting.errors[0].at).total_seconds() < 70
    assert (witness.job(back).failures, witness.job(back).errors) == (0, [])


@pytest.mark.parametrize("result", [object(), "x" * 2_000_000], ids=["no JSON", "too large"])
def test_a_result_that_cannot_be_kept_ends_the_job_which_is_not_done_again_and_harms_no_other(worker, put, witness, result):
    work = worker(concurrency=4)
    together = threading.Barrier(4)

    @work.handler()
    def handle(job):
        together.wait(20)
        return result if job.payload == "bad" else job.payload

    with running(work):
        bad, *good = [put(payload=payload) for payload in ("bad", 1, 2, 3)]
        assert [witness.result(job, 20) for job in good] == [1, 2, 3]
        dead = witness.wait(bad, 20)
    assert (dead.state, dead.failures) == ("dead", 1)  # it is not done again
    assert dead.errors[0].reason.startswith("The work was done, but ")


def test_follow_ups_come_with_the_conclusion_and_not_with_a_failure(worker, put, witness, queue):
    work = worker()

    @work.handler("step")
    async def step(job):
        job.follow(NewJob(queue=f"{queue}.next", payload=job.payload))
        if job.payload == "bad":
            raise ValueError

    with running(work):
        witness.wait(put("step", "bad", max_attempts=1), 20)
        witness.wait(put("step", "good"), 20)
    assert [job.payload for job in witness.jobs(queue=f"{queue}.next")] == ["good"]


def test_a_follow_up_into_a_full_queue_waits_for_room_while_the_lease_is_kept(worker, put, witness, queue):
    witness.set_queue(f"{queue}.next", capacity_jobs=0)
    work, begun = worker(lease_ms=1_000), threading.Event()

    @work.handler()
    def step(job):
        begun.set()
        job.follow(NewJob(queue=f"{queue}.next"))

    with running(work):
        job = put()
        assert begun.wait(20)
        with pytest.raises(TimeoutError):
            witness.wait(job, 2)
        witness.change_queue(f"{queue}.next", capacity_jobs=1)
        assert (witness.wait(job, 20).state, witness.job(job).attempt) == ("concluded", 1)


def test_progress_is_seen_while_the_handler_runs_and_given_to_the_next_attempt(worker, put, witness):
    work, go, noted = worker(), threading.Event(), []

    @work.handler()
    def handle(job):
        noted.append(job.noted)
        job.note({"page": job.attempt})
        if job.attempt == 1:
            go.wait(20)
            job.note({"page": 99})
            raise RetryIn(0)

    with running(work):
        job = put()
        until(lambda: witness.job(job).progress == {"page": 1}, "the first note")
        go.set()
        assert witness.wait(job, 20).state == "concluded"
    assert noted == [None, {"page": 99}]


def test_progress_that_is_noted_just_before_the_end_is_kept(worker, put, witness):
    work = worker()

    @work.handler()
    async def handle(job):
        job.note({"at": job.payload})

    with running(work):
        jobs = [put(payload=n) for n in range(30)]
        for n, job in enumerate(jobs):
            assert witness.wait(job, 20).progress == {"at": n}


@pytest.mark.parametrize("progress", [object(), "x" * 70_000], ids=["no JSON", "too large"])
def test_progress_that_cannot_be_noted_raises_in_the_handler(worker, put, witness, progress):
    work = worker()

    @work.handler()
    def handle(job):
        with pytest.raises((TypeError, ValueError)):
            job.note(progress)
        return "went on"

    with running(work):
        assert witness.result(put(), 20) == "went on"


def test_an_attempt_has_no_more_time_than_its_handler_allows(worker, put, witness):
    work, over = worker(), threading.Event()

    @work.handler("coroutine", timeout_s=0.2)
    async def forever(job):
        try:
            await asyncio.sleep(60)
        finally:
            over.set()

    @work.handler("thread", timeout_s=0.2)
    def stubborn(job):
        over.wait(20)
        while not job.should_stop:
            pass

    with running(work):
        for kind in ("coroutine", "thread"):
            (error,) = witness.wait(put(kind, max_attempts=1), 20).errors
            assert "Timed out after 0.2 s" in error.reason
            assert over.wait(20)


def test_a_timeout_of_the_handlers_own_is_told_as_what_it_is(worker, put, witness):
    work = worker()

    @work.handler(timeout_s=60)
    async def handle(job):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    with running(work):
        (error,) = witness.wait(put(max_attempts=1), 20).errors
    assert "in handle" in error.error.traceback


def test_a_handler_that_cancels_itself_has_failed(worker, put, witness):
    work = worker()

    @work.handler()
    async def handle(job):
        raise asyncio.CancelledError

    with running(work):
        assert witness.wait(put(max_attempts=1), 20).failures == 1


def test_a_job_that_is_cancelled_stops_its_handler(worker, put, witness):
    work = worker(lease_ms=600)
    begun, stopped = threading.Semaphore(0), []

    @work.handler("coroutine")
    async def sleep(job):
        begun.release()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.append("coroutine")

    @work.handler("thread")
    def wait(job):
        begun.release()
        while True:
            time.sleep(0.01)
            if job.cancel_requested:
                stopped.append("thread")
            job.check()

    with running(work):
        for kind in ("coroutine", "thread"):
            job = put(kind)
            assert begun.acquire(timeout=20)
            witness.cancel(job)
            assert witness.wait(job, 20).state == "cancelled"
    assert stopped == ["coroutine", "thread"]
    assert work.tally == {"cancelled": 2}


def test_a_handler_may_conclude_although_it_was_to_be_cancelled(worker, put, witness):
    work, begun, go = worker(lease_ms=600), threading.Event(), threading.Event()

    @work.handler()
    def handle(job):
        begun.set()
        go.wait(20)
        return "done anyway"

    with running(work):
        job = put()
        assert begun.wait(20)
        witness.cancel(job)
        go.set()
        assert witness.result(job, 20) == "done anyway"


def test_handlers_in_processes_need_to_be_plain_functions():
    with pytest.raises(TypeError):

        @Worker("q").handler(process=True)
        async def handle(job):
            pass
