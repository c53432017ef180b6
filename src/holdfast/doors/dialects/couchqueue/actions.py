"""The nine actions by CouchQueue's names: each decodes its parameters, calls the engine and answers.

    taskCreate ─▶ interests ─▶ queues, or each worker's own line ── taskGet ─▶ processing ── taskUpdate ─▶ success │ failed │ again

A task is ended by its id and its worker here, not by a lease: the door looks up the current lease and ends only that one, so a
task that was leased again in between is left alone.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import UNSET

from holdfast import limits
from holdfast.doors.dialects.couchqueue import replies, tasks
from holdfast.doors.dialects.couchqueue.parameters import Parameters
from holdfast.doors.dialects.couchqueue.status import status
from holdfast.doors.rest import bodies
from holdfast.doors.rest.answers import DurabilityOut
from holdfast.doors.rest.replies import durability_out, encode, kept_as
from holdfast.engine import checks
from holdfast.engine.engine import Engine
from holdfast.errors import InvalidRequest, JobNotFound, LeaseLost, WrongState
from holdfast.job.job import State
from holdfast.messages.commands import ConcludeLease, DeleteQueue, FailLease
from holdfast.messages.views import JobDetail

Action = Callable[[Engine, Parameters], Awaitable[Any]]
_REMOVABLE = (State.SCHEDULED, State.READY, State.DEAD)


async def task_create(engine: Engine, given: Parameters) -> replies.CreatedOut:
    """Publish a task to every interested queue; without one it is discarded."""
    event, to_all, wanted = tasks.event(given), tasks.for_all(given), given.flag("requireInterest")
    once = given.flag("singularlyEnqueue")
    if given.flag("fastPost"):
        queues = await engine.publish_unwaited(event, wanted, to_all, skip_held=once)
        return replies.CreatedOut(queues, DurabilityOut("none", 0))
    named = encode(sorted(given.given.items()))
    published = await engine.publish(
        event, bodies.idempotency("", given.key, b"couchqueue", named), wanted, to_all, skip_held=once
    )
    return replies.CreatedOut(
        sorted({receipt.queue for receipt in published.jobs if receipt.id not in published.gone} | set(published.held)),
        kept_as(published, durability_out(engine.durability)),
        published.held or UNSET,
        True if published.duplicate else UNSET,
    )


async def task_get(engine: Engine, given: Parameters) -> dict[str, Any]:
    """Give a worker its next task: from its queues in its order, each first in, first out."""
    granted = await engine.lease((), 1, worker=given.need("workerId"), registered=True)
    if not granted.jobs:
        return {"task": None, "error": replies.NO_TASKS}
    taken = granted.jobs[0]
    return {"task": tasks.task_out(taken.job, taken.content)}


async def task_update(engine: Engine, given: Parameters) -> replies.UpdatedOut:
    """A worker has done its task, or could not."""
    worker, task_id = given.need("workerId"), given.need("taskId")
    succeeded = given.one_of("state", "fail", "success") == "success"
    reason, once_more = bodies.reason(given.get("failReason") or ""), given.flag("reEnqueue")
    detail = await _held(engine, worker, task_id)
    ref = detail.job.ref()
    if succeeded:
        outcome = await engine.end(ConcludeLease(ref, then=[tasks.again(detail.job, detail.content)] if once_more else []))
    else:
        outcome = await engine.end(FailLease(ref, reason, retry=once_more, delay_ms=0))
    shown = replies.UpdatedOut(outcome.id, tasks.STATUS[outcome.state])
    if outcome.then:
        shown.re_enqueued_as = outcome.then[0].id
    elif outcome.state is State.READY:
        shown.re_enqueued_as = outcome.id
    return shown


async def _held(engine: Engine, worker: str, task_id: str) -> JobDetail:
    """The worker's current task. A worker that was removed meanwhile may still end its task."""
    number = checks.whole(task_id) or 0
    if 0 < number <= limits.ID_MAX:
        try:
            detail = await engine.reading.job(number)
        except JobNotFound:
            pass
        else:
            if detail.job.lease is not None and detail.job.lease.worker == worker:
                return detail
    await engine.reading.worker(worker)  # there is none: that is the reason then
    raise LeaseLost(replies.NOT_WORKING)


async def worker_register(engine: Engine, given: Parameters) -> dict[str, Any]:
    """Take a worker in; its queues are served in the order in which it names them."""
    worker = await engine.workers.register(given.queues(), "")
    return {"workerId": worker.id, "queues": worker.queues}


async def worker_delete(engine: Engine, given: Parameters) -> dict[str, Any]:
    """Forget a worker, or all that work from a queue: they get no more tasks, even if they ask."""
    queue = given.get("queue")
    if queue is not None and given.get("workerId") is None:
        return {"queue": queue, "workersDeleted": await engine.workers.remove(queue=queue)}
    worker = given.need("workerId")
    return {"workerId": worker, "workersDeleted": await engine.workers.remove(worker)}


async def interest_create(engine: Engine, given: Parameters) -> dict[str, Any]:
    """Set a queue's interest, replacing the previous one. A missing queue is created."""
    queue, interests = given.need("queue"), given.interests()
    try:
        await engine.set_interest(queue, interests)
    except InvalidRequest as error:
        if error.fields.get("field") == "match" or error.detail.startswith("match"):
            raise InvalidRequest("interests" + error.detail.removeprefix("match"), field="interests") from None
        raise
    return {"queue": queue, "interests": interests}


async def interest_delete(engine: Engine, given: Parameters) -> dict[str, Any]:
    """Remove all interests of a queue; its tasks stay. That it had none is fine."""
    queue = given.need("queue")
    return {"queue": queue, "deleted": await engine.set_interest(queue, None)}


async def queue_delete(engine: Engine, given: Parameters) -> dict[str, Any]:
    """Remove a queue with its interests. One that still has tasks is refused, unless `purge` says to discard them."""
    queue, purge = given.need("queue"), given.flag("purge")
    async with engine.audited(DeleteQueue(queue)):
        held = (await engine.reading.queue(queue)).tally
        waiting = held.scheduled + held.ready
        if held.leased or (not purge and (waiting or held.dead)):
            raise WrongState(
                f"the queue {queue} holds {waiting} waiting, {held.leased} processing and {held.dead} failed tasks; "
                + ("those that are processing must end first" if held.leased else "purge=true throws them away")
            )
    purged = await engine.purge(queue, _REMOVABLE) if purge else 0
    await engine.delete_queue(queue)
    return {"queue": queue, "purged": purged}


ACTIONS: dict[str, Action] = {
    "taskCreate": task_create,
    "taskGet": task_get,
    "taskUpdate": task_update,
    "workerRegister": worker_register,
    "workerDelete": worker_delete,
    "interestCreate": interest_create,
    "interestDelete": interest_delete,
    "queueDelete": queue_delete,
    "status": status,
}
