"""One row for each verb: its decider, what to prefetch for it, and its weight in a batch.

A new verb is a class in `messages/`, typed by its answer; a decider; and its row here. Deciders that end leases get the batch's
`Conclude`, those that grant leases its `Leases`, and all others the `Batch` itself.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from holdfast.committer import (
    access_keys,
    audit,
    beanstalk,
    budget_verbs,
    budgets,
    by_type,
    enqueue,
    expiry,
    fair,
    inbox,
    job_batches,
    manage,
    operations,
    prefetch,
    schedules,
    worker_registry,
)
from holdfast.committer.conclude import Conclude
from holdfast.committer.lease import Leases
from holdfast.job.job import NewJob
from holdfast.limits import BUDGET_CHUNK, PURGE_CHUNK
from holdfast.messages.audit import RecordAudit, TrimAudit
from holdfast.messages.beanstalk_commands import BuryLease, EndPauses, KickJob, KickJobs, PauseFor, PutJobs, ReserveJob
from holdfast.messages.budget_commands import BlockBudget, DeleteBudget, SetBudget
from holdfast.messages.commands import (
    AddJob,
    BeatWorker,
    CancelJob,
    ConcludeLease,
    DeleteJob,
    DeleteQueue,
    DeleteSchedule,
    EditJob,
    Enqueue,
    ExtendLease,
    FailLease,
    LeaseJobs,
    MoveJob,
    PauseQueue,
    PauseSchedule,
    PauseType,
    PromoteJob,
    PurgeQueue,
    QuietWorker,
    RegisterWorker,
    ReleaseLease,
    RemoveWorkers,
    RetryJob,
    RunSchedule,
    SetInterest,
    SetQueue,
    SetSchedule,
    SettleJob,
    ShortenLease,
    TakeBackLease,
)
from holdfast.messages.fair_commands import SetFairWeight
from holdfast.messages.frame import Answer, Command
from holdfast.messages.inbox import TakeIn
from holdfast.messages.job_batches import CancelJobBatch, CloseJobBatch, MakeJobBatch, PutClosingJobs
from holdfast.messages.key_commands import CreateKey, EditKey, NoteKeyUse, RevokeKey, RotateKey
from holdfast.messages.operations import (
    CancelOperation,
    PauseOperation,
    SetOperationRate,
    StartOperation,
    StepOperation,
    TrimOperations,
)
from holdfast.messages.time_commands import (
    AdmitWaiting,
    BuryOrphans,
    EndOverdue,
    ExpireLeases,
    FillTypes,
    FireSchedules,
    ForgetHistory,
    ForgetShares,
    PromoteDue,
    ReapWorkers,
    SortShares,
)
from holdfast.stores.store import Prefetch

_COMMAND_BYTES = _JOB_BYTES = 256  # without payloads

Burden = tuple[int, int]
"""About how many bytes a command brings into a transaction, and how many jobs it may change."""


def _one(_: Command[Answer]) -> Burden:
    return _COMMAND_BYTES, 1


def _limit(command: Any) -> Burden:
    return _COMMAND_BYTES, command.limit


def _jobs(command: Enqueue | PutJobs) -> Burden:
    jobs = command.jobs
    if len(jobs) == 1:
        return _COMMAND_BYTES + len(jobs[0].payload) + _JOB_BYTES, 1
    queues = {job.queue for job in jobs}  # each costs about as much as a job, and perhaps it is to be made
    return _size(jobs), len(jobs) + len(queues) - 1


def _batch(command: MakeJobBatch) -> Burden:
    jobs = [*command.jobs, *(one.job for one in command.closing)]
    return _size(jobs), 1 + len(jobs)


def _concluded(command: ConcludeLease) -> Burden:
    result, then = command.result, command.then
    size = _COMMAND_BYTES if result is None else _COMMAND_BYTES + len(result)
    return (size + _size(then), 1 + len(then)) if then else (size, 1)


def _failed(command: FailLease) -> Burden:
    raised = command.raised
    return _COMMAND_BYTES + (0 if raised is None else len(raised.message) + len(raised.traceback)), 1


def _size(jobs: list[NewJob]) -> int:
    return _COMMAND_BYTES + sum([len(job.payload) + _JOB_BYTES for job in jobs])


def _arrivals(command: TakeIn) -> Burden:
    return _size([one.new for one in command.arrivals]), len(command.arrivals)


def _interest(command: SetInterest) -> Burden:
    fields = command.match.items() if isinstance(command.match, dict) else ()
    return _COMMAND_BYTES + sum([len(field) + len(value) for field, value in fields]), 1


@dataclass(frozen=True, slots=True)
class Verb:
    """`unheard`: no caller waits for its answer."""

    decide: Callable[[Any, Any], Awaitable[Answer]]
    note: Callable[[Prefetch, Any], None] | None = None
    burden: Callable[[Any], Burden] = _one
    unheard: bool = False


VERBS: dict[type[Command[Answer]], Verb] = {
    Enqueue: Verb(enqueue.enqueue, prefetch.enqueue, _jobs),
    LeaseJobs: Verb(Leases.lease, prefetch.lease, _limit),
    ConcludeLease: Verb(Conclude.conclude, prefetch.conclude, _concluded),
    FailLease: Verb(Conclude.fail, prefetch.fence, _failed),
    ReleaseLease: Verb(Conclude.release, prefetch.fence),
    ExtendLease: Verb(Conclude.extend, prefetch.fence),
    ShortenLease: Verb(Conclude.shorten, prefetch.fence),
    # Looking after jobs and queues
    RetryJob: Verb(manage.retry, prefetch.job),
    CancelJob: Verb(manage.cancel, prefetch.job),
    PromoteJob: Verb(manage.promote, prefetch.job),
    TakeBackLease: Verb(manage.take_back, prefetch.job),
    DeleteJob: Verb(manage.delete, prefetch.job),
    EditJob: Verb(manage.edit, prefetch.job),
    MoveJob: Verb(manage.move, prefetch.move),
    SettleJob: Verb(manage.settle, prefetch.job),
    AddJob: Verb(manage.add, prefetch.add),
    SetQueue: Verb(manage.set_queue, prefetch.name),
    PauseQueue: Verb(manage.pause, prefetch.name),
    PauseType: Verb(manage.pause_type, prefetch.name),
    PurgeQueue: Verb(manage.purge, prefetch.name, _limit),
    DeleteQueue: Verb(manage.delete_queue, prefetch.name, lambda _: (_COMMAND_BYTES, PURGE_CHUNK)),
    SetInterest: Verb(manage.set_interest, prefetch.queue, _interest),
    RecordAudit: Verb(audit.record),
    # Workers and schedules
    RegisterWorker: Verb(worker_registry.register),
    BeatWorker: Verb(worker_registry.beat, unheard=True),
    QuietWorker: Verb(worker_registry.quiet),
    RemoveWorkers: Verb(worker_registry.remove),
    ReapWorkers: Verb(worker_registry.reap, unheard=True),
    SetSchedule: Verb(schedules.put),
    PauseSchedule: Verb(schedules.pause),
    RunSchedule: Verb(schedules.run, prefetch.run),
    DeleteSchedule: Verb(schedules.delete),
    # Operations
    StartOperation: Verb(operations.start),
    PauseOperation: Verb(operations.pause),
    CancelOperation: Verb(operations.cancel),
    SetOperationRate: Verb(operations.set_rate),
    StepOperation: Verb(operations.step, prefetch.operation, _limit, unheard=True),
    TrimOperations: Verb(operations.trim, unheard=True),
    # Batches of jobs
    MakeJobBatch: Verb(job_batches.make, prefetch.make_job_batch, _batch),
    CloseJobBatch: Verb(job_batches.close),
    CancelJobBatch: Verb(
        job_batches.cancel, prefetch.cancel_job_batch, lambda command: (_COMMAND_BYTES, 1 + len(command.jobs))
    ),
    PutClosingJobs: Verb(job_batches.put_owed, prefetch.owed, _limit, unheard=True),
    # Budgets
    SetBudget: Verb(budget_verbs.put),
    DeleteBudget: Verb(budget_verbs.delete),
    BlockBudget: Verb(budget_verbs.block),
    SetFairWeight: Verb(fair.weigh, prefetch.queue),
    # Access keys
    CreateKey: Verb(access_keys.create),
    EditKey: Verb(access_keys.edit),
    RotateKey: Verb(access_keys.rotate),
    RevokeKey: Verb(access_keys.revoke),
    NoteKeyUse: Verb(access_keys.note_use),
    # What happens because time passes
    ExpireLeases: Verb(expiry.expire, prefetch.expire, _limit, unheard=True),
    PromoteDue: Verb(expiry.promote_due, prefetch.due, _limit, unheard=True),
    EndOverdue: Verb(expiry.end_overdue, prefetch.overdue, _limit, unheard=True),
    BuryOrphans: Verb(expiry.bury_orphans, prefetch.orphans, _limit, unheard=True),
    AdmitWaiting: Verb(budgets.pass_time, prefetch.accounts, lambda _: (_COMMAND_BYTES, BUDGET_CHUNK), unheard=True),
    FireSchedules: Verb(schedules.fire, prefetch.fire, _limit, unheard=True),
    ForgetHistory: Verb(expiry.forget, prefetch.forget, _limit, unheard=True),
    TrimAudit: Verb(audit.trim, burden=_limit, unheard=True),
    EndPauses: Verb(beanstalk.end_pauses, unheard=True),
    FillTypes: Verb(by_type.fill, prefetch.queue, _limit, unheard=True),
    TakeIn: Verb(inbox.take_in, prefetch.take_in, _arrivals, unheard=True),
    SortShares: Verb(fair.sort, prefetch.queue, _limit, unheard=True),
    ForgetShares: Verb(fair.forget, prefetch.shares, _limit, unheard=True),
    # What beanstalkd's verbs ask for beyond these
    PutJobs: Verb(beanstalk.put, prefetch.put, _jobs),
    BuryLease: Verb(Conclude.bury, prefetch.fence),
    KickJobs: Verb(beanstalk.kick_many, prefetch.queue, _limit),
    KickJob: Verb(beanstalk.kick_one, prefetch.job),
    ReserveJob: Verb(beanstalk.reserve, prefetch.reserve),
    PauseFor: Verb(beanstalk.pause, prefetch.queue),
}


More = tuple[frozenset[str], frozenset[int], frozenset[str]]
"""Queues, batches of jobs and budgets."""

NOTHING_MORE: More = (frozenset(), frozenset(), frozenset())


def prefetched(commands: Sequence[Command[Answer]], now: int, more: More = NOTHING_MORE) -> Prefetch:
    """What these commands name, and what turned out to be needed when this was tried before."""
    found = Prefetch(now, set(more[0]), job_batches=set(more[1]), budgets=set(more[2]))
    found.unheard = True
    for command in commands:
        verb = VERBS[type(command)]
        found.unheard &= verb.unheard
        if verb.note is not None:
            verb.note(found, command)
    return found
