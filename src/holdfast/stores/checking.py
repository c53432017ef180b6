"""What a check has to decode to see, and SQL can't tell: the same for every store that keeps jobs in tables of SQL."""

from collections.abc import Iterable

import msgspec

from holdfast.job.schedule import Schedule, next_after
from holdfast.stores.rows import Row, extras_of

PAGE = 1_000  # rows that are looked at together
TOLD = 20  # as many as every other check names
_SHOWN = 60


def unreadable(page: Iterable[Row]) -> list[str]:
    """Which of these jobs, by number and queue, have extras that can't be decoded. Such a job stops its whole queue."""
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
