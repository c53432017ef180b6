"""The verbs about schedules: set, pause, run, delete."""

import asyncio

from holdfast import limits
from holdfast.engine import checks
from holdfast.engine.access import caller_here
from holdfast.engine.reader import hidden_schedule
from holdfast.engine.submitter import Submitter
from holdfast.job.schedule import Schedule, ScheduleSpec
from holdfast.messages.answers import Enqueued, ScheduleAnswer
from holdfast.messages.audit import Managed
from holdfast.messages.commands import DeleteSchedule, PauseSchedule, RunSchedule, SetSchedule
from holdfast.routing import fields


class Schedules:
    """Verbs on schedules. `payload_bytes` bounds the payload of a schedule's job."""

    def __init__(self, submitter: Submitter, payload_bytes: int) -> None:
        self._submitter = submitter
        self._payload_bytes = payload_bytes

    async def set(self, name: str, spec: ScheduleSpec, paused: bool) -> Schedule:
        """Create a schedule, or change what it enqueues and when."""
        command = SetSchedule(name, spec, paused)
        async with self._submitter.audited(command):
            await self._check(name, spec)
        return await self._schedule(command)

    async def pause(self, name: str, paused: bool) -> Schedule:
        """Stop or resume a schedule."""
        return await self._schedule(PauseSchedule(name, paused))

    async def run(self, name: str) -> Enqueued:
        """Enqueue a schedule's job now."""
        return await self._submitter.manage(RunSchedule(name))

    async def delete(self, name: str) -> None:
        """Remove a schedule; its jobs stay."""
        await self._submitter.manage(DeleteSchedule(name))

    async def _schedule(self, command: Managed[ScheduleAnswer]) -> Schedule:
        schedule = (await self._submitter.manage(command)).schedule
        caller = caller_here(self._submitter.keyring)
        return schedule if caller is None or caller.key.sees_payloads else hidden_schedule(schedule)

    async def _check(self, name: str, spec: ScheduleSpec) -> None:
        checks.schedule_name(name)
        checks.text("cron", spec.cron, limits.CRON_CHARS)  # before submitting: the other checks are made by the committer
        checks.text("timezone", spec.timezone, limits.TIMEZONE_CHARS)
        checks.number("interval_ms", spec.interval_ms, limits.INTERVAL_MS_MIN, limits.INTERVAL_MS_MAX)
        checks.new_job(spec.job, self._payload_bytes)
        if spec.publish and spec.job.content_type is None:  # the event must be valid, whatever the interests are
            await asyncio.to_thread(fields.check, spec.job.payload, "payload")
