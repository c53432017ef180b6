"""The rules of operations: which jobs are meant, the pace, and how it goes on and ends."""

import pytest
from msgspec.structs import replace

from holdfast.auth.scope import Scope
from holdfast.errors import WrongState
from holdfast.job import operation as rules
from holdfast.job.job import NewJob, State
from holdfast.job.lifecycle import cancel, enqueue
from holdfast.job.operation import Do, Doing, JobFilter, Operation
from holdfast.limits import OPERATION_SKIPPED_NAMED, OPERATION_SKIPPED_REASONS, OPERATION_STEP_JOBS

NOW = 1_800_000_000_000
ONE = Operation(100, Do.CANCEL, JobFilter("q"), (State.READY,), NOW, next_us=NOW * 1_000)


def job(number=1, queue="q", now=NOW):
    return enqueue(NewJob(queue, b"1"), number, 1, 1, now)


def test_its_jobs_are_those_of_its_queue_and_states_that_were_there_before_it():
    assert rules.is_meant(ONE, job(), NOW)
    assert not rules.is_meant(ONE, job(100), NOW), "as late as itself"
    assert not rules.is_meant(ONE, job(queue="p"), NOW)
    assert not rules.is_meant(ONE, cancel(job(), NOW), NOW)
    assert not rules.is_meant(replace(ONE, scope=Scope(("p",))), job(), NOW)
    before = replace(ONE, filter=JobFilter(before=NOW - 1))
    assert not rules.is_meant(before, job(), NOW)
    assert rules.is_meant(before, job(now=NOW - 1), NOW)
    assert rules.is_meant(replace(ONE, filter=JobFilter(jobs=(1,))), cancel(job(), NOW), NOW), (
        "whether it can be done is another question"
    )


@pytest.mark.parametrize("per_s", [0.5, 1, 7, 50, 999, 20_000])
@pytest.mark.parametrize("late_ms", [[1], [20], [3, 500, 1], [40, 7_000, 20, 20]])
def test_in_no_time_are_more_started_than_its_pace_allows(per_s, late_ms):
    """However late its steps come."""
    one, now, started = replace(ONE, per_s=per_s), NOW, []
    for step in range(400):
        most = rules.allowance(one, now)
        started += [now] * most
        one = rules.stepped(one, now, "", step, most, [], most, last=False)
        now += late_ms[step % len(late_ms)]
    for first in range(0, len(started), max(1, len(started) // 40)):
        for last in range(first, len(started), max(1, len(started) // 40)):
            assert last - first + 1 <= 2 + per_s * (started[last] - started[first] + 100) / 1_000


def test_without_a_pace_a_step_takes_as_many_as_it_may():
    assert rules.allowance(ONE, NOW) == OPERATION_STEP_JOBS
    assert rules.allowance(replace(ONE, limit=5, done=3), NOW) == 2


def test_what_was_not_done_while_it_was_paused_is_not_caught_up_on():
    one = rules.paused(replace(ONE, per_s=50), True, NOW)
    assert one.state is Doing.PAUSED
    assert rules.allowance(rules.paused(one, False, NOW + 60_000), NOW + 60_000) == 1


def test_the_reasons_of_skipped_jobs_have_a_bound():
    skipped = [(f"reason{number % 30}", number) for number in range(3_000)]
    one = rules.stepped(ONE, NOW, "", 1, 0, skipped, 0, last=False)
    assert one.passed == 3_000
    assert len(one.skipped) == OPERATION_SKIPPED_REASONS + 1
    assert max(len(each.jobs) for each in one.skipped) == OPERATION_SKIPPED_NAMED


def test_one_that_has_ended_is_not_steered():
    done = rules.ended(ONE, Doing.DONE, NOW)
    for steer in (
        lambda: rules.paused(done, True, NOW),
        lambda: rules.cancelled(done, NOW),
        lambda: rules.at_rate(done, 1, NOW),
    ):
        with pytest.raises(WrongState):
            steer()


@pytest.mark.parametrize(
    ("own", "seen"),
    [(None, False), (Scope(("q",)), True), (Scope(("p",)), False), (Scope((), ("q",)), False), (Scope((), ("mail.eu",)), True)],
)
def test_only_who_reaches_as_far_sees_one_over_all_queues(own, seen):
    one = replace(ONE, filter=JobFilter(), scope=own)
    assert rules.is_visible(one, Scope(("q",), ("mail.",))) is seen
    assert rules.is_visible(one, None)


def test_a_silent_node_is_replaced():
    one = replace(ONE, worker="a", claimed_until=NOW + 5)
    assert rules.is_of_another(one, "b", NOW)
    assert not rules.is_of_another(one, "a", NOW)
    assert not rules.is_of_another(one, "b", NOW + 5)
    assert not rules.is_of_another(one, "", NOW), "there is one node only"
