"""Whatever comes between a handler's end and its answer: the job gets an outcome, its place is free again, and those beside it lose nothing."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading

import pytest

from holdfast import DoNotRetry, GiveBack, NewJob, RetryIn
from holdfast.client.worker import known_types
from holdfast.limits import TYPES
from tests.contract.client.worker import process_handlers
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(20)


class MuteExit(Exception):
    def __str__(self):
        raise SystemExit("no words")


class NoText(Exception):
    def __str__(self):
        return 5  # noqa: PLE0307


class Bare(RetryIn):
    def __init__(self):  # nothing of RetryIn is set
        pass


class Loud:
    def __repr__(self):
        raise ValueError("no words")


def recurse():
    return recurse()


def thrown(error):
    def throw(job):
        raise error() if isinstance(error, type) else error

    return throw


def follow(job_to_follow):
    def handle(job):
        job.follow(job_to_follow)

    return handle


def cyclic():
    loop = []
    loop.append(loop)
    return loop


def fails_to_encode():
    class Odd:
        def __iter__(self):
            raise ValueError("no")

    return Odd()


TABLE = {
    # Errors that can't be told, or say odd things
    "a text that raises": thrown(process_handlers.Mute),
    "a text that ends the program": thrown(MuteExit),
    "a text that is none": thrown(NoText),
    "half a surrogate pair": thrown(ValueError("\udcff.txt \ud800")),
    "half a surrogate pair, never again": thrown(DoNotRetry("\udcff")),
    "half a surrogate pair, later": thrown(RetryIn(60_000, "\ud8ff")),
    "NUL": thrown(ValueError("a\0b")),
    "a long text": thrown(ValueError("\U0001f600" * 100_000)),
    "a group": thrown(ExceptionGroup("many", [ValueError("\udcff"), process_handlers.Mute()])),
    "a group of the base": thrown(BaseExceptionGroup("many", [KeyboardInterrupt(), ValueError("x")])),
    "unpicklable": thrown(process_handlers.Unpicklable(1, 2)),
    # What is no `Exception`
    "SystemExit": thrown(SystemExit(3)),
    "sys.exit": lambda job: sys.exit("\udcff"),
    "KeyboardInterrupt": thrown(KeyboardInterrupt),
    "CancelledError": thrown(asyncio.CancelledError),
    "GeneratorExit": thrown(GeneratorExit),
    "StopIteration": thrown(StopIteration(5)),
    "StopAsyncIteration": thrown(StopAsyncIteration),
    "TimeoutError": thrown(TimeoutError("of another")),
    "RecursionError": lambda job: recurse(),
    "MemoryError": thrown(MemoryError),
    # Delays that are none
    "RetryIn(1.5)": thrown(RetryIn(1.5)),
    "RetryIn(-5)": thrown(RetryIn(-5)),
    "RetryIn(nan)": thrown(RetryIn(float("nan"))),
    "RetryIn(inf)": thrown(RetryIn(float("inf"))),
    "RetryIn(10**30)": thrown(RetryIn(10**30)),
    "RetryIn(text)": thrown(RetryIn("soon")),
    "RetryIn(None)": thrown(RetryIn(None)),
    "RetryIn(loud)": thrown(RetryIn(Loud())),
    "RetryIn without anything": thrown(Bare),
    "GiveBack(0.5)": thrown(GiveBack(60_000.5)),
    "GiveBack(inf)": thrown(GiveBack(float("inf"))),
    "GiveBack(nan)": lambda job: thrown(GiveBack(float("nan")) if job.attempt == 1 else DoNotRetry("enough"))(job),
    "GiveBack(-5)": lambda job: thrown(GiveBack(-5) if job.attempt == 1 else DoNotRetry("enough"))(job),
    # Results that can't be kept
    "an object": lambda job: object(),
    "a coroutine": lambda job: asyncio.sleep(0),
    "a generator": lambda job: (n for n in range(3)),
    "a function": lambda job: recurse,
    "NaN": lambda job: {"deep": [1, None, float("nan")]},
    "an infinity": lambda job: float("-inf"),
    "a huge number": lambda job: 10**5_000,
    "half a surrogate pair as a result": lambda job: "\udcff",
    "a circle": lambda job: cyclic(),
    "a result too large": lambda job: "x" * 2_000_000,
    "a result much too large": lambda job: "x" * 30_000_000,
    "keys that are none": lambda job: {(1, 2): 3},
    "an iterator that raises": lambda job: fails_to_encode(),
    # Follow-ups that can't be put
    "a follow-up that is no JSON": follow(NewJob(queue="next", payload=object())),
    "a follow-up with NaN": follow(NewJob(queue="next", payload=float("nan"))),
    "a follow-up into no queue": follow(NewJob(queue="no such name / at all")),
    "a follow-up with half a surrogate pair": follow(NewJob(queue="next", type="\udcff")),
    "a follow-up too large": follow(NewJob(queue="next", payload="x" * 2_000_000)),
    "a follow-up with a negative priority": follow(NewJob(queue="next", priority=-1)),
    "a follow-up that is none": follow("next"),
    # Progress that can't be noted
    "progress that is no JSON": lambda job: job.note(object()),
    "progress that is NaN": lambda job: job.note(float("nan")),
    "progress that is too large": lambda job: job.note("x" * 100_000),
    "progress that is a surrogate": lambda job: job.note("\udcff"),
}


def settled(witness, job_id):
    """It has an outcome, and nobody holds it any more."""
    return witness.job(job_id).state in ("dead", "concluded", "scheduled", "cancelled")


@pytest.mark.parametrize("live", [True, False], ids=["live", "polls"])
@pytest.mark.parametrize("kind", ["coroutine", "thread"])
def test_whatever_a_handler_ends_with_is_an_outcome_and_harms_no_other(worker, put, witness, kind, live):
    work = worker(concurrency=3, prefetch=3, live=live, lease_ms=20_000, grace_s=5)

    def handle(job):
        return "good" if job.type == "good" else TABLE[job.payload](job)

    async def handle_on_the_loop(job):
        return handle(job)

    work.handler("bad")(handle if kind == "thread" else handle_on_the_loop)
    work.handler("good")(handle if kind == "thread" else handle_on_the_loop)
    jobs = {}
    for name in TABLE:
        jobs[name] = put("bad", name, max_attempts=1)
        jobs[f"beside {name}"] = put("good")
    with running(work):
        for name, job_id in jobs.items():
            until(lambda job_id=job_id: settled(witness, job_id), f"{name} has an outcome")
        again = [put("good") for _ in range(6)]  # every place is free again
        assert [witness.result(job, 20) for job in again] == ["good"] * 6
    for name, job_id in jobs.items():
        job = witness.job(job_id)
        if name.startswith("beside"):
            # Not always the first attempt: what a channel was granted and has no room for any more is given back, which counts nothing.
            assert (job.state, job.failures, job.crashes, job.result) == ("concluded", 0, 0, "good"), name
        else:
            assert job.crashes == 0, (name, job)
            if name in ("GiveBack(0.5)", "GiveBack(inf)"):
                assert (job.state, job.failures) == ("scheduled", 0), name
            else:
                assert (job.state, job.failures) == ("dead", 1), (name, job)
                assert job.errors[0].kind == "failed"
                assert job.errors[0].reason, name


def test_whatever_a_handler_in_a_process_ends_with_is_an_outcome_and_harms_no_other(worker, put, witness):
    work = worker(concurrency=2)
    work.handler("bad", process=True)(process_handlers.end)
    work.handler("good")(lambda job: "good")
    hows = ["unpicklable", "mute", "surrogate", "group", "exit", "interrupt", "recursion", "delay nan", "never"]
    hows += ["object", "nan", "generator", "large"]
    with running(work):
        bad = {how: put("bad", how, max_attempts=1) for how in hows}
        good = [put("good") for _ in hows]
        assert [witness.result(job, 60) for job in good] == ["good"] * len(hows)
        ended = {how: witness.wait(job, 60) for how, job in bad.items()}
    for how, job in ended.items():
        assert (job.state, job.failures, job.crashes) == ("dead", 1, 0), (how, job)


def test_what_the_text_of_an_error_holds_is_told_as_far_as_it_can_be(worker, put, witness):
    work = worker()

    @work.handler()
    def broken(job):
        raise {"surrogate": OSError("no such file: caf\udce9.txt"), "mute": process_handlers.Mute()}[job.payload]

    with running(work):
        surrogate = witness.wait(put(payload="surrogate", max_attempts=1), 20).errors[0]
        mute = witness.wait(put(payload="mute", max_attempts=1), 20).errors[0]
    assert surrogate.reason == r"OSError: no such file: caf\udce9.txt"
    assert surrogate.error.traceback.endswith(surrogate.reason)
    assert "Mute" in mute.reason
    assert "in broken" in mute.error.traceback


@pytest.mark.parametrize(("given", "low", "high"), [(1.5, 0, 5_000), (-5, 0, 5_000), (60_000.2, 50_000, 61_000)])
def test_a_delay_that_is_no_whole_number_of_milliseconds_is_made_one(worker, put, witness, given, low, high):
    work = worker()

    @work.handler()
    def later(job):
        if job.attempt == 1:
            raise RetryIn(given, "later")

    with running(work):
        job = put()
        until(lambda: witness.job(job).failures == 1, "it has failed once")
        seen = witness.job(job)
        delay = (seen.ready_at - seen.errors[0].at).total_seconds() * 1_000
        assert low <= delay <= high
        if high < 10_000:
            assert witness.wait(job, 20).state == "concluded"


def test_a_log_that_raises_costs_no_outcome(worker, put, witness):
    class Broken(logging.Handler):
        def emit(self, record):
            raise OSError("the disk of the log is full")

    broken = Broken()
    log = logging.getLogger("holdfast.worker")
    log.addHandler(broken)
    work = worker(concurrency=1)

    @work.handler()
    def handle(job):
        if job.payload == "bad":
            raise ValueError("no")
        return job.payload

    try:
        with running(work):
            bad = put(payload="bad", max_attempts=1)
            assert witness.result(put(payload=1), 20) == 1
            assert witness.wait(bad, 20).state == "dead"
    finally:
        log.removeHandler(broken)


def test_many_large_results_at_once_are_all_kept(worker, put, witness):
    count = 40
    work, together = worker(concurrency=count), threading.Barrier(count)

    @work.handler()
    def large(job):
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(20)
        return "x" * 1_000_000

    jobs = [put(max_attempts=1) for _ in range(count)]
    with running(work):
        for job in jobs:
            assert len(witness.result(job, 60)) == 1_000_000


# Crashes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "payload", "words"),
    [
        (process_handlers.kill, "SIGKILL", "killed by SIGKILL"),
        (process_handlers.kill, "SIGABRT", "killed by SIGABRT"),
        (process_handlers.segfault, None, "killed by SIGSEGV"),
        (process_handlers.leave, 3, "exit code 3"),
        (process_handlers.leave, 0, "exit code 0"),
    ],
)
def test_a_process_that_is_killed_counts_as_a_crash_and_ends_in_quarantine(
    worker, put, witness, queue, handler, payload, words
):
    witness.set_queue(queue, max_crashes=2)
    work = worker(concurrency=2)
    work.handler("kill", process=True)(handler)
    work.handler("good", process=True)(process_handlers.pid)
    with running(work):
        killer, good = put("kill", payload), [put("good") for _ in range(4)]
        job = witness.wait(killer, 40)
        assert all(isinstance(witness.result(each, 40), int) for each in good)
    assert (job.state, job.reason, job.crashes, job.failures) == ("dead", "crashed", 2, 0)
    assert [error.kind for error in job.errors] == ["crashed", "crashed"]
    assert words in job.errors[0].reason
    assert [witness.job(each).crashes for each in good] == [0] * 4


def test_a_process_that_was_killed_while_it_was_idle_is_no_crash_of_the_next_job(worker, put, witness):
    work = worker(concurrency=1)
    work.handler("pid", process=True)(process_handlers.pid)
    with running(work):
        first = witness.result(put("pid"), 40)
        os.kill(first, signal.SIGKILL)
        second = put("pid")
        assert witness.result(second, 40) != first
    assert (witness.job(second).crashes, witness.job(second).attempt) == (0, 1)


# Types without a handler ---------------------------------------------------------------------------------------------


@pytest.fixture
def telling_no_types(monkeypatch):
    """As with a server that knows no leases by type."""
    monkeypatch.setattr(known_types.KnownTypes, "names", lambda self: None)


@pytest.mark.parametrize("live", [True, False], ids=["live", "polls"])
def test_a_job_without_a_handler_stays_where_it_is_for_a_worker_that_has_one(worker, put, witness, live):
    old, new = worker(live=live), worker(live=live)
    old.handler("known")(lambda job: "old")
    with running(old):
        jobs = [put("new", max_attempts=1) for _ in range(3)]
        assert witness.result(put("known"), 20) == "old"
        assert {(witness.job(job).state, witness.job(job).attempt) for job in jobs} == {("ready", 0)}
        new.handler("new")(lambda job: "new")
        with running(new):
            assert [witness.result(job, 20) for job in jobs] == ["new"] * 3
    assert old.tally == {"concluded": 1}


@pytest.mark.parametrize("live", [True, False], ids=["live", "polls"])
def test_a_server_that_refuses_types_is_asked_for_all(worker, put, witness, lines, monkeypatch, live):
    monkeypatch.setattr(known_types, "TYPES", 10_000)  # more than the server takes
    work = worker(live=live, register=True)
    for number in range(TYPES + 1):
        work.handler(f"t{number}")(lambda job: job.type)
    with running(work):
        assert witness.result(put("t7"), 20) == "t7"
    assert len(lines("the server knows no leases by type", logging.WARNING)) == 1


def test_a_registered_worker_shows_the_types_that_it_has_handlers_for(worker, put, witness, queue):
    work, every = worker(register=True), worker(register=True)
    for kind in ("b", "a"):
        work.handler(kind)(lambda job: None)
    every.handler("c")(lambda job: None)
    every.handler()(lambda job: None)
    with running(work), running(every):
        until(lambda: len([one for one in witness.workers() if queue in one.queues]) == 2, "both are registered")
        assert sorted([str(one.types) for one in witness.workers() if queue in one.queues]) == ["None", "['a', 'b']"]


@pytest.mark.parametrize("live", [True, False], ids=["live", "polls"])
def test_a_job_without_a_handler_that_came_all_the_same_goes_back_for_a_worker_that_has_one_and_spends_no_try(
    worker, put, witness, queue, lines, live, telling_no_types
):
    old, new = worker(live=live), worker(live=live)
    old.handler("known")(lambda job: "old")
    with running(old):
        jobs = [put("new", max_attempts=1) for _ in range(3)]
        until(lambda: {witness.job(job).state for job in jobs} == {"scheduled"}, "they wait")
        assert witness.result(put("known"), 20) == "old"
        new.handler("new")(lambda job: "new")
        new.handler("known")(lambda job: "new")
        with running(new):
            assert [witness.result(job, 60) for job in jobs] == ["new"] * 3
    assert {(witness.job(job).failures, witness.job(job).crashes) for job in jobs} == {(0, 0)}
    assert len(lines("no handler for the type 'new'", logging.WARNING)) == 1


def test_a_job_that_nobody_knows_comes_again_ever_more_seldom(worker, put, witness, telling_no_types):
    old = worker()
    old.handler("known")(lambda job: "old")
    with running(old):
        job = put("unheard of", max_attempts=1)
        waits = []
        for attempt in (1, 2, 3):
            until(lambda attempt=attempt: witness.job(job).attempt >= attempt and witness.job(job).state == "scheduled", "back")
            seen = witness.job(job)
            waits.append((seen.ready_at - seen.created_at).total_seconds())
            witness.promote(job)
    assert waits[1] - waits[0] < waits[2] - waits[0]
    assert witness.job(job).failures == 0
