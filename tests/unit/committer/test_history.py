"""The history behind the plots: counts, depths and quantiles by step, bounded, and forgotten with a queue."""

import math
import random

import pytest

from holdfast.committer import history
from holdfast.committer.history import ALL, BOUNDS_MS, Recorder, quantile
from holdfast.errors import InvalidRequest
from holdfast.job.job import Job, Lease, State
from holdfast.messages import events
from holdfast.messages.queries import GetHistory
from holdfast.stores.store import Change

START = 1_800_000_000_000  # a whole number of every step


def job(state=State.READY, ready_at=START, leased_at=None, **more):
    lease = Lease(1, b"", "w", leased_at, leased_at + 1_000) if state is State.LEASED else None
    return Job(
        1,
        "q",
        state,
        1_024,
        **{
            "attempt": 1,
            "failures": 0,
            "crashes": 0,
            "max_attempts": 9,
            "size": 1,
            "created_at": START,
            "ready_at": ready_at,
            "lease": lease,
        }
        | more,
    )


def steps(recorder, now, queue="q", span="hour"):
    return recorder.answer(GetHistory(queue, span), now).steps


def test_what_happened_is_counted_in_its_step_for_the_queue_and_for_all():
    recorder = Recorder(START)
    recorder.committed({(events.ENQUEUED, "q"): 3, (events.CONCLUDED, "q"): 1, (events.ENQUEUED, "r"): 2}, [], START + 1)
    recorder.committed(
        {(events.FAILED, "q"): 1, (events.EXPIRED, "q"): 1, (events.DIED, "q"): 1, (events.EXTENDED, "q"): 9}, [], START + 2
    )
    assert not recorder.due(START + 9_999)
    assert recorder.due(START + 10_000)
    recorder.depths({"q": 7, "r": 2}, 9, START + 10_000)
    recorder.roll(START + 10_000)
    (step,) = steps(recorder, START + 10_000)
    assert (step.at, step.came, step.done, step.failed, step.died, step.depth) == (START, 3, 1, 2, 1, 7)
    assert (step.wait_p50, step.run_p95) == (None, None)
    (whole,) = steps(recorder, START + 10_000, ALL)
    assert (whole.came, whole.done, whole.failed, whole.died, whole.depth) == (5, 1, 2, 1, 9)


def test_waits_and_run_times_come_from_the_jobs_that_changed():
    recorder = Recorder(START)
    changes = [
        Change(job(), job(State.LEASED, leased_at=START + 150)),  # waited 150 ms
        Change(job(State.LEASED, leased_at=START), job(State.CONCLUDED)),  # ran for 3 s
        Change(job(State.LEASED, leased_at=START), job(failures=1)),  # failed after 3 s
        Change(job(State.LEASED, leased_at=START), job()),  # handed back: not a run
        Change(job(State.LEASED, leased_at=START), job(crashes=1)),  # its lease ended: not a run
        Change(job(State.LEASED, leased_at=START), job(State.LEASED, leased_at=START)),  # extended
        Change(None, job()),
        Change(job(), None),
    ]
    recorder.committed({}, changes, START + 3_000)
    recorder.roll(START + 10_000)
    (step,) = steps(recorder, START + 10_000)
    assert 100 <= step.wait_p50 <= 200
    assert 2_000 <= step.run_p50 <= step.run_p95 <= 5_000


def test_of_a_large_commit_some_are_timed_and_stand_for_the_others():
    recorder = Recorder(START)
    slow = [Change(job(), job(State.LEASED, leased_at=START + 60_000)) for _ in range(1_000)]
    quick = [Change(job(), job(State.LEASED, leased_at=START + 3)) for _ in range(3_000)]
    recorder.committed({}, [*slow, *quick], START)
    recorder.committed({}, [Change(job(), job(State.LEASED, leased_at=START + 60_000))], START)
    recorder.roll(START + 10_000)
    (step,) = steps(recorder, START + 10_000)
    assert 2 <= step.wait_p50 <= 5
    assert 30_000 <= step.wait_p95 <= 60_000


