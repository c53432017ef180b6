"""A worker that is told to end, or is killed: an interruption costs no try, a crash is called one."""

import signal

import pytest

from holdfast import NewJob
from tests.system.whole.servers import until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_it_finishes_what_it_has_and_takes_nothing_more(program, put, witness, number):
    ending = program(concurrency=2, grace_s=20)
    job = put("sleep", 1.0)
    ending.said.wait_for(f"begun {job}")
    ending.send(number)
    ending.said.wait_for("draining")
    late = put("sleep", 0)
    assert ending.ended() == 0
    assert (witness.job(job).state, witness.job(job).attempt) == ("concluded", 1)
    seen = witness.job(late)
    assert (seen.state, seen.failures, seen.crashes) == ("ready", 0, 0)


@pytest.mark.parametrize("kind", ["sleep", "stubborn", "busy process"])
def test_what_does_not_finish_in_time_is_released_and_no_try_is_spent(program, put, witness, kind):
    ending = program(concurrency=1, prefetch=1, grace_s=0.5)
    job = put(kind, 120)
    until(lambda: witness.job(job).state == "leased", "it has begun")
    waiting = put(kind, 120)
    until(lambda: witness.job(waiting).state == "leased", "one waits")
    ending.send(signal.SIGTERM)
    assert ending.ended() == 0
    for each in (job, waiting):
        seen = witness.job(each)
        assert (seen.state, seen.failures, seen.crashes) == ("ready", 0, 0)
    if kind == "sleep":
        assert witness.job(job).progress == {"attempt": 1}, "what it noted is kept for the next attempt"


def test_an_idle_worker_ends_at_once_and_its_open_poll_takes_no_job_with_it(program, put, witness):
    ending = program()
    ending.send(signal.SIGTERM)
    jobs = [put("sleep", 0) for _ in range(3)]
    assert ending.ended() == 0
    seen = [witness.job(job) for job in jobs]
    assert {job.state for job in seen} <= {"ready", "concluded"}
    assert not any(job.crashes or job.failures for job in seen)


def test_a_second_signal_ends_it_at_once(program, put):
    ending = program(grace_s=60)
    job = put("sleep", 120)
    ending.said.wait_for(f"begun {job}")
    ending.send(signal.SIGTERM)
    ending.said.wait_for("draining")
    ending.send(signal.SIGTERM)
    assert ending.ended() == 128 + signal.SIGTERM


def test_the_jobs_of_a_killed_worker_come_back_as_crashed_and_are_all_done(program, witness, queue):
    ids = [
        receipt.id
        for receipt in witness.enqueue_many(NewJob(queue=queue, type="sleep", payload=0.3 + n % 10 * 0.04) for n in range(200))
    ]
    first = program(lease_ms=4_000, concurrency=10)
    until(lambda: witness.queue(queue).jobs.concluded >= 10, "it works")

    def stands_in_the_middle() -> bool:
        first.send(signal.SIGSTOP)
        witness.set_queue(queue)  # a commit after those of the calls that it has sent
        if witness.queue(queue).jobs.leased > 0:
            return True
        first.send(signal.SIGCONT)  # between two jobs
        return False

    until(stands_in_the_middle, "it has jobs")
    first.send(signal.SIGKILL)
    first.ended()
    program(lease_ms=4_000, concurrency=40)
    done = [witness.wait(job, 30) for job in ids]
    assert {job.state for job in done} == {"concluded"}
    assert {job.failures for job in done} == {0}
    crashes = [job.crashes for job in done]
    assert max(crashes) == 1, [(job.attempt, job.crashes, job.failures) for job in done]
    assert 0 < sum(crashes) <= 10


def test_the_jobs_of_a_killed_worker_are_ready_again_within_half_a_minute(program, put, witness):
    first = program()
    job = put("sleep", 120)
    first.said.wait_for(f"begun {job}")
    assert 30_000 < witness.job(job).lease_ms_left <= 60_000
    first.send(signal.SIGKILL)
    first.ended()
    until(lambda: 0 < witness.job(job).lease_ms_left <= 30_000, "its lease ends sooner")


def test_the_next_server_takes_over_when_one_is_gone(program, put, witness, proxy, shared):
    working = program(url=f"{proxy.url},{shared.url}", lease_ms=2_000, live=0)
    job = put("sleep", 3)
    working.said.wait_for(f"begun {job}")
    assert proxy.requests
    proxy.close()
    done = witness.wait(job, 30)
    assert (done.state, done.attempt, done.crashes) == ("concluded", 1, 0)
    assert witness.wait(put("sleep", 0), 30).state == "concluded"
