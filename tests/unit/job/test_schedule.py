"""When a schedule fires, and what becomes of missed fires, as pure rules."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from holdfast.errors import InvalidRequest
from holdfast.job.job import NewJob
from holdfast.job.schedule import (
    GRACE_MS,
    Missed,
    Schedule,
    ScheduleSpec,
    check,
    fired,
    fires,
    next_after,
    refused,
    within_bounds,
)
from holdfast.limits import INTERVAL_MS_MAX, INTERVAL_MS_MIN, MISSED_FIRES, SCHEDULE_RETRY_MAX_MS, SCHEDULE_RETRY_MS

JOB = NewJob("q", b"1")
MINUTE = 60_000


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def cron(expression: str, timezone: str = "UTC") -> ScheduleSpec:
    return ScheduleSpec(JOB, cron=expression, timezone=timezone)


def every(interval_ms: int, missed: Missed = Missed.ONE, next_at: int = 0) -> Schedule:
    return Schedule(
        "s", ScheduleSpec(JOB, interval_ms=interval_ms, missed=missed), False, 0, next_at or interval_ms, next_at or interval_ms
    )


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "expected"),
    [
        ("0 3 * * *", "UTC", "2026-11-22T02:59:59+00:00", "2026-11-22T03:00:00+00:00"),
        ("0 3 * * *", "UTC", "2026-11-22T03:00:00+00:00", "2026-11-23T03:00:00+00:00"),
        ("0 3 * * *", "Europe/Vienna", "2026-11-22T00:00:00+00:00", "2026-11-22T02:00:00+00:00"),
        ("30 2 * * *", "Europe/Vienna", "2026-03-28T12:00:00+00:00", "2026-03-29T03:00:00+02:00"),
        ("30 2 * * *", "Europe/Vienna", "2026-10-25T00:30:00+00:00", "2026-10-26T02:30:00+01:00"),
        ("0 0 29 2 *", "UTC", "2026-11-22T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("*/15 * * * 1-5", "UTC", "2026-11-20T23:50:00+00:00", "2026-11-23T00:00:00+00:00"),
    ],
)
def test_a_cron_expression_fires_when_its_time_zone_says_also_when_the_clock_is_put_forward_or_back(
    expression, zone, moment, expected
):
    assert next_after(cron(expression, zone), at(moment), 0) == at(expected)


def test_an_interval_is_counted_from_the_creation_and_never_drifts():
    spec = ScheduleSpec(JOB, interval_ms=7_000)
    assert next_after(spec, 1_000, 1_000) == 8_000
    assert next_after(spec, 7_999, 1_000) == 8_000
    assert next_after(spec, 8_000, 1_000) == 15_000


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (ScheduleSpec(JOB), "cron"),
        (ScheduleSpec(JOB, cron="* * * * *", interval_ms=5_000), "cron"),
        (cron("* * * *"), "cron"),
        (cron("* * * * * *"), "cron"),
        (cron("61 * * * *"), "cron"),
        (cron("0 0 30 2 *"), "cron"),
        (cron("0 0 * * *", "Mars/Olympus"), "timezone"),
        (cron("0 0 * * *", "../../etc/passwd"), "timezone"),
        (cron("0 0 * * *", ""), "timezone"),
        (ScheduleSpec(JOB, interval_ms=INTERVAL_MS_MIN - 1), "interval_ms"),
        (ScheduleSpec(JOB, interval_ms=INTERVAL_MS_MAX + 1), "interval_ms"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_by_its_field(spec, field):
    with pytest.raises(InvalidRequest) as refused:
        check(spec, at("2026-11-22T00:00:00+00:00"))
    assert refused.value.fields["field"] == field


def test_a_fire_on_time_is_one_fire_under_every_policy():
    for missed in Missed:
        moments, skipped, upcoming = fires(every(MINUTE, missed), MINUTE + 5)
        assert (moments, skipped, upcoming) == ([MINUTE], 0, 2 * MINUTE)


def test_missed_fires_are_left_out_made_one_or_made_all():
    now = 10 * MINUTE + GRACE_MS // 2
    assert fires(every(MINUTE, Missed.SKIP), now)[0] == [10 * MINUTE]
    assert fires(every(MINUTE, Missed.ONE), now)[0] == [10 * MINUTE]
    assert fires(every(MINUTE, Missed.ALL), now)[0] == [n * MINUTE for n in range(1, 11)]
    late = every(10 * MINUTE, Missed.SKIP)
    assert fires(late, 10 * MINUTE + GRACE_MS + 1)[0] == []
    assert fires(every(10 * MINUTE, Missed.ONE), 10 * MINUTE + GRACE_MS + 1)[0] == [10 * MINUTE]


def test_a_short_interval_that_was_looked_at_late_within_the_grace_loses_no_fire():
    assert fires(every(1_000, Missed.ONE), 3_500)[0] == [1_000, 2_000, 3_000]


def test_no_more_than_a_bounded_number_of_missed_fires_is_made_up_for():
    moments, _, upcoming = fires(every(1_000, Missed.ALL), 10**9)
    assert len(moments) == MISSED_FIRES
    assert moments[-1] == 10**9
    assert upcoming == 10**9 + 1_000


# However long it was away --------------------------------------------------------------------------------------------


def walked(schedule: Schedule, now: int) -> list[int]:
    """Every fire that is due, one after the other."""
    found, moment = [], schedule.next_at
    while moment <= now:
        found.append(moment)
        moment = next_after(schedule.spec, moment, schedule.created_at)
    return found


SPECS = st.one_of(
    st.integers(INTERVAL_MS_MIN, 3_600_000).map(lambda every_ms: ScheduleSpec(JOB, interval_ms=every_ms)),
    st.tuples(
        st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0,30 0-5 * * *", "15 3 * * 1"]),
        st.sampled_from(["UTC", "Europe/Vienna", "Australia/Lord_Howe", "Africa/Casablanca", "America/Santiago"]),
    ).map(lambda pair: cron(*pair)),
)


@given(
    spec=SPECS,
    missed=st.sampled_from(list(Missed)),
    began=st.integers(at("2026-01-01T00:00+00:00"), at("2027-12-01T00:00+00:00")),
    away=st.one_of(st.integers(0, 200_000), st.integers(0, 20 * 86_400_000)),
)
@settings(max_examples=150, deadline=None)
def test_what_is_due_is_what_walking_finds_however_long_it_was_away(spec, missed, began, away):
    first = next_after(spec, began, began)
    now = first + min(away, 3_000 * (spec.interval_ms or 60_000))
    schedule = Schedule("s", replace(spec, missed=missed), False, began, first, first)
    due = walked(schedule, now)
    chosen, skipped, upcoming = fires(schedule, now)
    assert len(chosen) + skipped == len(due)
    assert chosen == (due[-len(chosen) :] if chosen else [])
    assert upcoming > now
    if missed is Missed.ALL:
        assert chosen == due[-MISSED_FIRES:]
    if missed is Missed.SKIP:
        assert chosen == [moment for moment in due if now - moment <= GRACE_MS]


@given(
    spec=SPECS, now=st.integers(at("2000-01-01T00:00+00:00"), at("2030-01-01T00:00+00:00")), ahead=st.integers(1, 3 * 10**12)
)
@settings(deadline=None)
def test_after_a_clock_that_was_ahead_the_next_fire_is_the_one_that_comes_next(spec, now, ahead):
    later = now + ahead
    wild = Schedule("s", spec, False, later, next_after(spec, later, later), later + ahead, later, owed_at=later)
    bounded = within_bounds(wild, now)
    assert now < bounded.next_at == next_after(spec, now, bounded.created_at)
    assert bounded.try_at <= bounded.next_at
    assert bounded.created_at == bounded.last_at == now
    assert within_bounds(bounded, now) is bounded


def test_a_pause_between_tries_grows_up_to_its_bound_and_ends_with_the_first_fire():
    schedule, pauses = every(MINUTE), []
    for _ in range(12):
        schedule = refused(schedule, "full", 0, MINUTE, 2 * MINUTE)
        pauses.append(schedule.try_at)
    assert pauses == [min(SCHEDULE_RETRY_MS * 2**n, SCHEDULE_RETRY_MAX_MS) for n in range(12)]
    after = fired(schedule, MINUTE, (1,))
    assert (after.refusals, after.last_error) == (0, None)
