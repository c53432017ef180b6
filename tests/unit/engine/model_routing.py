"""The model's part about events and workers: who wants what, who is there, and which copies belong to one worker alone."""

import json
import re
from dataclasses import dataclass

from msgspec.structs import replace

from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.messages import commands as c
from holdfast.messages.time_commands import BuryOrphans, ReapWorkers


class No(Exception):
    """A refusal, by its code."""


class Late(Exception):
    """The interests have changed in this very transaction: the event is routed anew, and put in the next."""


@dataclass(frozen=True)
class Publish:
    """What `Engine.publish` is asked; it stands among the commands, although it becomes one only when it is routed."""

    event: NewJob
    key: IdempotencyKey | None = None
    require_interest: bool = False
    to_workers: bool = False
    skip_held: bool = False


@dataclass
class Worker:
    """A registered worker."""

    queues: tuple[str, ...]
    beat: int
    running: bool = True
    types: tuple[str, ...] | None = None


class Routing:
    """Interests and workers, by name. What it needs besides, `now`, `jobs` and `settle`, is the model's."""

    def __init__(self) -> None:
        self.interests: dict[str, object] = {}
        self.routed_by: dict[str, object] = {}  # the interests as they were before the transaction
        self.workers: dict[str, Worker] = {}

    def wanting(self, payload: bytes) -> list[str]:
        """The queues that want an event whose fields are strings."""
        fields = json.loads(payload)

        def fits(match: object) -> bool:
            pairs = match.items() if isinstance(match, dict) else ()
            return match == "*" or any(re.search(f, k) and re.search(v, x) for f, v in pairs for k, x in fields.items())

        return sorted(queue for queue, match in self.interests.items() if fits(match))

    def copies(self, command: Publish) -> list[NewJob]:
        """One for each queue that wants the event, or for each running worker on it."""
        jobs = [replace(command.event, queue=queue) for queue in self.wanting(command.event.payload)]
        if not command.to_workers:
            return jobs
        found = []
        for job in jobs:
            for name, worker in self.workers.items():
                takes = worker.types is None or job.type in worker.types
                if worker.running and job.queue in worker.queues and takes:
                    key = job.extras.unique_key and f"{job.extras.unique_key}@{name}"
                    found.append(replace(job, extras=replace(job.extras, worker=name, unique_key=key)))
        return found

    def worker(self, name: str) -> Worker:
        if name not in self.workers:
            raise No("worker_not_found")
        return self.workers[name]

    # Verbs

    def SetInterest(self, command: c.SetInterest) -> int:  # noqa: N802  (each verb is called what its command is called)
        if command.match is None and command.queue not in self.interests:
            return 0
        others = {queue: match for queue, match in self.interests.items() if queue != command.queue}
        self.interests = others if command.match is None else others | {command.queue: command.match}
        return 1

    def RegisterWorker(self, command: c.RegisterWorker) -> object:  # noqa: N802
        self.workers[command.id] = Worker(command.queues, self.now, True, command.types)
        return command.id, "running"

    def BeatWorker(self, command: c.BeatWorker) -> object:  # noqa: N802
        worker = self.worker(command.id)
        worker.beat = self.now
        return command.id, "running" if worker.running else "quiet"

    def QuietWorker(self, command: c.QuietWorker) -> object:  # noqa: N802
        self.worker(command.id).running = False
        return command.id, "quiet"

    def RemoveWorkers(self, command: c.RemoveWorkers) -> int:  # noqa: N802
        if command.id is not None:
            self.worker(command.id)
        return self._forget([name for name, w in self.workers.items() if name == command.id or command.queue in w.queues])

    def ReapWorkers(self, command: ReapWorkers) -> int:  # noqa: N802
        holding = {row.by for row in self.jobs.values() if row.state == "leased"}
        silent = [name for name, worker in self.workers.items() if self.now - worker.beat > command.silence_ms]
        return self._forget([name for name in silent if name not in holding])

    def _forget(self, names: list[str]) -> int:
        for name in names:
            del self.workers[name]
        return len(names)

    def BuryOrphans(self, command: BuryOrphans) -> int:  # noqa: N802
        orphans = [row for row in self.jobs.values() if row.state == "ready" and not row.held and row.worker is not None]
        orphans = [row for row in orphans if row.worker not in self.workers]
        for row in orphans:
            self.end(row, "dead", "worker_gone")
        return len(orphans)
