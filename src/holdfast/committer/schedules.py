"""Schedules: set, pause, run by hand, and fire. A fire and its job are one transaction: exactly one job, whatever restarts."""

import time

from msgspec.structs import replace

from holdfast.committer import enqueue, fair
from holdfast.committer.batch import Batch
from holdfast.errors import Conflict, HoldfastError, InvalidRequest, ScheduleNotFound, StaleInterests
from holdfast.job import schedule as rules
from holdfast.job.job import UNFINISHED, NewJob, Receipt
from holdfast.job.meta import with_schedule
from holdfast.job.schedule import Schedule
from holdfast.limits import SCHEDULE_ERROR_CHARS, SCHEDULE_JOBS, SCHEDULE_UNREADABLE_MS, SCHEDULE_WORK_S, SCHEDULES
from holdfast.logs import structlog
from holdfast.messages.answers import Counted, Enqueued, ScheduleAnswer
from holdfast.messages.commands import DeleteSchedule, PauseSchedule, RunSchedule, SetSchedule
from holdfast.messages.time_commands import FireSchedules
from holdfast.routing import fan_out

log = structlog.get_logger(__name__)


class _Unroutable(Exception):
    """Which queues want the event of a schedule can't be worked out: it is of this schedule, or of the interests."""

    def __init__(self, cause: HoldfastError) -> None:
        super().__init__(str(cause))
        self.cause = cause


async def _schedule(batch: Batch, name: str) -> Schedule:
    found = await batch.tx.schedule(name)
    if found is None or not rules.is_seen(found, batch.scope):
        raise ScheduleNotFound(f"There is no schedule {name}.", schedule=name)
    return found


async def _readable(batch: Batch, name: str) -> Schedule:
    schedule = await _schedule(batch, name)
    if schedule.unreadable:
        raise InvalidRequest(f"{schedule.last_error} Set {name} again, or remove it.", field="name")
    return schedule


async def _save(batch: Batch, schedule: Schedule) -> None:
    await batch.tx.save_schedule(schedule)
    if not schedule.paused:
        batch.earliest = schedule.try_at if batch.earliest is None else min(batch.earliest, schedule.try_at)


async def put(batch: Batch, command: SetSchedule) -> ScheduleAnswer:
    """Make a schedule, or change what one puts and when; its history stays, but for the jobs of another queue, which not everybody may see who sees this
    one.
    """
    rules.check(command.spec, batch.now)
    if command.spec.job.expires_in_ms is not None:
        await batch.demand_newest_only("expires_in_ms")
    for name in ("expires_at", "budgets"):
        if getattr(command.spec.job.extras, name):
            await batch.demand_newest_only(name)
    await fair.demand(batch, [command.spec.job])
    before = await batch.tx.schedule(command.name)
    if before is not None and not rules.is_seen(before, command.scope):
        raise Conflict(f"The name {command.name} is taken.", schedule=command.name)
    if before is None and await batch.tx.schedule_count() >= SCHEDULES:
        raise InvalidRequest(f"There are {SCHEDULES} schedules already; that is the limit.", field="name")
    if before is not None and before.unreadable:
        before = None  # an unreadable one is replaced
    created = min(before.created_at, batch.now) if before is not None else batch.now
    next_at = rules.next_after(command.spec, batch.now, created)
    if before is None:
        after = Schedule(command.name, command.spec, command.paused, batch.now, next_at, next_at)
    else:
        stays = (before.spec.publish, before.spec.job.queue) == (command.spec.publish, command.spec.job.queue)
        changed = replace(before, spec=command.spec, paused=command.paused, created_at=created)
        after = rules.settled(changed if stays else replace(changed, last_jobs=()), next_at)
    await _save(batch, after)
    batch.schedules_changed = True
    return ScheduleAnswer(after)


async def pause(batch: Batch, command: PauseSchedule) -> ScheduleAnswer:
    """Stop or resume; fires missed in between are handled as the schedule says."""
    before = await _readable(batch, command.name)
    try_at = (
        before.try_at if command.paused or not before.aside else batch.now
    )  # whoever resumes one that was set aside wants the result now
    after = replace(before, paused=command.paused, try_at=try_at)
    await _save(batch, after)
    return ScheduleAnswer(after)


async def delete(batch: Batch, command: DeleteSchedule) -> Counted:
    """Remove a schedule; its jobs stay."""
    await _schedule(batch, command.name)
    await batch.tx.delete_schedule(command.name)
    batch.schedules_changed = True
    if batch.routes is not None:
        batch.routes.forget(command.name)
    return Counted(1)


async def run(batch: Batch, command: RunSchedule) -> Enqueued:
    """Enqueue its job now, beside its regular fires."""
    schedule = await _readable(batch, command.name)
    try:
        jobs = await _jobs(batch, schedule)
    except _Unroutable as error:
        raise error.cause from None
    receipts = await enqueue.put(batch, jobs)
    if schedule.aside:
        after = replace(schedule, last_at=batch.now, last_jobs=_ids(receipts), fired=schedule.fired + 1)
    else:
        after = rules.fired(schedule, batch.now, _ids(receipts))
    await _save(batch, after)
    return Enqueued(receipts)


