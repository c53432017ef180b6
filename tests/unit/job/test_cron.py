"""Cron expressions in every zone there is, around every change of its clock: always forward, and each appointment once."""

import random
import zoneinfo
from bisect import bisect_left
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from holdfast.job import cron
from holdfast.job.cron import CronUnreadable, NoMoreFires, ZoneUnknown, count, next_after
from holdfast.limits import RUN_AT_MAX

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ZONES = sorted(zoneinfo.available_timezones())
RUNNING = (
    "* * * * *",
    "*/5 * * * *",
    "*/15 * * * *",
    "30 * * * *",
    "0 */2 * * *",
    "*/10 2 * * *",
    "* 0-3 * * *",
    "*/7 1,2,3 * * 0",
)
APPOINTMENTS = ("30 2 * * *", "0 0 * * *", "0,30 1,2 * * *", "15 3 * * 0", "0-59/20 0-4 * * *", "59 23 L * *", "30 1 29 2 *")
SOME = random.Random(4653).sample(ZONES, 12)  # the same each time
KNOWN = ("Europe/Vienna", "Australia/Lord_Howe", "Africa/Casablanca", "Pacific/Apia", "Europe/Dublin", "America/St_Johns")
KNOWN += ("Asia/Kathmandu", "America/Santiago", "America/Havana", "Asia/Beirut", "Antarctica/Troll", "Africa/El_Aaiun", "UTC")


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@cache
def local(zone: str, moment: int) -> datetime:
    return datetime.fromtimestamp(moment / 1000, zoneinfo.ZoneInfo(zone))


@cache
def changes(zone: str, *years: int) -> list[int]:
    """Moments at which the zone's offset changes, found minute by minute within the hours in which it does."""
    found = []
    for hour in range(at(f"{min(years)}-01-01T00:00+00:00"), at(f"{max(years) + 1}-01-01T00:00+00:00"), HOUR):
        if local(zone, hour).utcoffset() != local(zone, hour + HOUR).utcoffset():
            minutes = range(hour, hour + HOUR + 1, MINUTE)
            before = local(zone, hour).utcoffset()
            found.append(next(minute for minute in minutes if local(zone, minute).utcoffset() != before))
    return found


def matches(expression: str, when: datetime) -> bool:
    """Whether plain local time matches, by cronsim, which knows of no zone here."""
    plain = when.replace(tzinfo=None, fold=0)
    return plain in _matches_of(expression, plain.replace(hour=0, minute=0))


@cache
def _matches_of(expression: str, day: datetime) -> set[datetime]:
    matching = CronSim(expression, day - timedelta(minutes=1))
    return set(takewhile(lambda match: match < day + timedelta(days=1), matching))


def told(expression: str, zone: str, begin: int, end: int) -> list[int]:
    """What is to fire from one moment up to another, minute by minute: the page of the protocol in its plainest words."""
    fires = []
    fixed = expression in APPOINTMENTS
    for moment in range(begin - begin % MINUTE, end, MINUTE):
        here, before = local(zone, moment), local(zone, moment - MINUTE)
        if not fixed:
            if matches(expression, here):
                fires.append(moment)
            continue
        leap = (here.utcoffset() - before.utcoffset()) // timedelta(minutes=1)
        left_out = [here - timedelta(minutes=minutes) for minutes in range(1, leap + 1)]
        if (matches(expression, here) and not here.fold) or any(matches(expression, skipped) for skipped in left_out):
            fires.append(moment)
    return fires


def walked(expression: str, zone: str, begin: int, end: int) -> list[int]:
    fires, moment = [], begin - 1
    while (moment := next_after(expression, zone, moment)) < end:
        fires.append(moment)
    return fires


@cache
def every_change() -> dict[tuple[int, timedelta, timedelta], str]:
    """Every change of every zone in two years, by its moment and the offsets before and after it: zones that agree in these are alike there."""
    found = {}
    for zone in ZONES:
        for change in [moment * 1_000 for year in (2026, 2027) for moment in cron._zone(zone).changes(year)]:
            found.setdefault((change, local(zone, change - 1_000).utcoffset(), local(zone, change).utcoffset()), zone)
    return found


@pytest.mark.parametrize("expression", [*RUNNING, *APPOINTMENTS])
def test_around_every_change_of_every_zone_each_next_fire_is_later_than_the_moment_and_never_earlier_than_the_one_before(
    expression,
):
    assert len(every_change()) > 40
    for (change, _, _), zone in every_change().items():
        moments = range(change - 4 * HOUR, change + 4 * HOUR, 7 * MINUTE + 1)
        fires = [(moment, next_after(expression, zone, moment)) for moment in moments]
        assert all(fire > moment for moment, fire in fires), zone
        assert fires == sorted(fires, key=lambda pair: pair[1]), zone


@pytest.mark.parametrize("zone", ZONES[::6])
def test_a_fire_is_later_in_every_zone(zone):
    moment = at("2026-01-01T00:30:00+00:00")
    for expression in ("30 2 * * *", "*/20 * * * *"):
        for hours in range(0, 24 * 730, 24 * 5 + 7):
            assert next_after(expression, zone, moment + hours * HOUR) > moment + hours * HOUR


