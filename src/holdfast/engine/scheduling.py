"""Schedules: set, pause, run by hand, and fire. A fire and its job are one transaction: exactly one job, whatever restarts."""

from msgspec.structs import replace

from holdfast.engine import checks, enqueueing
from holdfast.engine.batch import Batch
from holdfast.engine.commands import (
    Counted,
    DeleteSchedule,
    Enqueued,
    FireSchedules,
    PauseSchedule,
    RunSchedule,
    ScheduleAnswer,
    SetSchedule,
)
from holdfast.errors import HoldfastError, InvalidRequest, ScheduleNotFound, StaleInterests
from holdfast.job import schedule as rules
from holdfast.job.job import UNFINISHED, Receipt
from holdfast.job.schedule import Schedule
from holdfast.limits import FIRED_JOBS, SCHEDULE_RETRY_MS, SCHEDULES


async def _schedule(batch: Batch, name: str) -> Schedule:
    found = await batch.tx.schedule(name)
    if found is None:
        raise ScheduleNotFound(f"There is no schedule {name}.", schedule=name)
    return found


async def _save(batch: Batch, schedule: Schedule) -> None:
    await batch.tx.save_schedule(schedule)
    if not schedule.paused:
        batch.earliest = schedule.try_at if batch.earliest is None else min(batch.earliest, schedule.try_at)


async def put(batch: Batch, command: SetSchedule) -> ScheduleAnswer:
    """Make a schedule, or change what one puts and when; its history stays."""
    rules.check(command.spec, batch.now)
    before = await batch.tx.schedule(command.name)
    if before is None and await batch.tx.schedule_count() >= SCHEDULES:
        raise InvalidRequest(f"There are {SCHEDULES} schedules already; that is the most.", field="name")
    created = before.created_at if before is not None else batch.now
    next_at = rules.next_after(command.spec, batch.now, created)
    if before is None:
        after = Schedule(command.name, command.spec, command.paused, batch.now, next_at, next_at)
    else:
        after = replace(before, spec=command.spec, paused=command.paused, next_at=next_at, try_at=next_at, last_error=None)
    await _save(batch, after)
    return ScheduleAnswer(after)


async def pause(batch: Batch, command: PauseSchedule) -> ScheduleAnswer:
    """Stop or resume; what was missed in between is treated as the schedule says."""
    after = replace(await _schedule(batch, command.name), paused=command.paused)
    await _save(batch, after)
    return ScheduleAnswer(after)


async def delete(batch: Batch, command: DeleteSchedule) -> Counted:
    """Remove a schedule; its jobs stay."""
    await _schedule(batch, command.name)
    await batch.tx.delete_schedule(command.name)
    return Counted(1)


async def run(batch: Batch, command: RunSchedule) -> Enqueued:
    """Put its job now, beside its fires."""
    schedule = await _schedule(batch, command.name)
    receipts = await _put(batch, schedule)
    await _save(
        batch, replace(schedule, last_at=batch.now, last_jobs=_ids(receipts), last_error=None, fired=schedule.fired + 1)
    )
    return Enqueued(receipts)


async def fire(batch: Batch, command: FireSchedules) -> Counted:
    """Put the jobs of the fires whose time has come."""
    due = await batch.tx.schedules_due(batch.now, command.limit)
    count = 0
    for schedule in due:
        after = await _fired(batch, schedule)
        if after is not schedule:
            await _save(batch, after)
            count += 1
        if len(batch.changes) >= FIRED_JOBS:
            break  # the others are still due
    return Counted(count)


async def _fired(batch: Batch, schedule: Schedule) -> Schedule:
    moments, skipped, upcoming = rules.fires(schedule, batch.now)
    after = schedule
    for moment in moments:
        if not schedule.spec.overlap and await _running(batch, after):
            skipped += 1
            continue
        try:
            receipts = await _put(batch, schedule)
        except StaleInterests:  # it is routed outside this commit, and then fired
            return after if after is schedule else replace(after, next_at=moment, try_at=moment)
        except HoldfastError as error:  # such as a full queue: this fire stays due, and is tried again
            return replace(after, next_at=moment, try_at=batch.now + SCHEDULE_RETRY_MS, last_error=error.detail)
        after = replace(after, last_at=moment, last_jobs=_ids(receipts), last_error=None, fired=after.fired + 1)
    return replace(after, next_at=upcoming, try_at=upcoming, skipped=after.skipped + skipped)


async def _running(batch: Batch, schedule: Schedule) -> bool:
    for job_id in schedule.last_jobs:
        job = await batch.latest(job_id)
        if job is not None and job.state in UNFINISHED:
            return True
    return False


async def _put(batch: Batch, schedule: Schedule) -> list[Receipt]:
    job = schedule.spec.job
    if not schedule.spec.publish:
        return await enqueueing.put(batch, [replace(job)])
    assert batch.routes is not None, "who fires schedules has routes"
    names = batch.routes.of(schedule, await batch.tx.interests_version())  # never matched in here: `engine/routes.py`
    checks.fan_out("payload", len(job.payload), len(names))
    return await enqueueing.put(batch, [replace(job, queue=name) for name in names])


def _ids(receipts: list[Receipt]) -> tuple[int, ...]:
    return tuple(receipt.id for receipt in receipts)
