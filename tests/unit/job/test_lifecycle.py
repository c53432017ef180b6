"""The state machine: every verb on every state, and what each allowed one changes. Whatever is not listed is refused.

A job is a frozen value, so a refusal changes nothing by itself; what is asserted of the allowed verbs is the whole difference that they
make, so that nothing changes by the way either.
"""

import pytest
from msgspec.structs import asdict, replace

from holdfast.errors import LeaseLost, WrongState
from holdfast.job import lifecycle
from holdfast.job.job import Extras, Job, Lease, LeaseRef, NewJob, State

NOW = 1_800_000_000_000
MINUTE = 60_000
LEASE = Lease(fence=7, secret=b"s" * 16, worker="w", leased_at=NOW - MINUTE, until=NOW + MINUTE, request="r")
NEW_LEASE = Lease(fence=8, secret=b"n" * 16, worker="v", leased_at=NOW, until=NOW + MINUTE)
OVERDUE = replace(LEASE, until=NOW)

READY = Job(
    id=5,
    queue="q",
    state=State.READY,
    priority=10,
    attempt=3,
    failures=1,
    crashes=1,
    max_attempts=25,
    size=2,
    created_at=NOW - 10 * MINUTE,
    ready_at=NOW - 5 * MINUTE,
    extras=Extras(tags=("t",)),
)
RUNNING = replace(READY, state=State.LEASED, lease=LEASE, leased_at=LEASE.leased_at)
JOBS = {
    "scheduled": replace(READY, state=State.SCHEDULED, ready_at=NOW + 1),
    "scheduled, due": replace(READY, state=State.SCHEDULED, ready_at=NOW),
    "ready": READY,
    "ready, held": replace(READY, held=True),
    "leased": RUNNING,
    "leased, overdue": replace(RUNNING, lease=OVERDUE),
    "concluded": replace(READY, state=State.CONCLUDED, ended_at=NOW - 1, ended_by=LEASE),
    "dead": replace(READY, state=State.DEAD, ended_at=NOW - 1, reason=lifecycle.FAILED),
    "cancelled": replace(READY, state=State.CANCELLED, ended_at=NOW - 1, reason=lifecycle.CANCELLED),
}
REF = RUNNING.ref()

VERBS = {
    "lease": lambda job: lifecycle.lease(job, NEW_LEASE),
    "extend": lambda job: lifecycle.extend(job, REF, NOW, NOW + 5),
    "conclude": lambda job: lifecycle.conclude(job, REF, NOW),
    "fail": lambda job: lifecycle.fail(job, REF, NOW, retry=True, delay_ms=500),
    "fail for good": lambda job: lifecycle.fail(job, REF, NOW, retry=False, delay_ms=500),
    "release": lambda job: lifecycle.release(job, REF, NOW, delay_ms=0, priority=None),
    "expire": lambda job: lifecycle.expire(job, NOW, max_crashes=5),
    "due": lambda job: lifecycle.due(job, NOW),
    "promote": lambda job: lifecycle.promote(job, NOW),
    "retry": lambda job: lifecycle.retry(job, NOW),
    "cancel": lambda job: lifecycle.cancel(job, NOW),
    "edit": lambda job: lifecycle.edit(job, NOW, 1, None, 30, 9, ("a", "b")),
    "delete": lambda job: (lifecycle.may_be_deleted(job), job)[1],
}
EDITED = {"priority": 1, "max_attempts": 30, "size": 9, "extras": Extras(tags=("a", "b"))}
CANCELLED = {"state": State.CANCELLED, "ended_at": NOW, "reason": lifecycle.CANCELLED}
ALLOWED: dict[tuple[str, str], dict[str, object]] = {
    ("lease", "ready"): {"state": State.LEASED, "attempt": 4, "lease": NEW_LEASE, "leased_at": NOW},
    ("extend", "leased"): {"lease": replace(LEASE, until=NOW + 5)},
    ("conclude", "leased"): {"state": State.CONCLUDED, "lease": None, "ended_at": NOW, "ended_by": LEASE},
    ("fail", "leased"): {"state": State.SCHEDULED, "lease": None, "failures": 2, "ready_at": NOW + 500},
    ("fail for good", "leased"): {
        "state": State.DEAD,
        "lease": None,
        "failures": 2,
        "ended_at": NOW,
        "reason": lifecycle.FAILED,
    },
    ("release", "leased"): {"state": State.READY, "lease": None, "ready_at": NOW},
    ("expire", "leased, overdue"): {"state": State.READY, "lease": None, "crashes": 2, "ready_at": NOW},
    ("due", "scheduled, due"): {"state": State.READY},
    ("promote", "scheduled"): {"state": State.READY, "ready_at": NOW},
    ("promote", "scheduled, due"): {"state": State.READY},
    ("retry", "dead"): {"state": State.READY, "failures": 0, "crashes": 0, "ready_at": NOW, "ended_at": None, "reason": None},
    ("cancel", "scheduled"): CANCELLED,
    ("cancel", "scheduled, due"): CANCELLED,
    ("cancel", "ready"): CANCELLED,
    ("cancel", "ready, held"): CANCELLED | {"held": False},
    ("cancel", "leased"): {"lease": replace(LEASE, cancel_requested=True)},
    ("cancel", "leased, overdue"): {"lease": replace(OVERDUE, cancel_requested=True)},
    **{("edit", state): EDITED for state in ("scheduled", "scheduled, due", "ready", "ready, held")},
    **{("delete", state): {} for state in JOBS if not state.startswith("leased")},
}
HOLDERS_VERBS = {"extend", "conclude", "fail", "fail for good", "release"}
FORBIDDEN = [(verb, state) for verb in VERBS for state in JOBS if (verb, state) not in ALLOWED]


