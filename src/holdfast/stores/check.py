"""What a check has to decode to see, and SQL can't tell: the same for every store that keeps jobs in tables of SQL."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from holdfast.job.schedule import Schedule, next_after
from holdfast.stores.rows import UNREADABLE, Row, extras_of, match_of, queues_of_worker, receipts_strictly, settings_of
from holdfast.stores.unreadable import shown

PAGE = 1_000  # rows that are looked at together
TOLD = 20  # as many as every other check names
_SHOWN = 60
OTHERS = (
    "SELECT name, settings FROM queue ORDER BY name",
    "SELECT q.name, i.match FROM interest i JOIN queue q ON q.id = i.queue ORDER BY q.name",
    "SELECT id, queues FROM worker ORDER BY id",
    "SELECT scope || ' ' || key, receipts FROM kept_answer ORDER BY at",
)
"""What else is decoded, in words that every store understands."""


def unreadable(page: Iterable[Row]) -> list[str]:
    """Which of these jobs, by number and queue, have extras that can't be decoded. Such a job is set aside when its turn comes."""
    problems = []
    for job_id, queue, extras in page:
        try:
            extras_of(extras.decode())
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problems.append(f"extras can be read: job {job_id} of queue {queue} has {_shown(extras)}: {error}")
    return problems


def idle(page: Iterable[Schedule], now: int) -> list[str]:
    """Which of these schedules can't fire on this machine, or were set aside by the server, each with its reason. The others go on."""
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
    queues: Iterable[Row], interests: Iterable[Row], workers: Iterable[Row], answers: Iterable[Row]
) -> list[str]:
    """Which settings of queues (by name), interests (by queue), workers (by id) and kept answers (by scope and key) can't be decoded."""
    problems: list[str] = []
    kinds: tuple[tuple[str, Callable[[Any], object], Iterable[Row]], ...] = (
        ("settings can be read: queue", settings_of, queues),
        ("interests can be read: queue", match_of, interests),
        ("workers can be read: worker", queues_of_worker, workers),
        ("kept answers can be read: key", receipts_strictly, answers),
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
