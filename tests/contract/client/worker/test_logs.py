"""What a worker writes in its log: each attempt that failed, and each job that is dead."""

import logging
import re

import pytest

from holdfast import DoNotRetry, GiveBack, RetryIn
from holdfast.client import Retry
from holdfast.client.worker import Failed
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until


def test_a_handler_that_raises_is_logged_with_its_job_and_its_traceback(worker, put, witness, queue, lines):
    work = worker()

    @work.handler("print")
    def broken(job):
        raise ValueError("out of paper")

    with running(work):
        job = put("print", retry=Retry(base_ms=1, factor=1, max_ms=1, jitter=0), max_attempts=2)
        witness.wait(job, 20)
    first, second = lines("out of paper")
    assert first.getMessage() == f"job {job} ({queue}, print), attempt 1: failed: ValueError: out of paper"
    assert (first.levelname, first.job_id, first.queue, first.job_type, first.attempt) == ("WARNING", job, queue, "print", 1)
    assert first.exc_info[2].tb_frame.f_code.co_name == "broken", "from the handler on"
    assert second.attempt == 2
    (dead,) = lines(level=logging.ERROR)
    assert (dead.job_id, dead.attempt, dead.exc_info) == (job, 2, None)
    assert "dead" in dead.getMessage()


@pytest.mark.parametrize(
    ("raised", "level", "words"),
    [
        (Failed("no ink"), "WARNING", "failed: no ink"),
        (RetryIn(60_000, "jam"), "WARNING", "failed: jam"),
        (DoNotRetry("no such printer"), "WARNING", "failed: no such printer"),
        (GiveBack(60_000), "INFO", "released, ready again after 60000 ms"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_handler_that_says_how_it_ended_is_logged_without_a_traceback(worker, put, lines, raised, level, words):
    work = worker()

    @work.handler()
    async def handle(job):
        raise raised

    with running(work):
        put()
        until(lambda: bool(lines(words)), "it is logged")
    (said,) = lines(words)
    assert (said.levelname, said.exc_info) == (level, None)
    assert len(lines(level=logging.ERROR)) == isinstance(raised, DoNotRetry)


def test_a_handler_that_went_well_leaves_a_line(worker, put, witness, lines):
    work = worker()
    work.handler()(lambda job: None)
    with running(work):
        job = put()
        witness.wait(job, 20)
    begins, done = lines(f"job {job} ")
    assert (begins.levelname, begins.getMessage().partition(": ")[2]) == ("DEBUG", "begins")
    assert (done.levelname, done.job_id) == ("INFO", job)
    assert re.fullmatch(r"job \d+ \(.*\), attempt 1: done in 0\.\d\d\d s", done.getMessage())
    assert [each.getMessage() for each in lines("ended")] == ["ended: 1 concluded"]
    assert lines(level=logging.WARNING) == []