def difference(before: Job, after: Job) -> dict[str, object]:
    old = asdict(before)
    return {name: value for name, value in asdict(after).items() if value != old[name]}


@pytest.mark.parametrize(("verb", "state"), ALLOWED)
def test_an_allowed_verb_changes_what_it_is_for_and_nothing_else(verb, state):
    assert difference(JOBS[state], VERBS[verb](JOBS[state])) == ALLOWED[verb, state]


@pytest.mark.parametrize(("verb", "state"), FORBIDDEN)
def test_a_verb_that_the_state_does_not_allow_is_refused_and_says_what_the_state_is(verb, state):
    job = JOBS[state]
    with pytest.raises(LeaseLost if verb in HOLDERS_VERBS else WrongState) as refusal:
        VERBS[verb](job)
    assert refusal.value.fields["job_id"] == job.id
    if verb not in HOLDERS_VERBS:
        assert refusal.value.fields["state"] == job.state.value


@pytest.mark.parametrize("verb", sorted(HOLDERS_VERBS))
@pytest.mark.parametrize(
    "ref",
    [
        replace(REF, job=6),
        replace(REF, attempt=2),
        replace(REF, attempt=4),
        replace(REF, fence=6),
        replace(REF, fence=8),
        replace(REF, secret=b"S" * 16),
        replace(REF, secret=b""),
        replace(REF, secret=b"s" * 15),
    ],
    ids=["job", "older attempt", "newer attempt", "older fence", "newer fence", "secret", "no secret", "part of the secret"],
)
def test_only_the_exact_lease_ends_an_attempt(verb, ref: LeaseRef):
    verbs = {
        "extend": lambda: lifecycle.extend(RUNNING, ref, NOW, NOW + 5),
        "shorten": lambda: lifecycle.shorten(RUNNING, ref, NOW, 5),
        "conclude": lambda: lifecycle.conclude(RUNNING, ref, NOW),
        "fail": lambda: lifecycle.fail(RUNNING, ref, NOW, True, 0),
        "fail for good": lambda: lifecycle.fail(RUNNING, ref, NOW, False, 0),
        "release": lambda: lifecycle.release(RUNNING, ref, NOW, 0, None),
    }
    with pytest.raises(LeaseLost):
        verbs[verb]()


def test_a_lease_holds_until_the_last_millisecond_and_not_one_longer():
    assert lifecycle.conclude(RUNNING, REF, LEASE.until - 1).state is State.CONCLUDED
    with pytest.raises(LeaseLost):
        lifecycle.conclude(RUNNING, REF, LEASE.until)
    with pytest.raises(WrongState):
        lifecycle.expire(RUNNING, LEASE.until - 1, 5)
    assert lifecycle.expire(RUNNING, LEASE.until, 5).state is State.READY