def test_a_quantile_is_off_by_at_most_its_bucket():
    values = [random.Random(7).lognormvariate(6, 2) for _ in range(5_000)]
    counts = [0] * (len(BOUNDS_MS) + 1)
    for value in values:
        counts[history.bisect_left(BOUNDS_MS, value)] += 1
    for share in (0.5, 0.95, 0.99):
        exact = sorted(values)[int(share * len(values))]
        number = history.bisect_left(BOUNDS_MS, exact)
        low, high = (BOUNDS_MS[number - 1] if number else 0), BOUNDS_MS[min(number, len(BOUNDS_MS) - 1)]
        assert low <= quantile(counts, share) <= high
    assert math.isnan(quantile([0] * 25, 0.5))


def test_the_oldest_steps_fall_out_and_a_leap_of_the_clock_leaves_no_old_ones():
    recorder = Recorder(START)
    for number in range(400):
        recorder.committed({(events.ENQUEUED, "q"): number + 1}, [], START + 10_000 * number)
        recorder.roll(START + 10_000 * (number + 1))
    found = steps(recorder, START + 4_000_000)
    assert [step.came for step in found] == list(range(41, 401))
    later = START + 30 * 86_400_000
    recorder.roll(later)
    assert {step.came for step in steps(recorder, later)} == {0}
    assert len(steps(recorder, later)) == 360
    assert len(steps(recorder, later, span="day")) == 288


def test_the_day_has_longer_steps_that_add_up_to_the_same():
    recorder = Recorder(START)
    for number in range(60):
        recorder.committed({(events.ENQUEUED, "q"): 2}, [], START + 10_000 * number)
        recorder.roll(START + 10_000 * (number + 1))
    found = steps(recorder, START + 600_000, span="day")
    assert [(step.at, step.came) for step in found] == [(START, 60), (START + 300_000, 60)]


def test_it_says_when_it_began_and_refuses_spans_that_it_does_not_have():
    recorder = Recorder(START + 5)
    answer = recorder.answer(GetHistory("q"), START + 6)
    assert (answer.began_at, answer.step_ms, answer.steps) == (START + 5, 10_000, [])
    with pytest.raises(InvalidRequest):
        recorder.answer(GetHistory("q", "week"), START)


def test_queues_past_the_bound_have_none_until_another_has_been_idle_for_an_hour(monkeypatch):
    monkeypatch.setattr(history, "HISTORY_QUEUES", 3)
    recorder = Recorder(START)
    for name in "abcd":
        recorder.committed({(events.ENQUEUED, name): 1}, [], START + 1)
    recorder.roll(START + 10_000)
    assert [bool(steps(recorder, START + 10_000, name)) for name in "abcd"] == [True, True, True, False]
    assert steps(recorder, START + 10_000, ALL)[0].came == 4
    recorder.committed({(events.ENQUEUED, "b"): 1, (events.ENQUEUED, "c"): 1}, [], START + 3_000_000)
    recorder.committed({(events.ENQUEUED, "d"): 1}, [], START + 3_700_000)
    recorder.roll(START + 3_710_000)
    assert [bool(steps(recorder, START + 3_710_000, name)) for name in "abcd"] == [False, True, True, True]


def test_a_deleted_queue_is_forgotten_and_small_pictures_keep_the_peaks():
    recorder = Recorder(START)
    for number in range(120):
        recorder.committed({(events.ENQUEUED, "q"): 1}, [], START + 10_000 * number)
        recorder.depths({"q": 90 if number == 61 else 1}, 1, START + 10_000 * (number + 1))
        recorder.roll(START + 10_000 * (number + 1))
    now = START + 1_200_000
    (picture,) = recorder.answer(GetHistory(names=["q", "none"]), now).depths.values()
    assert len(picture) == 30
    assert max(picture) == 90
    recorder.forget("q")
    assert steps(recorder, now) == []
    assert recorder.answer(GetHistory(names=["q"]), now).depths == {}