async def fire(batch: Batch, command: FireSchedules) -> Counted:
    """Enqueue the jobs of due fires: a bounded number, and the rest in the next transaction.

    A fire that can't be computed sets its schedule aside with the reason and does not block others. A schedule whose event is
    not routed yet stays due: it is routed outside this commit. Returns how many were processed.
    """
    due = await _due(batch, command)
    began, before, seen = time.perf_counter(), batch.puts, 0
    for schedule in due:
        if schedule.unreadable:
            seen += 1
            await _postpone(batch, schedule)
            continue
        after = rules.set_aside(schedule, command.aside, batch.now) if command.aside else await _after_fires(batch, schedule)
        if after is not schedule:
            seen += 1
            _tell(batch, schedule, after)
            await _save(batch, after)
        if batch.puts - before >= SCHEDULE_JOBS or time.perf_counter() - began > SCHEDULE_WORK_S:
            break
    return Counted(seen)


async def _due(batch: Batch, command: FireSchedules) -> list[Schedule]:
    if command.only is None:
        return await batch.tx.schedules_due(batch.now, command.limit)
    found = await batch.tx.schedule(command.only)
    return [found] if found is not None and not found.paused and found.try_at <= batch.now else []


async def _after_fires(batch: Batch, schedule: Schedule) -> Schedule:
    """The schedule after its due fires, or set aside."""
    try:
        moments, skipped, upcoming = rules.fires(schedule, batch.now)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is of this schedule, and the others go on)
        return rules.set_aside(schedule, _reason(error), batch.now)
    after = replace(schedule, skipped=schedule.skipped + skipped)
    before = batch.puts
    for moment in moments:
        if batch.puts - before >= SCHEDULE_JOBS:
            return rules.to_be_continued(after, moment, upcoming, batch.now)
        if not schedule.spec.overlap and await _running(batch, after):
            after = replace(after, skipped=after.skipped + 1)
            continue
        try:
            jobs = await _jobs(batch, schedule)
            receipts = await enqueue.put(batch, jobs)
        except StaleInterests:
            going_on = after.fired > schedule.fired
            return rules.to_be_continued(after, moment, upcoming, batch.now) if going_on else schedule
        except HoldfastError as error:  # such as a full queue: this fire stays due, and is tried again
            return rules.refused(after, error.detail, batch.now, moment, upcoming)
        except _Unroutable as error:
            return rules.set_aside(replace(after, owed_at=moment, next_at=upcoming), _reason(error.cause), batch.now)
        batch.puts += max(1, len(receipts))
        after = rules.fired(after, moment, _ids(receipts))
    return rules.settled(after, upcoming)


async def _postpone(batch: Batch, schedule: Schedule) -> None:
    """Look again at a row that can't be read when the machine or the version may be another."""
    _tell(batch, None, schedule)
    await batch.tx.postpone_schedule(schedule.name, batch.now + SCHEDULE_UNREADABLE_MS)


def _tell(batch: Batch, before: Schedule | None, after: Schedule) -> None:
    """Log one line when a schedule begins to fail or fails in another way, and one when it works again: none for each retry."""
    was = None if before is None else before.last_error
    batch.schedules_changed |= after.last_error != was
    if after.last_error is not None and after.last_error != was:
        log.warning(
            "a schedule is set aside until it can fire"
            if after.aside
            else "the job of a schedule could not be enqueued; it stays due",
            schedule=after.name,
            reason=after.last_error,
        )
    elif was is not None and after.last_error is None:
        log.info("a schedule that could not run runs again", schedule=after.name)


def _reason(error: Exception) -> str:
    """Why a schedule can't fire, in a sentence of bounded length."""
    if isinstance(error, HoldfastError):
        return error.detail
    text = f"It can't run: {type(error).__name__}: {error}"
    return text if len(text) <= SCHEDULE_ERROR_CHARS else text[: SCHEDULE_ERROR_CHARS - 1] + "…"


async def _running(batch: Batch, schedule: Schedule) -> bool:
    for job_id in schedule.last_jobs:
        job = await batch.latest(job_id)
        if job is not None and job.state in UNFINISHED:
            return True
    return False


async def _jobs(batch: Batch, schedule: Schedule) -> list[NewJob]:
    """The jobs of one fire. Raises `_Unroutable` if the event's queues can't be determined."""
    spec = schedule.spec
    job = replace(spec.job, extras=replace(spec.job.extras, meta=with_schedule(spec.job.extras.meta, schedule.name)))
    if not spec.publish:
        return [job]
    assert batch.routes is not None, "who fires schedules has routes"
    version = await batch.tx.interests_version()
    try:
        names = batch.routes.of(schedule, version)  # never matched in here: `committer/routes.py`
        fan_out.check_bytes("payload", len(job.payload), len(names))
    except StaleInterests:
        raise
    except HoldfastError as error:
        raise _Unroutable(error) from error
    return [replace(job, queue=name) for name in names]


def _ids(receipts: list[Receipt]) -> tuple[int, ...]:
    return tuple(receipt.id for receipt in receipts)
