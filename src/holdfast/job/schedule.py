"""Recurring jobs: when a schedule fires next, and how missed fires are handled. Pure; `cron.py` knows expressions and time
zones.

A schedule fires by a cron expression in a time zone, or every `interval_ms` from its creation. A fire that is late by more than
`GRACE_MS` (the server was down, the schedule was paused) was missed:

    skip   missed fires are left out              one   however many were missed, one job is put
    all    every missed fire puts its job, the newest `MISSED_FIRES` of them
"""

import enum

import msgspec
from msgspec.structs import replace

from holdfast.auth.scope import Scope
from holdfast.errors import InvalidRequest
from holdfast.job import cron
from holdfast.job.cron import CronUnreadable, NoMoreFires, ZoneUnknown
from holdfast.job.job import Content, NewJob
from holdfast.limits import (
    ATTEMPTS_MAX,
    CRON_CHARS,
    DELAY_MS_MAX,
    GROUP_LIMIT_MAX,
    ID_MAX,
    INTERVAL_MS_MAX,
    INTERVAL_MS_MIN,
    LEASE_MS_MAX,
    MISSED_FIRES,
    PRIORITY_MAX,
    QUEUE_NAME_ONCE,
    RUN_AT_MAX,
    SCHEDULE_RETRY_MAX_MS,
    SCHEDULE_RETRY_MS,
)

GRACE_MS = 60_000


