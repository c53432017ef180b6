"""Authorization: what each request needs, in one table, and the check that every request of every door passes.

    door ─ sets the caller (`auth/caller.py`) ─▶ verb ─▶ submit · ask ─▶ `permit` ─▶ backend
                                                                           │
             `Forbidden` with the ability ◀────────────────────────────────┤  the key lacks the ability, or has it but not for this queue
             not found ◀───────────────────────────────────────────────────┤  the request is about a queue that the key may not see
             a scope on the request ◀──────────────────────────────────────┘  only the store knows the queue: of a job by its id, a worker, a list

A request without a row is refused, so that a new one is never open by accident.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from msgspec.structs import replace

from holdfast.auth.caller import CALLER, Caller, unauthorized
from holdfast.auth.keyring import Keyring
from holdfast.auth.keys import Ability
from holdfast.auth.scope import ALL
from holdfast.errors import Forbidden, QueueNotFound
from holdfast.messages import audit, budget_commands, commands, fair_commands, job_batches, key_commands, operations, queries
from holdfast.messages import beanstalk_commands as tubes
from holdfast.messages.frame import Answer, Request

R = TypeVar("R", bound=Request[Answer])
Queues = Callable[[Any], Iterable[str]]
NOBODY = "This server requires an access key, and none is known for this request."


@dataclass(frozen=True, slots=True)
class Rule:
    """What a request needs. `queues`: those that it names. `exists`: the request needs an existing queue, so one that the key
    may not see is answered as not found; else it is forbidden. `scoped`: the request is about more than it names, and the store
    leaves out what the key may not see; `scoped_if`: only if this holds. `also`: further abilities, each on a queue.
    """

    ability: Ability
    queues: Queues | None = None
    exists: bool = False
    scoped: bool = False
    also: Callable[[Any], Iterable[tuple[Ability, str]]] | None = None
    scoped_if: Callable[[Any], bool] | None = None


def _name(request: Any) -> tuple[str, ...]:
    return (request.name,)


def _every(_: Any) -> tuple[str, ...]:
    return (ALL,)


def _queue(request: Any) -> tuple[str, ...]:
    return () if request.queue is None else (request.queue,)


def _names(request: Any) -> list[str]:
    names: list[str] = request.names
    return names


def _of_jobs(request: Any) -> set[str]:
    return {job.queue for job in request.jobs}


def _of_batch(request: job_batches.MakeJobBatch) -> set[str]:
    return {job.queue for job in (*request.jobs, *(one.job for one in request.closing))}


def _joins(request: commands.Enqueue) -> bool:
    return any(job.extras.batch is not None for job in request.jobs)


def _follow_ups(request: commands.ConcludeLease) -> Iterable[tuple[Ability, str]]:
    return [(Ability.PRODUCE, job.queue) for job in request.then]


def _history(request: queries.GetHistory) -> list[str]:
    return list(request.names or ()) or ([request.queue] if request.queue else [])


def _schedule(request: commands.SetSchedule) -> tuple[str, ...]:
    return (ALL if request.spec.publish else request.spec.job.queue,)  # an event may reach any queue


def _operation(request: operations.StartOperation) -> tuple[str, ...]:
    return () if request.filter.queue is None else (request.filter.queue,)


def _target(request: operations.StartOperation) -> Iterable[tuple[Ability, str]]:
    return [(Ability.MANAGE, request.to)] if request.to else []


_JOB = Rule(Ability.MANAGE, scoped=True)
_LEASE = Rule(Ability.CONSUME, scoped=True)
_MANAGE = Rule(Ability.MANAGE, _name, exists=True)
_READ = Rule(Ability.READ, scoped=True)
_ADMIN = Rule(Ability.ADMIN)
_BUDGET = Rule(Ability.MANAGE, _every)

RULES: dict[type[Request[Any]], Rule] = {
    commands.Enqueue: Rule(Ability.PRODUCE, _of_jobs, scoped_if=_joins),
    commands.LeaseJobs: Rule(Ability.CONSUME, lambda request: request.queues, scoped=True),
    commands.ConcludeLease: Rule(Ability.CONSUME, scoped=True, also=_follow_ups),
    commands.FailLease: _LEASE,
    commands.ReleaseLease: _LEASE,
    commands.ExtendLease: _LEASE,
    tubes.PutJobs: Rule(Ability.PRODUCE, _of_jobs),
    tubes.BuryLease: _LEASE,
    tubes.ReserveJob: _LEASE,
    # Managing
    commands.RetryJob: _JOB,
    commands.CancelJob: _JOB,
    commands.PromoteJob: _JOB,
    commands.TakeBackLease: _JOB,
    commands.DeleteJob: _JOB,
    commands.EditJob: _JOB,
    commands.SettleJob: _JOB,
    commands.MoveJob: Rule(Ability.MANAGE, _queue, scoped=True),
    commands.AddJob: Rule(Ability.PRODUCE, lambda request: (request.job.queue,)),
    commands.SetQueue: Rule(Ability.MANAGE, _name),  # it can create the queue: so forbidden, and not "not found"
    commands.PauseQueue: _MANAGE,
    commands.PauseType: _MANAGE,
    fair_commands.SetFairWeight: Rule(Ability.MANAGE, _queue, exists=True),
    fair_commands.CountFairKeys: Rule(Ability.READ, _every),
    fair_commands.GetShares: Rule(Ability.READ, _queue, exists=True),
    commands.PurgeQueue: _MANAGE,
    commands.DeleteQueue: _MANAGE,
    commands.SetInterest: Rule(Ability.MANAGE, _queue),
    tubes.KickJob: _JOB,
    tubes.KickJobs: Rule(Ability.MANAGE, _queue, exists=True),
    tubes.PauseFor: Rule(Ability.MANAGE, _queue, exists=True),
    # Workers and schedules
    commands.RegisterWorker: Rule(Ability.CONSUME, lambda request: request.queues),
    commands.BeatWorker: _LEASE,
    commands.QuietWorker: _JOB,
    commands.RemoveWorkers: Rule(Ability.CONSUME, _queue, exists=True, scoped=True),
    commands.SetSchedule: Rule(Ability.MANAGE, _schedule, scoped=True),
    commands.PauseSchedule: _JOB,
    commands.RunSchedule: _JOB,
    commands.DeleteSchedule: _JOB,
    operations.StartOperation: Rule(Ability.MANAGE, _operation, exists=True, scoped=True, also=_target),
    operations.PauseOperation: _JOB,
    operations.CancelOperation: _JOB,
    operations.SetOperationRate: _JOB,
    # Budgets: those of all queues, so that a key that sees some of them only may neither manage nor list them
    budget_commands.SetBudget: _BUDGET,
    budget_commands.DeleteBudget: _BUDGET,
    budget_commands.BlockBudget: _BUDGET,
    budget_commands.GetBudget: Rule(Ability.READ, _every),
    budget_commands.ListBudgets: Rule(Ability.READ, _every),
    # Reading
    operations.ListOperations: _READ,
    queries.GetJob: _READ,
    queries.ListJobs: Rule(Ability.READ, _queue, exists=True, scoped=True),
    queries.FindReceipts: Rule(Ability.READ, _queue, exists=True, scoped=True),
    queries.GetQueue: Rule(Ability.READ, _name, exists=True),
    queries.ListQueues: _READ,
    queries.ExplainJob: _READ,
    queries.GetStats: Rule(
        Ability.READ, lambda request: () if request.only is None else (request.only,), exists=True, scoped=True
    ),
    queries.GetInterests: _READ,
    queries.ListWorkers: _READ,
    queries.ListSchedules: _READ,
    queries.OldestReady: Rule(Ability.READ, _names, exists=True),
    queries.OldestDead: Rule(Ability.READ, _queue, exists=True),
    queries.GetLoad: Rule(Ability.READ, _name, exists=True),
    queries.CountUrgent: Rule(Ability.READ, _names, exists=True),
    queries.GetTube: Rule(Ability.READ, _name, exists=True),
    queries.GetHealth: Rule(Ability.READ),
    queries.CountJobs: Rule(Ability.READ, _queue, exists=True, scoped=True),
    queries.RecentFailures: Rule(Ability.READ, _queue, exists=True, scoped=True),
    queries.GetHistory: Rule(Ability.READ, _history, exists=True, scoped=True),
    audit.ListAudit: _ADMIN,
    # Batches of jobs
    job_batches.MakeJobBatch: Rule(Ability.PRODUCE, _of_batch, scoped=True),
    job_batches.CloseJobBatch: Rule(Ability.PRODUCE, scoped=True),
    job_batches.CancelJobBatch: _JOB,
    job_batches.ListMembers: _JOB,  # in order to cancel them
    job_batches.GetJobBatch: _READ,
    job_batches.ListJobBatches: _READ,
    # Access keys
    key_commands.CreateKey: _ADMIN,
    key_commands.EditKey: _ADMIN,
    key_commands.RotateKey: _ADMIN,
    key_commands.RevokeKey: _ADMIN,
    key_commands.ListKeys: _ADMIN,
}
"""One row for each request that a door can make. Commands of ticks have none: no door sends them."""

_PUBLISH = Rule(Ability.PUBLISH)


def caller_here(keyring: Keyring) -> Caller | None:
    """The caller in this context; None if no keys are in force. Raises `Unauthorized` if keys are in force and no caller is
    set.
    """
    if not keyring.in_force:
        return None
    caller = CALLER.get()
    if caller is None:
        raise unauthorized(NOBODY)
    return caller


def permit(request: R, caller: Caller | None) -> R:
    """The request with the scope of the caller, if its key permits it. Keys are in force; raises `Unauthorized`, `Forbidden` or
    `QueueNotFound`.
    """
    if caller is None:
        raise unauthorized(NOBODY)
    rule = RULES.get(type(request))
    if rule is None:
        raise Forbidden("No access key permits this request.")
    if isinstance(request, commands.Enqueue) and request.interests is not None:
        rule = _PUBLISH  # the interest of a queue is the permission to enqueue a copy in it
    caller.need(rule.ability)
    scope = caller.scope
    if rule.also is not None:
        for ability, queue in rule.also(request):
            caller.need(ability)
            _check(caller, ability, queue)
    if scope is None:
        return request
    for queue in rule.queues(request) if rule.queues is not None else ():
        if not scope.sees(queue):
            if rule.exists:
                raise QueueNotFound(f"There is no queue {queue}.", queue=queue)
            _check(caller, rule.ability, queue)
    scoped = rule.scoped or (rule.scoped_if is not None and rule.scoped_if(request))
    return replace(request, scope=scope) if scoped else request


def _check(caller: Caller, ability: Ability, queue: str) -> None:
    if not caller.sees(queue):
        raise Forbidden(
            f"The key {caller.key.name} lacks the ability {ability.value} on the queue {queue}.",
            ability=ability.value,
            queue=queue,
        )
