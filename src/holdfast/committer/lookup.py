"""Queries that need more than the store: each is answered from the store, from the counters in memory, or from both."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from holdfast.clock import Clock
from holdfast.committer import stats
from holdfast.committer.committer import Committer
from holdfast.committer.history import Recorder
from holdfast.committer.totals import Totals
from holdfast.job import registry
from holdfast.messages.frame import Answer, Query
from holdfast.messages.queries import GetHealth, GetHistory, GetStats, GetTube, ListWorkers
from holdfast.messages.views import JobFacts, SilentWorker, WorkerList
from holdfast.stores.store import Store


class Lookup:
    """Answers queries where the store is."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        committer: Committer,
        totals: Totals,
        recorder: Recorder,
        reports: dict[int, bytes],
        tend: Callable[[], Awaitable[object]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._committer = committer
        self._totals = totals
        self._recorder = recorder
        self._reports = reports
        self._tend = tend
        self._started = clock.now()

    async def answer(self, query: Query[Answer]) -> Answer:
        """The answer, or a `HoldfastError`."""
        now = self._clock.now()
        match query:
            case GetStats():
                found = await stats.gather(self._store, self._totals, query, now, self._reports)
                return found if query.only is not None else replace(found, silent=await self._silent(query, now))
            case GetHealth():
                await self._tend()  # an answer shows that the store was read now
                return stats.of_store(self._store, self._totals)
            case GetHistory():
                return self._recorder.answer(query, now)
            case GetTube():
                return await stats.of_tube(self._store, self._totals, query.name, now)
        return self._with_memory(await self._store.read(query, now))

    async def _silent(self, query: GetStats, now: int) -> list[SilentWorker]:
        """Workers that hold jobs and send no heartbeats. Mostly nobody is silent, and then the store is not read."""
        if not any(registry.is_silent(at, now) for at in self._committer.beats.values()):
            return []
        found: list[SilentWorker] = []
        after: tuple[int, str] | None = (-1, "")
        while after is not None:
            page = self._with_beats(await self._store.read(ListWorkers(after=after, scope=query.scope), now))
            found += [
                SilentWorker(info.worker.id, info.worker.name, now - info.beat_at, len(info.jobs))
                for info in page.workers
                if info.jobs and registry.is_silent(info.beat_at, now)
            ]
            after = page.after
        return sorted(found, key=lambda one: -one.jobs)

    def _with_memory(self, read: Answer) -> Answer:
        """What is in memory only, added to what the store has."""
        if isinstance(read, WorkerList):
            return self._with_beats(read)
        return self._with_silent(read) if isinstance(read, JobFacts) else read

    def _with_beats(self, read: WorkerList) -> WorkerList:
        """Workers with their last heartbeats: a restart counts as a heartbeat of every worker."""
        beats = self._committer.beats
        workers = [
            replace(info, beat_at=beats.get(info.worker.id, max(self._started, info.worker.registered_at)))
            for info in read.workers
        ]
        return WorkerList(workers, read.now, read.after)

    def _with_silent(self, read: JobFacts) -> JobFacts:
        """The facts of a job, with the number of its queue's workers whose heartbeat is late, and what happened between its attempts."""
        beats = self._committer.beats
        silent = sum(
            registry.is_silent(beats.get(worker, max(self._started, registered_at)), read.now)
            for worker, registered_at in read.takers
        )
        return replace(read, takers=[], silent=silent, between=self._committer.job_log.of(read.job.id))
