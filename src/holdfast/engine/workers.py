"""The verbs about workers: register, heartbeat, quiet, remove."""

import secrets

from holdfast.engine import checks
from holdfast.engine.submitter import Submitter
from holdfast.job.registry import UNTOLD, Process, Worker
from holdfast.messages.answers import WorkerAnswer
from holdfast.messages.commands import BeatWorker, QuietWorker, RegisterWorker, RemoveWorkers
from holdfast.messages.frame import Command


class Workers:
    """Verbs on registered workers."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    async def register(
        self, queues: tuple[str, ...], name: str, types: tuple[str, ...] | None = None, process: Process = UNTOLD
    ) -> Worker:
        """Register a worker under a new id. `types`: it gets only jobs of these."""
        checks.worker(queues, name, types, process)
        return await self._worker(RegisterWorker(f"w-{secrets.token_hex(8)}", name, queues, types, process))

    async def beat(self, worker_id: str) -> Worker:
        """Record that a worker is alive."""
        return await self._worker(BeatWorker(worker_id))

    async def quiet(self, worker_id: str) -> Worker:
        """Give a worker no more jobs."""
        return (await self._submitter.manage(QuietWorker(worker_id))).worker

    async def stop(self, worker_id: str) -> Worker:
        """Give a worker no more jobs, and ask it to end when it has finished those it has."""
        return (await self._submitter.manage(QuietWorker(worker_id, stop=True))).worker

    async def remove(self, worker_id: str | None = None, queue: str | None = None) -> int:
        """Remove one worker, or all workers of a queue; returns how many. Their jobs stay leased."""
        return (await self._submitter.manage(RemoveWorkers(worker_id, queue))).count

    async def _worker(self, command: Command[WorkerAnswer]) -> Worker:
        return (await self._submitter.ask(command)).worker