class Missed(enum.StrEnum):
    """What to do about fires that were missed."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


class ScheduleSpec(msgspec.Struct, frozen=True, array_like=True):
    """What a schedule enqueues, and when. `publish`: `job` is an event for the interested queues, its own queue is ignored.

    `overlap` false: a fire is left out while a job of the fire before is not finished.
    """

    job: NewJob
    publish: bool = False
    cron: str | None = None
    timezone: str = "UTC"
    interval_ms: int | None = None
    missed: Missed = Missed.ONE
    overlap: bool = True


class Schedule(msgspec.Struct, frozen=True, array_like=True):
    """A schedule. `next_at` is its next fire, `try_at` when it is processed next: earlier or later than that if a fire is owed
    or failed.

    `owed_at` is the earliest due fire that has not enqueued its job yet (it was refused, or missed fires are still being caught
    up), and None if there is none. `last_error` is the error of the latest try, and `refusals` the number of refusals in a row;
    `aside`: why it can't fire until it is changed. `fired` and `skipped` count fires. Times are in milliseconds. `unreadable`:
    a placeholder for an unreadable row. It is shown, can be set again or removed, and is never written. `payload_hidden`: the
    caller may not see payloads.
    """

    name: str
    spec: ScheduleSpec
    paused: bool
    created_at: int
    next_at: int
    try_at: int
    last_at: int | None = None
    last_jobs: tuple[int, ...] = ()
    last_error: str | None = None
    fired: int = 0
    skipped: int = 0
    owed_at: int | None = None
    refusals: int = 0
    aside: bool = False
    unreadable: bool = False
    payload_hidden: bool = False


def is_seen(schedule: Schedule, scope: Scope | None) -> bool:
    """Whether a caller with this scope sees a schedule. One that publishes may reach any queue."""
    return scope is None or (not schedule.spec.publish and scope.sees(schedule.spec.job.queue))


def check(spec: ScheduleSpec, now: int) -> None:
    """Raise `InvalidRequest` unless the schedule can fire."""
    if (spec.cron is None) == (spec.interval_ms is None):
        raise InvalidRequest("A schedule needs either cron or interval_ms.", field="cron")
    if spec.interval_ms is not None and not INTERVAL_MS_MIN <= spec.interval_ms <= INTERVAL_MS_MAX:
        raise InvalidRequest(f"interval_ms must be from {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}.", field="interval_ms")
    try:
        cron.check_zone(spec.timezone)
    except ZoneUnknown:
        raise InvalidRequest(f"{spec.timezone[:60]!r} is not a time zone, such as Europe/Vienna.", field="timezone") from None
    if spec.cron is not None and (len(spec.cron) > CRON_CHARS or len(spec.cron.split()) != 5):
        raise InvalidRequest(f"cron must have five fields and at most {CRON_CHARS} characters.", field="cron")
    try:
        next_after(spec, now, now)
    except CronUnreadable as error:
        raise InvalidRequest(f"cron can't be read: {error}.", field="cron") from None
    except NoMoreFires:
        raise InvalidRequest("cron never fires.", field="cron") from None


def next_after(spec: ScheduleSpec, moment: int, created_at: int) -> int:
    """The first fire after `moment`, exclusive. Raises one of `cron.py`'s errors if there is none."""
    if spec.interval_ms is None:
        return cron.next_after(spec.cron or "", spec.timezone, moment)
    upcoming = created_at + ((moment - created_at) // spec.interval_ms + 1) * spec.interval_ms
    if upcoming > RUN_AT_MAX:
        raise NoMoreFires("no fire is left before the calendar ends")
    return upcoming


def fires(schedule: Schedule, now: int) -> tuple[list[int], int, int]:
    """The fires whose jobs are enqueued now (oldest first), how many earlier ones are skipped, and the next fire after `now`.

    What it costs does not grow with the number of fires that were missed.
    """
    start = schedule.next_at if schedule.owed_at is None else schedule.owed_at
    upcoming = next_after(schedule.spec, now, schedule.created_at)
    if start > now:
        return [], 0, upcoming
    due = 1 + _count_after(schedule.spec, start, now)
    newest = [start] if due == 1 else _newest(schedule.spec, start, now, min(due, MISSED_FIRES))
    on_time = [moment for moment in newest if now - moment <= GRACE_MS]
    match schedule.spec.missed:
        case Missed.SKIP:
            chosen = on_time
        case Missed.ONE:
            chosen = newest[-1:] if len(on_time) < 2 else on_time
        case Missed.ALL:
            chosen = newest
    return chosen, due - len(chosen), upcoming


def _count_after(spec: ScheduleSpec, start: int, now: int) -> int:
    """How many fires follow the one at `start` up to now."""
    if spec.interval_ms is not None:
        return (now - start) // spec.interval_ms
    return cron.count(spec.cron or "", spec.timezone, start + 1, now)


def _newest(spec: ScheduleSpec, start: int, now: int, most: int) -> list[int]:
    """The newest `most` fires from `start` up to now, of which there are at least that many. Oldest first."""
    if spec.interval_ms is not None:
        last = start + (now - start) // spec.interval_ms * spec.interval_ms
        return [last - before * spec.interval_ms for before in reversed(range(most))]
    found, moment = [start], start
    if 1 + _count_after(spec, start, now) > most:
        found, moment = [], _behind(spec, start, now, most)
    while (moment := next_after(spec, moment, start)) <= now:
        found.append(moment)
    return found[-most:]


def _behind(spec: ScheduleSpec, start: int, now: int, most: int) -> int:
    """A time after `start` followed by at least `most` fires up to now, and few more: found by counting, not by enumerating."""
    low, high, width = start, now, 1_000
    while (moment := now - width) > start:
        if _count_after(spec, moment, now) >= most:
            low = moment
            break
        high, width = moment, width * 2
    while high - low > 1_000 and _count_after(spec, low, now) > most:
        middle = (low + high) // 2
        low, high = (middle, high) if _count_after(spec, middle, now) >= most else (low, middle)
    return low


def fired(schedule: Schedule, moment: int, jobs: tuple[int, ...]) -> Schedule:
    """The fire of this time has enqueued these jobs."""
    return replace(schedule, last_at=moment, last_jobs=jobs, last_error=None, refusals=0, aside=False, fired=schedule.fired + 1)


def settled(schedule: Schedule, upcoming: int) -> Schedule:
    """No fire is owed any more."""
    return replace(schedule, next_at=upcoming, try_at=upcoming, owed_at=None, last_error=None, refusals=0, aside=False)


def to_be_continued(schedule: Schedule, owed: int, upcoming: int, now: int) -> Schedule:
    """The fires from `owed` on follow in the next transaction."""
    return replace(schedule, next_at=upcoming, try_at=now, owed_at=owed)


def refused(schedule: Schedule, why: str, now: int, owed: int, upcoming: int) -> Schedule:
    """The fire of the time `owed` was refused: it stays due, and is retried after a growing pause."""
    return replace(
        schedule,
        next_at=upcoming,
        owed_at=owed,
        try_at=now + _pause(schedule),
        last_error=why,
        refusals=schedule.refusals + 1,
        aside=False,
    )


def set_aside(schedule: Schedule, why: str, now: int) -> Schedule:
    """It can't fire as it is: nothing of it is lost, and it is tried again after a pause that grows, for the reason may be this machine's."""
    return replace(schedule, try_at=now + _pause(schedule), last_error=why, refusals=schedule.refusals + 1, aside=True)


def _pause(schedule: Schedule) -> int:
    return min(SCHEDULE_RETRY_MS << min(schedule.refusals, 30), SCHEDULE_RETRY_MAX_MS)


def fault(schedule: Schedule) -> str | None:
    """Why a decoded schedule is not one that was ever accepted; None if it is valid."""
    spec, job = schedule.spec, schedule.spec.job
    moments = (schedule.created_at, schedule.next_at, schedule.last_at or 0, schedule.owed_at or 0)
    if not all(0 <= moment <= RUN_AT_MAX for moment in moments):
        return "a moment is beyond the calendar"
    bounds = (
        ("interval_ms", spec.interval_ms, INTERVAL_MS_MIN, INTERVAL_MS_MAX),
        ("priority", job.priority, 0, PRIORITY_MAX),
        ("max_attempts", job.max_attempts, 1, ATTEMPTS_MAX),
        ("lease_ms", job.extras.lease_ms, 1, LEASE_MS_MAX),
        ("group_limit", job.extras.group_limit, 1, GROUP_LIMIT_MAX),
        ("delay_ms", job.delay_ms, 0, DELAY_MS_MAX),
        ("run_at", job.run_at, 0, RUN_AT_MAX),
        ("fired", schedule.fired, 0, ID_MAX),
        ("skipped", schedule.skipped, 0, ID_MAX),
        ("refusals", schedule.refusals, 0, ID_MAX),
    )
    for name, value, least, most in bounds:
        if value is not None and not least <= value <= most:
            return f"{name} is {value}"
    if not spec.publish and QUEUE_NAME_ONCE.match(job.queue) is None:
        return f"{job.queue[:40]!r} is no name of a queue"
    spoiled = Content(job.type, job.content_type, job.payload).fault()
    return None if spoiled is None else f"its payload: {spoiled}"


def stand_in(name: str, why: str) -> Schedule:
    """What is shown for a row that can't be read."""
    spec = ScheduleSpec(NewJob("-", b"null"), cron="", timezone="-")
    return Schedule(name, spec, False, 0, 0, 0, last_error=f"It can't be read: {why}.", aside=True, unreadable=True)


def within_bounds(schedule: Schedule, now: int) -> Schedule:
    """The schedule after the clock had been ahead, with times possible at `now`: no fire further away than the next, no try
    than its pause.
    """
    created = min(schedule.created_at, now)
    upcoming = next_after(schedule.spec, now, created)
    owed = schedule.owed_at if schedule.owed_at is not None and schedule.owed_at <= now else None
    next_at = min(schedule.next_at, upcoming)
    latest = next_at if owed is None and not schedule.refusals else now + SCHEDULE_RETRY_MAX_MS
    last = schedule.last_at if schedule.last_at is None else min(schedule.last_at, now)
    bounded = replace(
        schedule, created_at=created, next_at=next_at, owed_at=owed, try_at=min(schedule.try_at, latest), last_at=last
    )
    return schedule if bounded == schedule else bounded
