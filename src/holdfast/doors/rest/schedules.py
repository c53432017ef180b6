"""Routes for recurring jobs."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw

from holdfast.doors.rest import bodies, replies
from holdfast.doors.rest.answers import CopyOut, PublishedOut
from holdfast.doors.rest.budget_types import ChargeIn
from holdfast.doors.rest.parameters import Cursor, Limit
from holdfast.doors.rest.schedule_answers import ScheduleOut, SchedulesOut
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import ScheduleIn
from holdfast.http.route import Route, delete, get, post, put
from holdfast.job.job import Extras, NewJob
from holdfast.job.schedule import Schedule, ScheduleSpec

_OF_JOB = ("priority", "max_attempts", "expires_in_ms")
_OF_EXTRAS = ("lease_ms", "retry", "unique_key", "unique_while", "group_key", "group_limit", "tags", "fair_key", "fair_cost")
_USUAL = Extras()
Name = Annotated[str, Meta(description="The schedule's name.", pattern="^[A-Za-z0-9._:-]{1,128}$")]


@put("/v1/schedules/{name}", tags=["schedules"], summary="Create a schedule, or change it")
async def put_schedule(state: AppState, name: Name, data: ScheduleIn) -> ScheduleOut:
    """Each fire enqueues exactly one job, whatever restarts. A fire into a full queue is retried until there is room."""
    job = bodies.scheduled_job(data)
    spec = ScheduleSpec(job, data.publish, data.cron, data.timezone, data.interval_ms, data.missed, data.overlap)
    return _shown(await state.engine.schedules.set(name, spec, data.paused))


@get("/v1/schedules/{name}", tags=["schedules"], summary="One schedule")
async def get_schedule(state: AppState, name: Name) -> ScheduleOut:
    """With its next and its last fire."""
    return _shown(await state.engine.reading.schedule(name))


@get("/v1/schedules", tags=["schedules"], summary="A page of schedules")
async def list_schedules(state: AppState, limit: Limit = 100, cursor: Cursor = "") -> SchedulesOut:
    """By name."""
    page = await state.engine.reading.schedules(limit, cursor)
    return SchedulesOut([_shown(schedule) for schedule in page.schedules], page.after)


@delete("/v1/schedules/{name}", tags=["schedules"], summary="Remove a schedule")
async def delete_schedule(state: AppState, name: Name) -> None:
    """Its jobs stay."""
    await state.engine.schedules.delete(name)


@post("/v1/schedules/{name}/pause", tags=["schedules"], status=200, summary="Stop a schedule")
async def pause_schedule(state: AppState, name: Name) -> ScheduleOut:
    """It fires no more until it is resumed."""
    return _shown(await state.engine.schedules.pause(name, True))


@post("/v1/schedules/{name}/resume", tags=["schedules"], status=200, summary="Let a schedule fire again")
async def resume_schedule(state: AppState, name: Name) -> ScheduleOut:
    """Fires missed in between are handled as `missed` says."""
    return _shown(await state.engine.schedules.pause(name, False))


@post("/v1/schedules/{name}/run", tags=["schedules"], summary="Enqueue a schedule's job now")
async def run_schedule(state: AppState, name: Name) -> PublishedOut:
    """Beside its fires."""
    put_now = await state.engine.schedules.run(name)
    jobs = [CopyOut(receipt.queue, receipt.id) for receipt in put_now.jobs]
    return PublishedOut(jobs=jobs, durability=state.durability)


def _shown(schedule: Schedule) -> ScheduleOut:
    spec = schedule.spec
    return ScheduleOut(
        name=schedule.name,
        queue=None if spec.publish else spec.job.queue,
        publish=spec.publish,
        type=spec.job.type,
        payload=Raw(spec.job.payload),
        cron=spec.cron,
        timezone=spec.timezone,
        interval_ms=spec.interval_ms,
        missed=spec.missed.value,
        overlap=spec.overlap,
        paused=schedule.paused,
        created_at=replies.instant(schedule.created_at),
        next_at=None if schedule.unreadable else replies.instant(schedule.next_at),
        last_at=None if schedule.last_at is None else replies.instant(schedule.last_at),
        last_jobs=schedule.last_jobs,
        last_error=schedule.last_error,
        fired=schedule.fired,
        skipped=schedule.skipped,
        try_at=replies.instant(schedule.try_at) if schedule.last_error is not None and not schedule.unreadable else UNSET,
        set_aside=schedule.aside or UNSET,
        payload_hidden=schedule.payload_hidden or UNSET,
        **_options(spec.job),
    )


def _options(job: NewJob) -> dict[str, Any]:
    """What was said of how its jobs are run, under the names that say it."""
    extras = job.extras
    found = {name: value for name in _OF_JOB if (value := getattr(job, name)) is not None}
    found |= {name: value for name in _OF_EXTRAS if (value := getattr(extras, name)) != getattr(_USUAL, name)}
    if extras.meta:
        found["meta"] = dict(extras.meta)
    if extras.budgets:
        found["budgets"] = [ChargeIn(name=one.name, key=one.key, cost=one.cost) for one in extras.budgets]
    return found


ROUTES: list[Route] = [
    put_schedule,
    get_schedule,
    list_schedules,
    delete_schedule,
    pause_schedule,
    resume_schedule,
    run_schedule,
]
