"""The verbs about workers: register, heartbeat, quiet, remove."""

import secrets

from holdfast.engine import checks
from holdfast.engine.submitter import Submitter
from holdfast.job.registry import Worker
from holdfast.messages.answers import WorkerAnswer
from holdfast.messages.commands import BeatWorker, QuietWorker, RegisterWorker, RemoveWorkers
from holdfast.messages.frame import Command


class Workers:
    """What can be done about workers."""

    def __init__(self, submitter: Submitter) -> None:
        self._submitter = submitter

    async def register(self, queues: tuple[str, ...], name: str) -> Worker:
        """Take a worker in under a new id."""
        checks.leases(queues, 1, None, name, None)
        return await self._worker(RegisterWorker(f"w-{secrets.token_hex(8)}", name, queues))

    async def beat(self, worker_id: str) -> Worker:
        """A worker is still there."""
        return await self._worker(BeatWorker(worker_id))

    async def quiet(self, worker_id: str) -> Worker:
        """Give a worker nothing more."""
        return (await self._submitter.manage(QuietWorker(worker_id))).worker

    async def remove(self, worker_id: str | None = None, queue: str | None = None) -> int:
        """Forget one worker, or all that take from a queue; how many. What they hold stays leased."""
        return (await self._submitter.manage(RemoveWorkers(worker_id, queue))).count

    async def _worker(self, command: Command[WorkerAnswer]) -> Worker:
        return (await self._submitter.ask(command)).worker
