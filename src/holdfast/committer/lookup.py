"""Questions beside the commands: each goes to whoever knows the answer, the store or what is counted beside it."""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from holdfast.clock import Clock
from holdfast.committer import stats
from holdfast.committer.audit import AuditLog
from holdfast.committer.committer import Committer
from holdfast.committer.history import Recorder
from holdfast.committer.totals import Totals
from holdfast.job import registry
from holdfast.messages.frame import Answer, Query
from holdfast.messages.queries import GetAudit, GetHealth, GetHistory, GetStats, GetTube, RecordAudit
from holdfast.messages.views import JobFacts, WorkerList
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
        audit_log: AuditLog,
        reports: dict[int, bytes],
        tend: Callable[[], Awaitable[object]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._committer = committer
        self._totals = totals
        self._recorder = recorder
        self._audit_log = audit_log
        self._reports = reports
        self._tend = tend
        self._started = clock.now()

    async def answer(self, query: Query[Answer]) -> Answer:
        """The answer, or a `HoldfastError`."""
        now = self._clock.now()
        match query:
            case GetStats():
                return await stats.gather(self._store, self._totals, query, now, self._reports)
            case RecordAudit():
                return self._audit_log.record(query.entry, now)
            case GetAudit():
                return self._audit_log.latest(query.limit, now)
            case GetHealth():
                await self._tend()  # an answer means that it was looked at now
                return stats.of_store(self._store, self._totals)
            case GetHistory():
                return self._recorder.answer(query, now)
            case GetTube():
                return await stats.of_tube(self._store, self._totals, query.name, now)
        return self._with_memory(await self._store.read(query, now))

    def _with_memory(self, read: Answer) -> Answer:
        """What is in memory only, added to what the store has."""
        if isinstance(read, WorkerList):
            return self._with_beats(read)
        return self._with_silent(read) if isinstance(read, JobFacts) else read

    def _with_beats(self, read: WorkerList) -> WorkerList:
        """Workers with when they were last heard of: a restart counts as a beat of everyone."""
        beats = self._committer.beats
        workers = [
            replace(info, beat_at=beats.get(info.worker.id, max(self._started, info.worker.registered_at)))
            for info in read.workers
        ]
        return WorkerList(workers, read.now, read.after)

    def _with_silent(self, read: JobFacts) -> JobFacts:
        """The facts of a job, with how many of its queue's workers have not been heard of for a while."""
        beats = self._committer.beats
        silent = sum(
            registry.is_silent(beats.get(worker, max(self._started, registered_at)), read.now)
            for worker, registered_at in read.takers
        )
        return replace(read, takers=[], silent=silent)
