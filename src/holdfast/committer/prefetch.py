"""What a command will read, noted before its batch begins, for a store shared by several nodes: see `stores.store.Prefetch`."""

from collections.abc import Sequence
from typing import Any

from holdfast.job.job import NewJob
from holdfast.limits import FAIR_KEYS, QUEUES_PER_TICK
from holdfast.messages.beanstalk_commands import PutJobs, ReserveJob
from holdfast.messages.commands import AddJob, ConcludeLease, Enqueue, LeaseJobs, MoveJob, RunSchedule
from holdfast.messages.inbox import REFUSED_QUEUE, TakeIn
from holdfast.messages.job_batches import CancelJobBatch, MakeJobBatch, PutClosingJobs
from holdfast.messages.operations import StepOperation
from holdfast.messages.time_commands import (
    AdmitWaiting,
    BuryOrphans,
    EndOverdue,
    ExpireLeases,
    FireSchedules,
    ForgetHistory,
    ForgetShares,
    PromoteDue,
)
from holdfast.stores.store import Prefetch


def new_jobs(found: Prefetch, jobs: Sequence[NewJob]) -> None:
    """New jobs: their queues and their unique keys."""
    found.new_jobs += len(jobs)
    for job in jobs:
        found.queues.add(job.queue)
        if job.extras.unique_key is not None:
            found.unique.append((job.queue, job.extras.unique_key))
        for charge in job.extras.budgets:
            found.budgets.add(charge.name)


def enqueue(found: Prefetch, command: Enqueue) -> None:
    """New jobs, perhaps for each worker."""
    new_jobs(found, command.jobs)
    found.open_ended |= command.to_workers
    if command.member is not None:
        found.jobs.append(command.member.job)


def take_in(found: Prefetch, command: TakeIn) -> None:
    """New jobs, which have their ids already."""
    wanted = found.new_jobs
    new_jobs(found, [one.new for one in command.arrivals])
    found.new_jobs = wanted
    found.open_ended = True
    if any(one.refused is not None for one in command.arrivals):
        found.queues.add(REFUSED_QUEUE)


def lease(found: Prefetch, command: LeaseJobs) -> None:
    """The heads of the queues, or of the worker's own."""
    found.leases += command.limit
    if not command.queues:
        found.own_lines[command.worker] = command.limit
        found.open_ended = True
    for name in command.queues:
        found.queues.add(name)
        key = (command.worker, name)
        found.lines[key] = found.lines.get(key, 0) + command.limit


def fence(found: Prefetch, command: Any) -> None:
    """A lease by its fence, and its job."""
    found.fences.append(command.ref.fence)
    found.jobs.append(command.ref.job)  # its lease may have expired; then the job tells its queue


def conclude(found: Prefetch, command: ConcludeLease) -> None:
    """A lease, and the follow-up jobs."""
    fence(found, command)
    new_jobs(found, command.then)


def job(found: Prefetch, command: Any) -> None:
    """A job by its id."""
    found.jobs.append(command.id)


def reserve(found: Prefetch, command: ReserveJob) -> None:
    """A job by its id, to be leased."""
    found.jobs.append(command.id)
    found.leases += 1


def move(found: Prefetch, command: MoveJob) -> None:
    """A job by its id, and its target queue."""
    found.jobs.append(command.id)
    found.queues.add(command.queue)
    found.new_jobs += 1


def add(found: Prefetch, command: AddJob) -> None:
    """One new job."""
    new_jobs(found, [command.job])


def name(found: Prefetch, command: Any) -> None:
    """The queue with this name."""
    found.queues.add(command.name)


def queue(found: Prefetch, command: Any) -> None:
    """The queue of the command."""
    found.queues.add(command.queue)


def expire(found: Prefetch, command: ExpireLeases) -> None:
    """Leases that have ended."""
    found.expire += command.limit


def due(found: Prefetch, command: PromoteDue) -> None:
    """Jobs that are due."""
    found.due += command.limit


def overdue(found: Prefetch, command: EndOverdue) -> None:
    """Jobs whose deadline has passed."""
    found.overdue += command.limit


def orphans(found: Prefetch, command: BuryOrphans) -> None:
    """Jobs for removed workers."""
    found.orphans += command.limit


def accounts(found: Prefetch, command: AdmitWaiting) -> None:
    """Accounts in which time has something to do, and the queues of the heads of their lines."""
    found.accounts += command.limit


def shares(found: Prefetch, command: ForgetShares) -> None:
    """Queues with fair keys to forget."""
    found.shares = (command.surplus, FAIR_KEYS)


def fire(found: Prefetch, command: FireSchedules) -> None:
    """Schedules that are due."""
    found.fire += command.limit
    found.open_ended = True


def forget(found: Prefetch, command: ForgetHistory) -> None:
    """Queues with history to drop."""
    found.forget = (command.after, QUEUES_PER_TICK)


def run(found: Prefetch, _: RunSchedule) -> None:
    """One job of a schedule, whatever its queue."""
    found.new_jobs += 1
    found.open_ended = True


def operation(found: Prefetch, command: StepOperation) -> None:
    """Jobs by their ids, and the queues that all of them are in, or go to."""
    found.jobs += command.ids
    found.queues.update(command.queues)
    if command.moves:
        found.new_jobs += len(command.ids)


def put(found: Prefetch, command: PutJobs) -> None:
    """New jobs of several commands."""
    new_jobs(found, command.jobs)


def make_job_batch(found: Prefetch, command: MakeJobBatch) -> None:
    """New jobs, and an id for their batch."""
    new_jobs(found, command.jobs)
    found.new_jobs += 1
    for closing in command.closing:  # checked now, and put later
        found.queues.add(closing.job.queue)
        found.budgets.update(charge.name for charge in closing.job.extras.budgets)


def cancel_job_batch(found: Prefetch, command: CancelJobBatch) -> None:
    """Jobs by their ids."""
    found.jobs += command.jobs


def owed(found: Prefetch, command: PutClosingJobs) -> None:
    """The queues of closing jobs that are owed."""
    found.owed = (command.after, command.limit)
    found.open_ended = True
