"""Registered workers: their queues, whether they want more jobs, and when they count as gone.

    register ─▶ running ── quiet ──▶ quiet ── stop ──▶ stopping ──┐
                   │                                              ├── deleted, or silent for too long while it holds nothing ──▶ gone
                   └──────────────────────────────────────────────┘

Never backwards: a quiet worker does not run again, and a removed one has to register anew. One that is stopping is asked to end once it has
finished its jobs. Registering is optional: a worker
can lease jobs under any free name. A heartbeat writes no row; it is held in memory on the store's side, and a restart counts as
a heartbeat of every worker.
"""

import enum
from collections.abc import Iterable, Mapping

import msgspec

from holdfast.auth.scope import Scope
from holdfast.limits import WORKER_SILENT_MS


class WorkerState(enum.StrEnum):
    """Whether a worker gets jobs."""

    RUNNING = "running"
    QUIET = "quiet"
    STOPPING = "stopping"


class Process(msgspec.Struct, frozen=True, array_like=True):
    """What a worker says of its process: its machine, its process id and the version of its program; "" and None: not told."""

    host: str = ""
    pid: int | None = None
    version: str = ""


UNTOLD = Process()


class Worker(msgspec.Struct, frozen=True, array_like=True):
    """A registered worker. `queues` are in its order of preference; `registered_at` is in milliseconds. `types`: the
    only ones whose jobs it gets; None: all.
    """

    id: str
    name: str
    queues: tuple[str, ...]
    state: WorkerState
    registered_at: int
    types: tuple[str, ...] | None = None
    process: Process = UNTOLD


def is_seen(worker: Worker, scope: Scope | None) -> bool:
    """Whether a caller with this scope sees a worker: it must see all of its queues."""
    return scope is None or all(map(scope.sees, worker.queues))


class Roster(dict[str, Worker]):
    """Registered workers by their id, and about how many bytes they take."""

    def __init__(self, workers: Iterable[Worker] = ()) -> None:
        super().__init__()
        self.bytes = 0
        for worker in workers:
            self[worker.id] = worker

    def __setitem__(self, worker_id: str, worker: Worker) -> None:
        self._forget(worker_id)
        super().__setitem__(worker_id, worker)
        self.bytes += weight(worker)

    def remove(self, worker_id: str) -> None:
        """Remove one, if it exists."""
        self._forget(worker_id)
        super().pop(worker_id, None)

    def _forget(self, worker_id: str) -> None:
        if (worker := self.get(worker_id)) is not None:
            self.bytes -= weight(worker)


def weight(worker: Worker) -> int:
    """About how many bytes a worker takes in memory."""
    texts = len(worker.name) + len(worker.process.host) + len(worker.process.version)
    return 500 + texts + sum([60 + len(name) for name in (*worker.queues, *(worker.types or ()))])


def quieten(worker: Worker) -> Worker:
    """It finishes its jobs and gets no more; a quiet worker stays as it is."""
    return msgspec.structs.replace(worker, state=WorkerState.QUIET) if worker.state is WorkerState.RUNNING else worker


def stop(worker: Worker) -> Worker:
    """It finishes its jobs, gets no more, and ends."""
    return worker if worker.state is WorkerState.STOPPING else msgspec.structs.replace(worker, state=WorkerState.STOPPING)


def takes_from(worker: Worker, queue: str, job_type: str | None = None) -> bool:
    """Whether the worker gets jobs of this queue, and of this type."""
    if worker.state is not WorkerState.RUNNING or queue not in worker.queues:
        return False
    return job_type is None or worker.types is None or job_type in worker.types


def is_silent(beat_at: int, now: int) -> bool:
    """Whether a worker with this last heartbeat is probably gone."""
    return now - beat_at > WORKER_SILENT_MS


def silent(workers: Mapping[str, Worker], beats: Mapping[str, int], now: int, silence_ms: int) -> list[Worker]:
    """Workers without a heartbeat for longer than `silence_ms`; one that never sent one is not among them."""
    return [worker for worker in workers.values() if now - beats.get(worker.id, now) > silence_ms]
