"""What a batch is going to ask of a store that several nodes share, told before it begins: see `stores.store.Prefetch`."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from holdfast.job.job import NewJob
from holdfast.limits import QUEUES_PER_TICK
from holdfast.messages.beanstalk_commands import BuryLease, EndPauses, KickJob, KickJobs, PauseFor, PutJobs, ReserveJob
from holdfast.messages.commands import (
    BeatWorker,
    CancelJob,
    Command,
    ConcludeLease,
    DeleteJob,
    DeleteQueue,
    EditJob,
    Enqueue,
    ExtendLease,
    FailLease,
    LeaseJobs,
    PauseQueue,
    PromoteJob,
    PurgeQueue,
    ReleaseLease,
    RetryJob,
    RunSchedule,
    SetInterest,
    SetQueue,
)
from holdfast.messages.job_commands import MoveJob, SettleJob
from holdfast.messages.time_commands import BuryOrphans, ExpireLeases, FireSchedules, ForgetHistory, PromoteDue, ReapWorkers
from holdfast.stores.store import Prefetch

_UNHEARD = (ExpireLeases, PromoteDue, ForgetHistory, BuryOrphans, FireSchedules, ReapWorkers, EndPauses, BeatWorker)


def prefetch_of(commands: Sequence[Command], now: int, queues: Iterable[str] = ()) -> Prefetch:
    """What these commands name. `queues` are further ones that turned out to be needed when this was tried before."""
    found = Prefetch(now, set(queues))
    for command in commands:
        note = _NOTES.get(type(command))
        if note is not None:
            note(found, command)
    found.unheard = all(isinstance(command, _UNHEARD) for command in commands)
    return found


def _jobs(found: Prefetch, jobs: Sequence[NewJob]) -> None:
    found.new_jobs += len(jobs)
    for job in jobs:
        found.queues.add(job.queue)
        if job.extras.unique_key is not None:
            found.unique.append((job.queue, job.extras.unique_key))


def _enqueue(found: Prefetch, command: Enqueue) -> None:
    _jobs(found, command.jobs)
    found.open_ended |= command.to_workers


def _lease(found: Prefetch, command: LeaseJobs) -> None:
    found.leases += command.limit
    if not command.queues:
        found.own_lines[command.worker] = command.limit
        found.open_ended = True
    for name in command.queues:
        found.queues.add(name)
        key = (command.worker, name)
        found.lines[key] = found.lines.get(key, 0) + command.limit


def _fence(found: Prefetch, command: Any) -> None:
    found.fences.append(command.ref.fence)
    found.jobs.append(command.ref.job)  # its lease may have ended before, and then the job says which queue is meant


def _conclude(found: Prefetch, command: ConcludeLease) -> None:
    _fence(found, command)
    _jobs(found, command.then)


def _job(found: Prefetch, command: Any) -> None:
    found.jobs.append(command.id)


def _reserve(found: Prefetch, command: ReserveJob) -> None:
    found.jobs.append(command.id)
    found.leases += 1


def _move(found: Prefetch, command: MoveJob) -> None:
    found.jobs.append(command.id)
    found.queues.add(command.queue)
    found.new_jobs += 1


def _name(found: Prefetch, command: Any) -> None:
    found.queues.add(command.name)


def _queue(found: Prefetch, command: Any) -> None:
    found.queues.add(command.queue)


def _expire(found: Prefetch, command: ExpireLeases) -> None:
    found.expire += command.limit


def _due(found: Prefetch, command: PromoteDue) -> None:
    found.due += command.limit


def _orphans(found: Prefetch, command: BuryOrphans) -> None:
    found.orphans += command.limit


def _fire(found: Prefetch, command: FireSchedules) -> None:
    found.fire += command.limit
    found.open_ended = True


def _forget(found: Prefetch, command: ForgetHistory) -> None:
    found.forget = (command.after, QUEUES_PER_TICK)


def _run(found: Prefetch, _: RunSchedule) -> None:
    found.new_jobs += 1
    found.open_ended = True


_NOTES: dict[type, Callable[[Prefetch, Any], None]] = {
    Enqueue: _enqueue,
    PutJobs: lambda found, command: _jobs(found, command.jobs),
    LeaseJobs: _lease,
    ConcludeLease: _conclude,
    FailLease: _fence,
    ReleaseLease: _fence,
    ExtendLease: _fence,
    BuryLease: _fence,
    RetryJob: _job,
    CancelJob: _job,
    PromoteJob: _job,
    EditJob: _job,
    DeleteJob: _job,
    KickJob: _job,
    ReserveJob: _reserve,
    MoveJob: _move,
    SettleJob: _job,
    SetQueue: _name,
    PauseQueue: _name,
    PurgeQueue: _name,
    DeleteQueue: _name,
    SetInterest: _queue,
    KickJobs: _queue,
    PauseFor: _queue,
    ExpireLeases: _expire,
    PromoteDue: _due,
    BuryOrphans: _orphans,
    FireSchedules: _fire,
    ForgetHistory: _forget,
    RunSchedule: _run,
}
