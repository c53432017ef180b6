"""Checks that need decoding and can't be done in SQL: the same for every SQL store."""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import msgspec

from holdfast.job.schedule import Schedule, next_after
from holdfast.stores.formats import UNREADABLE, extras_of, match_of, queues_of, receipts_of, settings_of
from holdfast.stores.operation_formats import operation_fields
from holdfast.stores.rows import Row, json_strictly, payload_strictly
from holdfast.stores.unreadable import shown

PAGE = 1_000  # rows that are read together
TOLD = 20  # as many as every other check names
_SHOWN = 60
OTHERS = (
    "SELECT name, settings FROM queue ORDER BY name",
    "SELECT q.name, i.match FROM interest i JOIN queue q ON q.id = i.queue ORDER BY q.name",
    "SELECT id, queues FROM worker UNION ALL SELECT id, types FROM worker WHERE types IS NOT NULL ORDER BY id",
    "SELECT scope || ' ' || key, receipts FROM kept_answer ORDER BY at",
    "SELECT id, value FROM operation ORDER BY id",
)
"""What else is decoded, in words that every store understands."""

CONTENTS: tuple[tuple[str, Callable[[bytes], object], str], ...] = (
    (
        "payloads are what they say",
        payload_strictly,
        "SELECT id, payload FROM job WHERE id > $1 AND content_type IS NULL ORDER BY id LIMIT $2",
    ),
    ("progress can be read", json_strictly, "SELECT job, value FROM progress WHERE job > $1 ORDER BY job LIMIT $2"),
    (
        "results can be read",
        json_strictly,
        "SELECT job, result FROM ended WHERE job > $1 AND result IS NOT NULL ORDER BY job LIMIT $2",
    ),
    (
        "followers can be read",
        receipts_of,
        "SELECT job, followers FROM ended WHERE job > $1 AND followers IS NOT NULL ORDER BY job LIMIT $2",
    ),
)
"""What was given for a job and is passed on as it is: what it is, what raises where it is not, and how it is read, a few rows at a time, in words
that every store understands. Each page is a read of its own, so that nothing is held back meanwhile, however much there is.
"""
CONTENTS_PAGE = 16  # rows: each may be as large as a payload
FAR_MS = 366 * 86_400_000  # a time that is ahead by less is past within a year
MOMENTS: tuple[tuple[str, str], ...] = (
    (
        "job {0} of queue {1} was put while the clock was ahead, and becomes ready at {2}; promote it if that is too late",
        (
            "SELECT s.job, q.name, s.ready_at FROM scheduled s JOIN job j ON j.id = s.job JOIN queue q ON q.id = s.queue"
            " WHERE s.ready_at > $1 AND j.created_at > $1 ORDER BY s.job LIMIT 20"
        ),
    ),
    (
        "job {0} of queue {1} is leased until {2}; a restart cuts that to 30 days",
        "SELECT s.job, q.name, s.until FROM leased s JOIN queue q ON q.id = s.queue WHERE s.until > $1 ORDER BY s.job LIMIT 20",
    ),
    (
        "queue {1} is paused until {2}; resume it if that is too late",
        "SELECT q.id, q.name, q.paused FROM queue q WHERE q.paused > $1 ORDER BY q.name LIMIT 20",
    ),
    (
        "queue {1} has jobs that ended in the future ({0}, the last at {2}); a restart dates them to its own moment",
        (
            "SELECT count(*), q.name, max(e.ended_at) FROM ended e JOIN queue q ON q.id = e.queue WHERE e.ended_at > $1"
            " GROUP BY q.name ORDER BY q.name LIMIT 20"
        ),
    ),
    (
        "answers to idempotency keys of {1} are from the future ({0}, the last from {2}); a restart dates them to its own moment",
        "SELECT count(*), scope, max(at) FROM kept_answer WHERE at > $1 GROUP BY scope ORDER BY scope LIMIT 20",
    ),
    (
        "entries of the audit log ({1}) are from the future ({0}, the last from {2}): they are kept until then",
        "SELECT count(*), door, max(at) FROM audit WHERE at > $1 GROUP BY door ORDER BY door LIMIT 20",
    ),
)
"""What a clock that was far ahead has written: in words, and how it is found, `$1` being `FAR_MS` from now."""


def spoiled(kind: str, decode: Callable[[bytes], object], page: Iterable[Row]) -> list[str]:
    """Which of these jobs, by number, have something that can't be decoded."""
    return [f"{kind}: job {job_id} has {why}" for job_id, why in _undecoded(decode, page)]


def moment_of(sentence: str, row: Row) -> str:
    """A row of `MOMENTS` in words."""
    number, name, moment = row
    try:
        when = datetime.fromtimestamp(moment / 1000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # beyond the year 9999
        when = f"{moment} ms"
    return "moments can be: " + sentence.format(number, name or "several queues", when)


def unreadable(page: Iterable[Row]) -> list[str]:
    """Jobs, by id and queue, whose extras can't be decoded. Such a job is set aside when it would be leased."""
    problems = []
    for job_id, queue, extras in page:
        try:
            extras_of(extras.decode())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(f"extras can be read: job {job_id} of queue {queue} has {_shown(extras)}: {error}")
    return problems


def idle(page: Iterable[Schedule], now: int) -> list[str]:
    """Schedules that can't fire on this machine, or were set aside by the server, with their reasons. Others fire."""
    problems = []
    for schedule in page:
        reason = schedule.last_error if schedule.aside else None
        if not schedule.unreadable:
            try:
                next_after(schedule.spec, now, schedule.created_at)
            except Exception as error:  # noqa: BLE001  (whatever it is, it is of this schedule)
                reason = f"{type(error).__name__}: {error}"
        if reason is not None:
            problems.append(f"schedules can fire: {schedule.name} can't. {reason}")
    return problems


def _shown(extras: bytes) -> str:
    """The beginning of a column, on one line."""
    return repr(extras.decode(errors="replace")[:_SHOWN])


def unreadable_others(
    queues: Iterable[Row], interests: Iterable[Row], workers: Iterable[Row], answers: Iterable[Row], operations: Iterable[Row]
) -> list[str]:
    """Settings of queues (by name), interests (by queue), workers (by id), kept answers (by scope and key) and operations (by
    id) that can't be decoded.
    """
    problems: list[str] = []
    kinds: tuple[tuple[str, Callable[[Any], object], Iterable[Row]], ...] = (
        ("settings can be read: queue", settings_of, queues),
        ("interests can be read: queue", match_of, interests),
        ("workers can be read: worker", queues_of, workers),
        ("kept answers can be read: key", receipts_of, answers),
        ("operations can be read: operation", operation_fields, operations),
    )
    for kind, decode, found in kinds:
        try:
            problems += [f"{kind} {name} has {why}" for name, why in islice(_undecoded(decode, found), TOLD)]
        except UnicodeDecodeError as error:
            problems.append(f"{kind}: one has text that is none: {error}")
    return problems


def _undecoded(decode: Callable[[Any], object], found: Iterable[Row]) -> Iterator[tuple[Any, str]]:
    for name, column in found:
        try:
            decode(column)
        except UNREADABLE as error:
            yield name, f"{shown(column)}: {error}"
