"""Everything that the page can do, in one place: each action by its name, on a target, through `Actions.act`.

To limit what a person may do (keys, roles), give `Actions` another `permit`: it is called before every action, and by the
screens, so that a button that would be refused is hidden.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from holdfast.auth.actor import NOBODY, Actor, acting_as
from holdfast.auth.caller import Caller
from holdfast.auth.keys import Ability
from holdfast.engine.engine import Engine
from holdfast.errors import Forbidden, QueueNotFound
from holdfast.job.job import NewJob, State
from holdfast.job.operation import Do
from holdfast.job.queue import QueueSettings
from holdfast.job.schedule import ScheduleSpec
from holdfast.messages.audit import AuditEntry
from holdfast.messages.commands import CancelJob, DeleteJob, EditJob, PromoteJob, RetryJob, SettleJob, TakeBackLease
from holdfast.routing.interests import Match

Given = Mapping[str, Any]
Permit = Callable[[str, str], bool]
"""Whether the action of this name may be done to this target; the target is a queue, or "" where there is none."""


@dataclass(frozen=True)
class Action:
    """How an action is run, and the message afterwards."""

    perform: Callable[[Engine, str, Given], Awaitable[Any]]
    said: str


async def _pause(engine: Engine, name: str, given: Given) -> Any:
    return await engine.pause(name, bool(given["paused"]))


async def _pause_type(engine: Engine, name: str, given: Given) -> Any:
    return await engine.pause_type(name, str(given["type"]), bool(given["paused"]))


async def _set_queue(engine: Engine, name: str, given: Given) -> Any:
    settings: QueueSettings = given["settings"]
    if not given.get("whole", True):
        return await engine.set_queue(name, settings, whole=False)
    with suppress(QueueNotFound):  # the form does not show them
        before = (await engine.reading.queue(name)).settings
        settings = replace(settings, budgets=before.budgets, fair=before.fair)
    return await engine.set_queue(name, settings, whole=True)


async def _weigh(engine: Engine, name: str, given: Given) -> Any:
    return await engine.fair.weigh(name, str(given["key"]), given["weight"])


async def _purge(engine: Engine, name: str, given: Given) -> Any:
    states: tuple[State, ...] = given["states"]
    return await engine.purge(name, states)


async def _delete_queue(engine: Engine, name: str, _: Given) -> Any:
    return await engine.delete_queue(name)


async def _set_interest(engine: Engine, name: str, given: Given) -> Any:
    match: Match | None = given["match"]
    return await engine.set_interest(name, match)


async def _enqueue(engine: Engine, _: str, given: Given) -> Any:
    job: NewJob = given["job"]
    return (await engine.add_job(job)).jobs[0].id


def _job(command: Callable[[int], Any]) -> Callable[[Engine, str, Given], Awaitable[Any]]:
    async def perform(engine: Engine, name: str, _: Given) -> Any:
        return await engine.change_job(command(int(name)))

    return perform


async def _take_back(engine: Engine, name: str, given: Given) -> Any:
    return await engine.change_job(TakeBackLease(int(name), **given))


async def _edit(engine: Engine, name: str, given: Given) -> Any:
    return await engine.change_job(EditJob(int(name), **given))


async def _move(engine: Engine, name: str, given: Given) -> Any:
    return (await engine.move_job(int(name), given["to_queue"])).jobs[0].id


async def _quiet(engine: Engine, name: str, _: Given) -> Any:
    return await engine.workers.quiet(name)


async def _stop(engine: Engine, name: str, _: Given) -> Any:
    return await engine.workers.stop(name)


async def _remove_worker(engine: Engine, name: str, _: Given) -> Any:
    return await engine.workers.remove(name)


async def _set_schedule(engine: Engine, name: str, given: Given) -> Any:
    spec: ScheduleSpec = given["spec"]
    return await engine.schedules.set(name, spec, bool(given["paused"]))


async def _set_budget(engine: Engine, name: str, given: Given) -> Any:
    return await engine.budgets.set(name, int(given["limit"]), given["per_ms"], given["burst"])


async def _delete_budget(engine: Engine, name: str, given: Given) -> Any:
    return await engine.budgets.delete(name, force=bool(given["force"]))


async def _block_budget(engine: Engine, name: str, given: Given) -> Any:
    return await engine.budgets.block(name, given["key"], int(given["for_ms"]))


async def _unblock_budget(engine: Engine, name: str, given: Given) -> Any:
    return await engine.budgets.unblock(name, given["key"])


async def _create_key(engine: Engine, name: str, given: Given) -> Any:
    return await engine.keys.create(name, **given)


async def _edit_key(engine: Engine, name: str, given: Given) -> Any:
    return await engine.keys.edit(name, given["changes"])


async def _rotate_key(engine: Engine, name: str, given: Given) -> Any:
    return await engine.keys.rotate(name, int(given["old_ms"]))


async def _revoke_key(engine: Engine, name: str, _: Given) -> Any:
    return await engine.keys.revoke(name)


async def _settle(engine: Engine, name: str, given: Given) -> Any:
    return await engine.change_job(SettleJob(int(name), given["outcome"] == "concluded", str(given["reason"])))


async def _start_operation(engine: Engine, name: str, given: Given) -> Any:
    begun = await engine.operations.start(
        Do(name), given["wanted"], given["to"], given["per_s"], states=given["states"], counted=given["counted"]
    )
    return begun.operation.id


async def _pause_operation(engine: Engine, name: str, given: Given) -> Any:
    return await engine.operations.pause(int(name), bool(given["paused"]))


async def _cancel_operation(engine: Engine, name: str, _: Given) -> Any:
    return await engine.operations.cancel(int(name))


async def _set_operation(engine: Engine, name: str, given: Given) -> Any:
    return await engine.operations.set_rate(int(name), given["per_s"])


async def _pause_schedule(engine: Engine, name: str, given: Given) -> Any:
    return await engine.schedules.pause(name, bool(given["paused"]))


async def _run_schedule(engine: Engine, name: str, _: Given) -> Any:
    return await engine.schedules.run(name)


async def _delete_schedule(engine: Engine, name: str, _: Given) -> Any:
    return await engine.schedules.delete(name)


async def _close_batch(engine: Engine, name: str, _: Given) -> Any:
    return await engine.batches.close(int(name))


async def _cancel_batch(engine: Engine, name: str, _: Given) -> Any:
    return await engine.batches.cancel(int(name))


ACTIONS: dict[str, Action] = {
    "queue.pause": Action(_pause, "Queue paused: workers get no jobs from it."),
    "queue.resume": Action(_pause, "Queue resumed."),
    "type.pause": Action(_pause_type, "Type paused: workers get no jobs of it."),
    "type.resume": Action(_pause_type, "Type resumed."),
    "queue.set": Action(_set_queue, "Settings saved."),
    "queue.fair.set": Action(_weigh, "Weight set. It counts from the next job of the key on."),
    "queue.fair.unset": Action(_weigh, "The key has its usual weight, 1."),
    "queue.purge": Action(_purge, "Jobs purged: {n}."),
    "queue.delete": Action(_delete_queue, "Queue deleted."),
    "interest.set": Action(_set_interest, "Subscription saved. It applies to events published from now on."),
    "interest.remove": Action(_set_interest, "Subscription removed."),
    "job.enqueue": Action(_enqueue, "Job enqueued."),
    "job.retry": Action(_job(RetryJob), "Job is ready again; its attempts are reset."),
    "job.cancel": Action(_job(CancelJob), "Job cancelled. If it is running, its worker is asked to stop."),
    "job.promote": Action(_job(PromoteJob), "Job is ready now."),
    "job.release_lease": Action(_take_back, "Lease taken back: the job is ready for another worker."),
    "job.delete": Action(_job(DeleteJob), "Job deleted."),
    "job.edit": Action(_edit, "Job saved."),
    "job.settle": Action(_settle, "Job settled."),
    "job.move": Action(_move, "Job moved: enqueued here with a new id, and removed from the other queue."),
    "operation.start": Action(_start_operation, "Started: it goes on by itself."),
    "operation.pause": Action(_pause_operation, "Paused."),
    "operation.resume": Action(_pause_operation, "Resumed."),
    "operation.cancel": Action(_cancel_operation, "Cancelled. What it has done stays done."),
    "operation.set": Action(_set_operation, "Pace changed."),
    "worker.quiet": Action(_quiet, "Quiet: no new jobs, and the running ones are finished."),
    "worker.stop": Action(_stop, "Stopping: no new jobs, and the end once the running ones are finished."),
    "worker.remove": Action(_remove_worker, "Worker removed. Its running jobs stay leased until their leases expire."),
    "schedule.set": Action(_set_schedule, "Schedule saved."),
    "schedule.pause": Action(_pause_schedule, "Schedule paused."),
    "schedule.resume": Action(_pause_schedule, "Schedule resumed."),
    "schedule.run": Action(_run_schedule, "Job of the schedule enqueued now; the next scheduled run is unchanged."),
    "budget.set": Action(_set_budget, "Budget saved. It is in force, also for jobs that wait."),
    "budget.delete": Action(_delete_budget, "Budget deleted."),
    "budget.block": Action(_block_budget, "Blocked: nothing that names it starts. What runs goes on."),
    "budget.unblock": Action(_unblock_budget, "Unblocked."),
    "batch.close": Action(_close_batch, "Batch closed: it takes no more jobs."),
    "batch.cancel": Action(_cancel_batch, "Batch cancelled: what waited is cancelled, what runs is asked to stop."),
    "key.create": Action(_create_key, "Access key created."),
    "key.edit": Action(_edit_key, "Access key saved. It takes effect everywhere within 2 seconds."),
    "key.rotate": Action(_rotate_key, "Access key rotated."),
    "key.revoke": Action(_revoke_key, "Access key revoked: it is refused everywhere from now on."),
    "schedule.delete": Action(_delete_schedule, "Schedule deleted; its jobs stay."),
}


_NEEDS = {"job.enqueue": Ability.PRODUCE, "batch.close": Ability.PRODUCE, "worker.remove": Ability.CONSUME} | dict.fromkeys(
    ("key.create", "key.edit", "key.rotate", "key.revoke"), Ability.ADMIN
)
"""What an action needs that does not need `manage`."""


def everything(action: str, target: str) -> bool:  # noqa: ARG001  (the shape of a rule)
    """The rule without keys: every caller may do everything."""
    return True


def permit_of(engine: Engine, caller: Caller | None) -> Permit:
    """The rule for a caller: what the engine would let it do."""
    if not engine.keyring.in_force:
        return everything
    if caller is None:
        return lambda action, target: False  # noqa: ARG005
    return lambda action, queue: _NEEDS.get(action, Ability.MANAGE) in caller.abilities and (not queue or caller.sees(queue))


class Actions:
    """Runs a screen's actions, if they are permitted. Each leaves an entry in the audit log: the verb's own, or that it was
    forbidden.
    """

    def __init__(self, engine: Engine, permit: Permit = everything, actor: Actor = NOBODY) -> None:
        self._engine = engine
        self._permit = permit
        self._actor = actor

    def may(self, action: str, queue: str = "") -> bool:
        """Whether the action is permitted on this queue, or its jobs."""
        return self._permit(action, queue)

    async def act(self, action: str, name: str, queue: str = "", **given: Any) -> Any:
        """Run it on the target with this name; `queue` is the one concerned."""
        if not self.may(action, queue):
            await self._engine.record(
                AuditEntry(action, queue, name, outcome=Forbidden.code, done=0, refused=1, actor=self._actor)
            )
            raise Forbidden(f"You are not allowed to do this: {action}.", field="action")
        with acting_as(self._actor):
            return await ACTIONS[action].perform(self._engine, name, given)

    @staticmethod
    def said(action: str, count: str) -> str:
        """The message afterwards. Both parts come from a URL, so neither is more than a name and a number."""
        if action not in ACTIONS:
            return ""
        return ACTIONS[action].said.format(n=count if count.isascii() and count.isdigit() and len(count) < 19 else "some")