@pytest.mark.parametrize("zone", KNOWN)
@pytest.mark.parametrize("expression", [*RUNNING, *APPOINTMENTS])
def test_every_fire_around_a_change_is_the_one_that_the_plain_words_say(expression, zone):
    years = (2011, 2012) if zone == "Pacific/Apia" else (2026, 2027)
    for change in changes(zone, *years) or [at("2026-10-25T01:00:00+00:00")]:
        begin, end = (
            (change - 27 * HOUR, change + 3 * HOUR) if zone == "Pacific/Apia" else (change - 5 * HOUR, change + 5 * HOUR)
        )
        expected = told(expression, zone, begin, end)
        assert walked(expression, zone, begin, end) == expected
        assert count(expression, zone, begin, end - 1) == len(expected)


@pytest.mark.parametrize("zone", SOME)
def test_the_changes_that_are_found_are_all_that_there_are(zone):
    assert [change * 1_000 for year in (2026, 2027) for change in cron._zone(zone).changes(year)] == changes(zone, 2026, 2027)


@given(
    zone=st.sampled_from(ZONES),
    expression=st.sampled_from([*RUNNING, *APPOINTMENTS]),
    begin=st.integers(at("1971-01-01T00:00+00:00"), at("2037-01-01T00:00+00:00")),
    length=st.integers(0, 5 * DAY),
)
def test_a_count_of_fires_is_exact(zone, expression, begin, length):
    fires = walked(expression, zone, begin, begin + length)
    assert count(expression, zone, begin, begin + length - 1) == len(fires)
    if fires:
        middle = fires[len(fires) // 2]
        assert count(expression, zone, begin, middle) == bisect_left(fires, middle) + 1


@given(
    expression=st.lists(
        st.sampled_from(["*", "*/2", "5", "1-3", "0,7", "L", "LW", "31", "MON#5", "7L", "29"]), min_size=5, max_size=5
    ),
    zone=st.sampled_from(KNOWN),
    moment=st.integers(0, RUN_AT_MAX),
)
def test_whatever_is_asked_the_answer_is_a_later_moment_or_one_of_three_errors(expression, zone, moment):
    with suppress(CronUnreadable, NoMoreFires):
        assert next_after(" ".join(expression), zone, moment) > moment


@pytest.mark.parametrize(
    ("expression", "zone", "moment", "expected"),
    [
        ("30 2 * * *", "Europe/Vienna", "2026-10-25T01:10:00+00:00", "2026-10-26T02:30:00+01:00"),  # in the repeated hour
        ("30 2 * * *", "Europe/Vienna", "2026-10-25T00:10:00+00:00", "2026-10-25T02:30:00+02:00"),  # the first time
        ("30 * * * *", "Europe/Vienna", "2026-10-25T00:30:00+00:00", "2026-10-25T02:30:00+01:00"),  # runs on through it
        ("0,30 2 * * *", "Europe/Vienna", "2026-03-29T00:59:00+00:00", "2026-03-29T03:00:00+02:00"),  # both left out: once
        ("*/10 2 * * *", "Europe/Vienna", "2026-03-29T00:59:00+00:00", "2026-03-30T02:00:00+02:00"),
        ("30 * * * *", "Australia/Lord_Howe", "2026-04-04T14:40:00+00:00", "2026-04-05T01:30:00+10:30"),
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-29T00:00:00-10:00", "2011-12-31T00:00:00+14:00"),  # a day that was left out
        ("30 2 * * *", "Africa/Casablanca", "2027-02-07T02:10:00+00:00", "2027-02-08T02:30:00+00:00"),
        ("0 0 * * *", "America/Santiago", "2026-09-06T03:00:00+00:00", "2026-09-06T01:00:00-03:00"),
    ],
)
def test_a_change_of_the_clock_has_the_result_that_is_written_down(expression, zone, moment, expected):
    assert next_after(expression, zone, at(moment)) == at(expected)


@pytest.mark.parametrize(
    "zone", ["Nowhere/Land", "", "..", "Europe", "a" * 5_000, "\0", "/etc/passwd", "Europe/Vienna\n", "\ud800"]
)
def test_a_zone_that_this_machine_has_not_is_one_error_whatever_it_is_called(zone):
    with pytest.raises(ZoneUnknown):
        next_after("* * * * *", zone, 0)


def test_where_the_calendar_ends_no_fire_is_left():
    for zone in ("UTC", "Pacific/Auckland", "Pacific/Niue"):
        with pytest.raises(NoMoreFires):
            next_after("0 0 1 1 *", zone, RUN_AT_MAX)


def test_years_of_fires_are_counted_without_walking_them():
    begin, end = at("1970-01-02T00:00:00+00:00"), datetime(2026, 11, 22, tzinfo=UTC)
    assert count("* * * * *", "UTC", begin, round(end.timestamp() * 1000) - 1) == (
        end - datetime(1970, 1, 2, tzinfo=UTC)
    ) // timedelta(minutes=1)
