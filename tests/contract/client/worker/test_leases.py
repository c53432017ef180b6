"""Leases are kept whatever a handler does to its process; one that is lost all the same counts for nothing."""

import asyncio
import signal
import threading
import time

import pytest

from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until

LEASE_MS = 700


@pytest.mark.parametrize("kind", ["blocks the loop", "busy thread", "busy process"])
def test_work_that_takes_longer_than_its_lease_is_done_once(program, put, witness, kind):
    program(lease_ms=LEASE_MS)
    job = witness.wait(put(kind, 3 * LEASE_MS / 1_000), 30)
    assert (job.state, job.attempt, job.crashes) == ("concluded", 1, 0)


def test_jobs_that_wait_their_turn_keep_their_leases_too(program, put, witness):
    program(lease_ms=LEASE_MS, concurrency=1, prefetch=1)
    first, second = put("sleep", 2), put("sleep", 0)
    assert [witness.wait(job, 30).attempt for job in (first, second)] == [1, 1]


def test_a_worker_that_stood_still_drops_what_it_did(program, put, witness):
    stopped = program(lease_ms=LEASE_MS, concurrency=1, prefetch=0)  # so that it does not ask for more while it stands
    job = put("sleep", 1.5)
    stopped.said.wait_for(f"begun {job}")
    stopped.send(signal.SIGSTOP)
    until(lambda: witness.job(job).crashes == 1, "its lease has ended")
    other = program(lease_ms=60_000)
    other.said.wait_for(f"begun {job}")
    stopped.send(signal.SIGCONT)
    done = witness.wait(job, 30)
    assert (done.attempt, done.result, done.crashes) == (2, 2, 1)
    stopped.said.wait_for("lease was lost")


def test_a_lost_lease_stops_a_coroutine_and_its_result_is_dropped(shared, worker, put, witness, caplog):
    """The thread that keeps the leases is held up, as a machine without a network holds it up."""
    work, stopped, begun = worker(lease_ms=LEASE_MS), threading.Event(), threading.Event()

    @work.handler()
    async def sleep(job):
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()

    from holdfast.client.worker.lease_extender import LeaseExtender  # noqa: PLC0415

    kept = LeaseExtender._extend

    def too_late(holder, batch, entries):
        if batch:
            time.sleep(2 * LEASE_MS / 1_000)
        kept(holder, batch, entries)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LeaseExtender, "_extend", too_late)
        with running(work):
            job = put(max_attempts=1)
            assert begun.wait(20)
            assert stopped.wait(20)
            until(lambda: work.tally["lost"] == 1, "it is dropped")
    assert (witness.job(job).state, witness.job(job).crashes) == ("dead", 1)
    assert "its lease was lost" in caplog.text


def test_a_process_that_dies_fails_its_own_job_and_no_other(program, put, witness):
    program(concurrency=2)
    pids = {witness.result(put("pid"), 30) for _ in range(3)}
    assert len(pids) == 1, "a process is kept for the next job"
    beside = put("busy process", 1.0)
    (error,) = witness.wait(put("die", max_attempts=1), 30).errors
    assert "exit code 3" in error.reason
    assert witness.wait(beside, 30).state == "concluded"


def test_a_handler_in_a_process_is_ended_when_its_time_is_up(program, put, witness):
    program(concurrency=1)
    began = time.monotonic()
    (error,) = witness.wait(put("slow process", 60, max_attempts=1), 30).errors
    assert "Timed out after 0.5 s" in error.reason
    assert witness.wait(put("busy process", 0), 30).state == "concluded"
    assert time.monotonic() - began < 20, "it did not hold its place"