def test_a_lease_may_be_extended_to_an_earlier_end():
    assert lifecycle.extend(RUNNING, REF, NOW, NOW + 1).lease == replace(LEASE, until=NOW + 1)


@pytest.mark.parametrize(
    ("new", "state", "ready_at"),
    [
        (NewJob("q", b"1"), State.READY, NOW),
        (NewJob("q", b"1", delay_ms=0), State.READY, NOW),
        (NewJob("q", b"1", delay_ms=1), State.SCHEDULED, NOW + 1),
        (NewJob("q", b"1", run_at=NOW - 5), State.READY, NOW),
        (NewJob("q", b"1", run_at=NOW), State.READY, NOW),
        (NewJob("q", b"1", run_at=NOW + 1), State.SCHEDULED, NOW + 1),
    ],
)
def test_a_new_job_is_ready_at_once_unless_its_time_is_still_to_come(new, state, ready_at):
    job = lifecycle.enqueue(new, 1, 10, 3, NOW)
    assert (job.state, job.ready_at, job.created_at) == (state, ready_at, NOW)
    assert (job.attempt, job.failures, job.crashes, job.priority, job.max_attempts, job.size) == (0, 0, 0, 10, 3, 1)


# Counting ------------------------------------------------------------------------------------------------------------


def leased(job: Job, now: int = NOW) -> Job:
    fence = job.attempt + 1
    return lifecycle.lease(job, Lease(fence, bytes([fence]) * 16, "w", now, now + MINUTE))


def test_leases_failures_and_crashes_are_counted_apart():
    job = lifecycle.enqueue(NewJob("q", b"1"), 1, 10, 25, NOW)
    job = leased(job)
    job = leased(lifecycle.release(job, job.ref(), NOW, 0, None))
    job = leased(lifecycle.fail(job, job.ref(), NOW, True, 0))
    job = lifecycle.expire(job, NOW + MINUTE, 5)
    assert (job.attempt, job.failures, job.crashes, job.state) == (3, 1, 1, State.READY)


def test_a_release_never_uses_up_the_attempts_however_often_it_comes():
    job = lifecycle.enqueue(NewJob("q", b"1"), 1, 10, 1, NOW)
    for _ in range(50):
        job = leased(job)
        job = lifecycle.release(job, job.ref(), NOW, 0, None)
    assert (job.state, job.attempt, job.failures, job.crashes) == (State.READY, 50, 0, 0)


@pytest.mark.parametrize("max_attempts", [1, 2, 5])
def test_a_job_dies_at_the_failure_that_uses_up_its_attempts_and_not_before(max_attempts):
    job = lifecycle.enqueue(NewJob("q", b"1"), 1, 10, max_attempts, NOW)
    for _ in range(max_attempts - 1):
        job = leased(job)
        job = lifecycle.fail(job, job.ref(), NOW, True, 0)
        assert job.state is State.READY
    job = leased(job)
    job = lifecycle.fail(job, job.ref(), NOW, True, 0)
    assert (job.state, job.reason, job.failures) == (State.DEAD, lifecycle.ATTEMPTS_EXHAUSTED, max_attempts)


def test_crashes_and_failures_use_up_attempts_together():
    job = leased(lifecycle.enqueue(NewJob("q", b"1"), 1, 10, 2, NOW))
    job = leased(lifecycle.fail(job, job.ref(), NOW, True, 0))
    job = lifecycle.expire(job, NOW + MINUTE, max_crashes=5)
    assert (job.state, job.reason, job.failures, job.crashes) == (State.DEAD, lifecycle.ATTEMPTS_EXHAUSTED, 1, 1)


