"""Recurring jobs: when a schedule fires next, and what becomes of the fires that were missed. Pure; cronsim reads the expressions.

A schedule fires by a cron expression in a time zone, or every `interval_ms` from its creation. A fire that is late by more than `GRACE_MS`
(the server was down, the schedule was paused) was missed:

    skip   missed fires are left out              one   however many were missed, one job is put
    all    every missed fire puts its job, the newest `MISSED_FIRES` of them
"""

import enum
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from holdfast.errors import InvalidRequest
from holdfast.job.job import NewJob
from holdfast.limits import CRON_CHARS, INTERVAL_MS_MAX, INTERVAL_MS_MIN, MISSED_FIRES

GRACE_MS = 60_000


class Missed(enum.StrEnum):
    """What to do about fires that were missed."""

    SKIP = "skip"
    ONE = "one"
    ALL = "all"


class ScheduleSpec(msgspec.Struct, frozen=True, array_like=True):
    """What a schedule puts, and when. `publish`: `job` is an event for the interested queues, its own queue is not looked at.

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
    """A schedule as it stands. `next_at` is the fire that comes next, `try_at` when it is looked at again: later after a refusal.

    Times are in milliseconds. `fired` and `skipped` count fires; `last_error` says why the latest one could not be put yet.
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


@lru_cache(maxsize=1_000)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def check(spec: ScheduleSpec, now: int) -> None:
    """Raise `InvalidRequest` unless the schedule can fire."""
    if (spec.cron is None) == (spec.interval_ms is None):
        raise InvalidRequest("A schedule needs either cron or interval_ms.", field="cron")
    if spec.interval_ms is not None and not INTERVAL_MS_MIN <= spec.interval_ms <= INTERVAL_MS_MAX:
        raise InvalidRequest(f"interval_ms must be from {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}.", field="interval_ms")
    try:
        _zone(spec.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(f"{spec.timezone[:60]!r} is not a time zone, such as Europe/Vienna.", field="timezone") from None
    if spec.cron is not None:
        if len(spec.cron) > CRON_CHARS or len(spec.cron.split()) != 5:
            raise InvalidRequest(f"cron must have five fields and at most {CRON_CHARS} characters.", field="cron")
        try:
            next_after(spec, now, now)
        except CronSimError as error:
            raise InvalidRequest(f"cron can't be read: {error}.", field="cron") from None
        except StopIteration:
            raise InvalidRequest("cron never fires.", field="cron") from None


def next_after(spec: ScheduleSpec, moment: int, created_at: int) -> int:
    """The first fire after `moment`."""
    if spec.interval_ms is not None:
        passed = max(0, moment - created_at) // spec.interval_ms
        return created_at + (passed + 1) * spec.interval_ms
    start = datetime.fromtimestamp(moment / 1000, UTC).astimezone(_zone(spec.timezone))
    fire = next(CronSim(spec.cron or "", start))
    return round(fire.timestamp() * 1000)


def fires(schedule: Schedule, now: int) -> tuple[list[int], int, int]:
    """The fires that are to put jobs now (oldest first), how many were left out, and the next fire after `now`."""
    due = list(_due(schedule, now))
    upcoming = next_after(schedule.spec, now, schedule.created_at)
    on_time = [moment for moment in due if now - moment <= GRACE_MS]
    match schedule.spec.missed:
        case Missed.SKIP:
            chosen = on_time
        case Missed.ONE:
            chosen = due[-1:] if len(on_time) < 2 else on_time
        case Missed.ALL:
            chosen = due
    return chosen, len(due) - len(chosen), upcoming


def _due(schedule: Schedule, now: int) -> Iterator[int]:
    """Fires from `next_at` up to now; of very many only the newest that could count, found by their distance."""
    moment = schedule.next_at
    interval = schedule.spec.interval_ms
    if interval is not None and (now - moment) // interval > MISSED_FIRES:
        moment += ((now - moment) // interval - MISSED_FIRES) * interval
    found: list[int] = []
    while moment <= now:
        found.append(moment)
        if len(found) > MISSED_FIRES:
            found.pop(0)
        moment = next_after(schedule.spec, moment, schedule.created_at)
    yield from found
