"""Registered workers: register, heartbeat, quiet, remove. Heartbeats are held in memory and cost no write."""

from msgspec.structs import replace

from holdfast.committer.batch import Batch
from holdfast.errors import InvalidRequest, WorkerNotFound
from holdfast.job import registry
from holdfast.job.by_type import in_both
from holdfast.job.registry import Worker, WorkerState
from holdfast.limits import WORKERS, WORKERS_BYTES
from holdfast.messages.answers import Counted, WorkerAnswer
from holdfast.messages.commands import BeatWorker, LeaseJobs, QuietWorker, RegisterWorker, RemoveWorkers
from holdfast.messages.time_commands import ReapWorkers


async def _worker(batch: Batch, worker_id: str) -> Worker:
    worker = (await batch.tx.workers()).get(worker_id)
    if worker is None or not registry.is_seen(worker, batch.scope):
        raise WorkerNotFound(f"There is no worker {worker_id}.", worker_id=worker_id)
    return worker


async def register(batch: Batch, command: RegisterWorker) -> WorkerAnswer:
    """Take a worker in; its queues need not exist yet."""
    if command.types is not None:
        await batch.demand_newest_only("types")
    worker = Worker(command.id, command.name, command.queues, WorkerState.RUNNING, batch.now, command.types, command.process)
    workers = await batch.tx.workers()
    if len(workers) >= WORKERS:
        raise InvalidRequest(f"There are {WORKERS} workers already; that is the limit.", field="workers")
    if workers.bytes + registry.weight(worker) > WORKERS_BYTES:
        raise InvalidRequest(
            f"The registered workers and the names of their queues take {WORKERS_BYTES} bytes already; that is the limit.",
            field="workers",
        )
    await batch.tx.save_worker(worker)
    batch.beats[worker.id] = batch.now
    return WorkerAnswer(worker)


async def beat(batch: Batch, command: BeatWorker) -> WorkerAnswer:
    """Record a worker's heartbeat."""
    worker = await _worker(batch, command.id)
    batch.beats[worker.id] = batch.now
    return WorkerAnswer(worker)


async def quiet(batch: Batch, command: QuietWorker) -> WorkerAnswer:
    """Give a worker nothing more, and perhaps ask it to end."""
    worker = await _worker(batch, command.id)
    after = registry.stop(worker) if command.stop else registry.quieten(worker)
    if after is not worker:
        await batch.tx.save_worker(after)
    return WorkerAnswer(after)


async def remove(batch: Batch, command: RemoveWorkers) -> Counted:
    """Remove one worker, or all workers of a queue. Their jobs stay leased until the lease ends or expires."""
    if command.id is not None:
        gone = [await _worker(batch, command.id)]
    else:
        found = [worker for worker in (await batch.tx.workers()).values() if command.queue in worker.queues]
        gone = [worker for worker in found if registry.is_seen(worker, batch.scope)]
    return await _forget(batch, gone)


async def reap(batch: Batch, command: ReapWorkers) -> Counted:
    """Remove workers without leases that have been silent for too long."""
    for worker_id in await batch.tx.workers():
        batch.beats.setdefault(worker_id, batch.now)  # after a restart everyone has the full time again
    silent = registry.silent(await batch.tx.workers(), batch.beats, batch.now, command.silence_ms)
    if not silent:
        return Counted(0)
    holding = await batch.tx.holding([worker.id for worker in silent])
    return await _forget(batch, [worker for worker in silent if worker.id not in holding])


async def _forget(batch: Batch, gone: list[Worker]) -> Counted:
    await batch.tx.delete_workers([worker.id for worker in gone])
    for worker in gone:
        batch.beats.pop(worker.id, None)
    return Counted(len(gone))


def admitted(batch: Batch, command: LeaseJobs, workers: dict[str, Worker]) -> LeaseJobs | None:
    """A dequeue as its worker may make it: from its own queues when it names none, of its types only, and None for a quiet worker. It
    counts as a beat.

    Whose name is the id of a worker that its key does not see is refused: those jobs would be shown as that worker's.
    """
    worker = workers.get(command.worker)
    if worker is None and not command.registered:
        return command
    if worker is None or not registry.is_seen(worker, command.scope):
        raise WorkerNotFound(f"There is no worker {command.worker}.", worker_id=command.worker)
    batch.beats[worker.id] = batch.now
    if worker.state is not WorkerState.RUNNING:
        return None
    if worker.types is not None:
        command = replace(command, types=in_both(command.types, worker.types))
    return command if command.queues else replace(command, queues=worker.queues)