@pytest.mark.parametrize("max_crashes", [1, 3])
def test_a_job_that_crashes_its_workers_too_often_is_put_in_quarantine_long_before_its_attempts_run_out(max_crashes):
    job = lifecycle.enqueue(NewJob("q", b"1"), 1, 10, 1000, NOW)
    for _ in range(max_crashes - 1):
        job = lifecycle.expire(leased(job), NOW + MINUTE, max_crashes)
        assert job.state is State.READY
    job = lifecycle.expire(leased(job), NOW + MINUTE, max_crashes)
    assert (job.state, job.reason, job.crashes, job.failures) == (State.DEAD, lifecycle.CRASHED, max_crashes, 0)


def test_a_retry_by_hand_gives_all_tries_again_and_keeps_counting_attempts():
    job = leased(lifecycle.enqueue(NewJob("q", b"1"), 1, 10, 1, NOW))
    job = lifecycle.retry(lifecycle.fail(job, job.ref(), NOW, True, 0), NOW + 1)
    assert (job.failures, job.crashes, job.attempt, job.state) == (0, 0, 1, State.READY)
    assert leased(job).attempt == 2


# Cancelling what runs ------------------------------------------------------------------------------------------------

ASKED = lifecycle.cancel(RUNNING, NOW)


@pytest.mark.parametrize(
    "end",
    [
        lambda: lifecycle.fail(ASKED, REF, NOW, True, 0),
        lambda: lifecycle.fail(ASKED, REF, NOW, False, 0),
        lambda: lifecycle.fail(ASKED, REF, NOW, True, 0, max_crashes=1),
        lambda: lifecycle.release(ASKED, REF, NOW, 0, None),
        lambda: lifecycle.expire(ASKED, LEASE.until, 5),
        lambda: lifecycle.expire(ASKED, LEASE.until, 1),
    ],
    ids=["fail", "fail for good", "fail as a crash", "release", "expire", "expire into quarantine"],
)
def test_a_job_whose_cancellation_was_asked_for_does_not_run_again_however_its_attempt_ends(end):
    job = end()
    assert (job.state, job.reason, job.lease) == (State.CANCELLED, lifecycle.CANCELLED, None)


def test_work_that_was_finished_all_the_same_is_concluded_although_cancellation_was_asked_for():
    assert lifecycle.conclude(ASKED, REF, NOW).state is State.CONCLUDED


@pytest.mark.parametrize(
    ("left_ms", "least_ms", "lasts"), [(60, 30, 30), (600, 30, 300), (40, 30, 30), (30, 30, 30), (5, 30, 5)]
)
def test_a_shortened_lease_lasts_half_of_what_is_left_but_the_least_and_never_longer_than_before(left_ms, least_ms, lasts):
    running = replace(RUNNING, lease=replace(LEASE, until=NOW + left_ms))
    shortened = lifecycle.shorten(running, REF, NOW, least_ms)
    assert shortened == replace(running, lease=replace(LEASE, until=NOW + lasts))


def test_extending_a_lease_does_not_make_the_wish_to_cancel_forgotten():
    assert lifecycle.extend(ASKED, REF, NOW, NOW + 5).lease == replace(LEASE, until=NOW + 5, cancel_requested=True)


# Editing and returning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["scheduled", "ready", "ready, held"])
@pytest.mark.parametrize(
    ("moment", "outcome"),
    [(NOW - 9, (State.READY, NOW)), (NOW, (State.READY, NOW)), (NOW + 9, (State.SCHEDULED, NOW + 9))],
)
def test_editing_the_moment_of_a_waiting_job_schedules_it_or_makes_it_ready(state, moment, outcome):
    job = lifecycle.edit(JOBS[state], NOW, None, moment, None, None, None)
    assert (job.state, job.ready_at) == outcome
    assert job.held is (JOBS[state].held and job.state is State.READY)


def test_an_edit_of_nothing_changes_nothing():
    assert lifecycle.edit(READY, NOW, None, None, None, None, None) == READY


def test_a_release_may_put_the_job_off_and_give_it_another_priority():
    job = lifecycle.release(RUNNING, REF, NOW, 700, 2)
    assert (job.state, job.ready_at, job.priority) == (State.SCHEDULED, NOW + 700, 2)


def test_a_held_job_is_not_leased_before_its_group_admits_it():
    assert lifecycle.hold(READY) == JOBS["ready, held"]
    assert lifecycle.admit(JOBS["ready, held"]) == READY
