"""The verbs about who works and what recurs: workers and schedules. A part of the engine, in a file of its own."""

import asyncio
import secrets

from holdfast import limits
from holdfast.engine import checks
from holdfast.engine.submitter import Submitter
from holdfast.job.registry import Worker
from holdfast.job.schedule import Schedule, ScheduleSpec
from holdfast.messages.answers import Enqueued, ScheduleAnswer, WorkerAnswer
from holdfast.messages.commands import (
    BeatWorker,
    DeleteSchedule,
    PauseSchedule,
    QuietWorker,
    RegisterWorker,
    RemoveWorkers,
    RunSchedule,
    SetSchedule,
)
from holdfast.messages.frame import Command
from holdfast.routing import fields


class WorkersAndSchedules(Submitter):
    """What can be done about workers and schedules."""

    payload_bytes: int

    # Workers

    async def register(self, queues: tuple[str, ...], name: str) -> Worker:
        """Take a worker in under a new id."""
        checks.leases(queues, 1, None, name, None)
        return await self._worker(RegisterWorker(f"w-{secrets.token_hex(8)}", name, queues))

    async def beat(self, worker_id: str) -> Worker:
        """A worker is still there."""
        return await self._worker(BeatWorker(worker_id))

    async def quiet(self, worker_id: str) -> Worker:
        """Give a worker nothing more."""
        return await self._worker(QuietWorker(worker_id))

    async def remove_workers(self, worker_id: str | None = None, queue: str | None = None) -> int:
        """Forget one worker, or all that take from a queue; how many. What they hold stays leased."""
        return (await self._ask(RemoveWorkers(worker_id, queue))).count

    async def _worker(self, command: Command[WorkerAnswer]) -> Worker:
        return (await self._ask(command)).worker

    # Schedules

    async def set_schedule(self, name: str, spec: ScheduleSpec, paused: bool) -> Schedule:
        """Make a schedule, or change what one puts and when."""
        checks.schedule_name(name)
        checks.text("cron", spec.cron, limits.CRON_CHARS)  # before they are on their way: the rest is for the store's side
        checks.text("timezone", spec.timezone, limits.TIMEZONE_CHARS)
        checks.number("interval_ms", spec.interval_ms, limits.INTERVAL_MS_MIN, limits.INTERVAL_MS_MAX)
        checks.new_job(spec.job, self.payload_bytes)
        if (
            spec.publish and spec.job.content_type is None
        ):  # its event must be one that can be matched, whatever the interests are
            await asyncio.to_thread(fields.check, spec.job.payload, "payload")
        return await self._schedule(SetSchedule(name, spec, paused))

    async def pause_schedule(self, name: str, paused: bool) -> Schedule:
        """Stop or resume a schedule."""
        return await self._schedule(PauseSchedule(name, paused))

    async def run_schedule(self, name: str) -> Enqueued:
        """Put a schedule's job now."""
        return await self._ask(RunSchedule(name))

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule; its jobs stay."""
        await self._ask(DeleteSchedule(name))

    async def _schedule(self, command: Command[ScheduleAnswer]) -> Schedule:
        return (await self._ask(command)).schedule
