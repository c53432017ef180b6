"""The read side: single jobs, listings, statistics, and why a job is not running. Never writes."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from msgspec.structs import replace

from holdfast import limits
from holdfast.auth.caller import CALLER
from holdfast.auth.keyring import Keyring
from holdfast.auth.keys import Key
from holdfast.auth.scope import Scope
from holdfast.engine import checks
from holdfast.engine.access import caller_here, permit
from holdfast.engine.hub import Hub, JobEnd
from holdfast.engine.need import Need, need
from holdfast.engine.shared_read import Shared
from holdfast.engine.submitter import or_raise
from holdfast.engine.why import reasons
from holdfast.errors import (
    Forbidden,
    JobNotFound,
    OperationNotFound,
    Overloaded,
    ScheduleNotFound,
    StoreUnavailable,
    WorkerNotFound,
    breach,
)
from holdfast.job.job import ENDED, Content
from holdfast.job.job_batch import JOB_BATCH_STATES
from holdfast.job.operation import hidden as hidden_operation
from holdfast.job.schedule import Schedule
from holdfast.messages.audit import AuditEntry, AuditFilter, AuditPage, ListAudit
from holdfast.messages.backend import Backend
from holdfast.messages.frame import A, Answer, Query
from holdfast.messages.job_batches import GetJobBatch, JobBatchInfo, JobBatchPage, ListJobBatches, ListMembers, MemberPage
from holdfast.messages.key_commands import KeyList, ListKeys
from holdfast.messages.operations import ListOperations, OperationAnswer, OperationPage
from holdfast.messages.queries import (
    CountJobs,
    CountUrgent,
    ExplainJob,
    FindReceipts,
    GetHealth,
    GetHistory,
    GetInterests,
    GetJob,
    GetLoad,
    GetQueue,
    GetStats,
    GetTube,
    ListJobs,
    ListQueues,
    ListSchedules,
    ListWorkers,
    OldestDead,
    RecentFailures,
)
from holdfast.messages.views import (
    Failures,
    History,
    InterestList,
    JobCounts,
    JobDetail,
    JobFacts,
    JobPage,
    QueueCounts,
    QueueInfo,
    QueuePage,
    QueueStats,
    ReceiptList,
    SchedulePage,
    Stats,
    StoreStats,
    TubeFacts,
    WorkerInfo,
    WorkerList,
)

Q = TypeVar("Q", bound=Query[Any])
_LOOK_AGAIN_S = 5.0  # polls a job that is waited for: it may have ended on another node whose notification was lost


class Reader:
    """Answers from committed data."""

    def __init__(self, backend: Backend, hub: Hub, keyring: Keyring) -> None:
        self._backend = backend
        self._keyring = keyring
        self._hub = hub
        self._on_the_way = 0
        self._looks: dict[GetJob, asyncio.Future[Any]] = {}
        self._of_all: Shared[GetStats, Stats] = Shared(self._gather)
        self._of_named: Shared[GetStats, Stats] = Shared(self._gather)  # limited separately: each name is another read

    async def glance(self, job_id: int, cut: int = 0) -> JobDetail:
        """One job with only the first bytes of its payload and its result."""
        _check_id(job_id)
        checks.number("cut", cut, 0, limits.PAYLOAD_BYTES_MAX)
        return self._shown(await self._ask(GetJob(job_id, cut)))

    async def job(self, job_id: int, wait_ms: int = 0) -> JobDetail:
        """One job; with `wait_ms`, once it has ended or the time is up."""
        _check_id(job_id)
        checks.number("wait_ms", wait_ms, 0, limits.WAIT_MS_MAX)
        if not wait_ms:
            return self._shown(await self._ask(GetJob(job_id)))
        caller = caller_here(self._keyring)
        watch = self._hub.watch(job_id)  # before the read, so that no end is missed
        try:
            if caller is not None:
                caller.opened(watch, lambda _: None if watch.done() else watch.set_result(None))
            detail = await self._look(job_id)
            deadline = asyncio.get_running_loop().time() + wait_ms / 1000
            while detail.job.state not in ENDED and (left := deadline - asyncio.get_running_loop().time()) > 0:
                ended, _ = await asyncio.wait({watch}, timeout=min(left, _LOOK_AGAIN_S))
                if ended:
                    return self._shown(await self._at_its_end(job_id, watch.result()))
                detail = await self._look(job_id)
            return self._shown(detail)
        finally:
            self._hub.unwatch(job_id, watch)
            if caller is not None:
                caller.closed(watch)

    async def _at_its_end(self, job_id: int, ending: JobEnd | None) -> JobDetail:
        """The job as it ended: one read serves all callers that waited for it."""
        asked = self._permitted(GetJob(job_id))
        if ending is None or asked.scope is not None:  # the server drains, or the caller's key has ended
            return await self._look(job_id)
        if ending.read is None:
            ending.read = _read_for_many(self._read(asked))
        try:
            return await asyncio.shield(ending.read)
        finally:
            del ending  # as in `_look`

    async def _look(self, job_id: int) -> JobDetail:
        """The job now. Callers that ask for it in the same turn share one read, which begins after it and so misses nothing."""
        asked = self._permitted(GetJob(job_id))
        look = self._looks.get(asked)
        if look is None:
            look = self._looks[asked] = _read_for_many(self._look_soon(asked))
        try:
            return await asyncio.shield(look)
        finally:
            del look  # a refusal refers to this frame by its traceback, and the future to the refusal

    async def _look_soon(self, asked: GetJob) -> Answer:
        await asyncio.sleep(0)
        del self._looks[asked]
        return await self._read(asked)

    async def jobs(self, query: ListJobs) -> JobPage:
        """A page of jobs."""
        checks.number("limit", query.limit, 1, limits.LIST_LIMIT)
        self._check_filter(query)
        return self._shown_page(await self._ask(query))

    async def receipts(self, key: str, queue: str | None) -> ReceiptList:
        """The jobs that were enqueued under an idempotency key."""
        checks.printable("idempotency_key", key, limits.REQUEST_ID_CHARS)
        return await self._ask(FindReceipts(key, queue))

    async def job_batch(self, number: int) -> JobBatchInfo:
        """One batch of jobs."""
        checks.number("batch", number, 1, limits.ID_MAX)
        return await self._ask(GetJobBatch(number))

    async def job_batches(self, limit: int, before: int | None = None, state: str | None = None) -> JobBatchPage:
        """A page of batches, the newest first."""
        checks.number("limit", limit, 1, limits.LIST_LIMIT)
        checks.number("cursor", before, 1, limits.ID_MAX)
        if state not in (None, *JOB_BATCH_STATES):
            raise breach("state", f"must be one of {', '.join(JOB_BATCH_STATES)}")
        return await self._ask(ListJobBatches(limit, before, state))

    async def members(self, query: ListMembers) -> MemberPage:
        """Unfinished members of a batch."""
        return await self._ask(query)

    async def counts(self, query: CountJobs) -> JobCounts:
        """How many jobs match a filter, by state, counted up to a bound."""
        self._check_filter(query)
        return await self._ask(query)

    async def counts_within(self, query: CountJobs, scope: Scope | None) -> JobCounts:
        """The same for who may manage these jobs, within this scope: for an operation, which has them in its `filter`."""
        self._check_filter(query, "filter.")
        return await self._read(replace(query, scope=scope))

    async def operations(self, limit: int, before: int | None) -> OperationPage:
        """A page of operations, the newest first."""
        checks.number("limit", limit, 1, limits.LIST_LIMIT)
        page = await self._ask(ListOperations(limit, before))
        return replace(page, operations=list(map(hidden_operation, page.operations))) if self._hides_payloads() else page

    async def operation(self, number: int) -> OperationAnswer:
        """One operation."""
        found = await self._ask(ListOperations(1, id=min(max(number, 0), limits.ID_MAX)))
        if not found.operations:
            raise OperationNotFound(f"There is no operation {number}.", operation_id=number)
        operation = found.operations[0]
        return OperationAnswer(hidden_operation(operation) if self._hides_payloads() else operation, found.now)

    async def failures(self, queue: str | None = None) -> Failures:
        """The jobs that failed most recently, each with its latest error."""
        if queue is not None:
            checks.name_of_queue("queue", queue)
        found = await self._ask(RecentFailures(limits.FAILURES_SCANNED, queue))
        if self._hides_payloads():
            return replace(found, jobs=[replace(one, reason="", error_class="", place="") for one in found.jobs])
        return found

    async def history(self, queue: str = "", span: str = "hour") -> History:
        """What a queue, or all of them together, did in the last hour or day."""
        return await self._ask(GetHistory(queue, span))

    async def depths(self, names: list[str]) -> dict[str, list[int | None]]:
        """How full each of these queues was in the last hour, sampled."""
        found: History = await self._ask(GetHistory(names=names))
        return found.depths

    async def queue(self, name: str) -> QueueInfo:
        """One queue."""
        return await self._ask(GetQueue(name))

    async def load(self, name: str, drain_ms: int, slots: int) -> Need:
        """How many workers a queue needs, each of which runs `slots` jobs at once, to have done in `drain_ms` what waits now."""
        checks.number("drain_ms", drain_ms, 1, limits.DRAIN_MS_MAX)
        checks.number("concurrency", slots, 1, limits.SLOTS_MAX)
        return need(await self._ask(GetLoad(name)), drain_ms, slots)

    async def queues(self, limit: int, after: str) -> QueuePage:
        """A page of queues by name."""
        checks.number("limit", limit, 1, limits.LIST_LIMIT)
        return await self._ask(ListQueues(limit, after))

    async def stats(self, most: int = limits.STATS_QUEUES, named: str = "") -> Stats:
        """The store, sums over all queues, and a bounded number of queues named like this: first those that need attention."""
        shared = self._of_named if named else self._of_all
        found = await shared.of(self._permitted(GetStats(most, named[: limits.QUEUE_NAME_WRITTEN_CHARS])))
        return found if (store := self._seen(found.store)) is found.store else replace(found, store=store)

    async def stats_of_busiest(self, most: int) -> Stats:
        """The same for the queues that hold or have done the most."""
        return await self._of_all.of(self._permitted(GetStats(most, busiest=True)))

    def _seen(self, store: StoreStats) -> StoreStats:
        """Without what names or counts queues and what is in them, for who may not see them all."""
        caller = caller_here(self._keyring)
        if caller is None or caller.scope is None:
            return store
        return replace(
            store,
            schedules_aside=0,
            job_batches={},
            jobs_aside=0,
            operations={},
            unreadable={},
            set_aside=[],
            held_queues=[one for one in store.held_queues if caller.sees(one.name)],
            jobs_why=[],
            audit={},
            backups=None,
            inbox=None,
            taken_in={},
        )

    async def _gather(self, query: GetStats) -> Stats:
        return await self._read(query)

    async def stats_of(self, queue: str) -> tuple[QueueStats, int]:
        """The numbers of one queue, and the store's time."""
        return (found := await self._ask(GetStats(only=queue))).queues[0], found.now

    async def audit(self, query: ListAudit) -> AuditPage:
        """A page of the audit log: a full page, or what a bounded number of reads finds, with a cursor."""
        checks.number("limit", query.limit, 1, limits.LIST_LIMIT)
        _check_audit(query.filter)
        found: list[AuditEntry] = []
        for _ in range(limits.AUDIT_STRETCHES):
            page = await self._ask(query)
            found += page.entries
            left = query.limit - len(page.entries)
            if page.cursor is None or not left:
                break
            at = page.cursor
            query = replace(query, limit=left, before=at) if query.after is None else replace(query, limit=left, after=at)
        return replace(page, entries=found)

    async def workers(self) -> WorkerList:
        """All registered workers, each with its current jobs."""
        found: list[WorkerInfo] = []
        after: tuple[int, str] | None = (-1, "")
        while after is not None:
            page = await self.workers_after(limits.LIST_LIMIT, after)
            found += page.workers
            after = page.after
        return WorkerList(found, page.now)

    async def workers_after(self, limit: int, after: tuple[int, str]) -> WorkerList:
        """A page of workers, in the order of registration."""
        checks.number("limit", limit, 1, limits.LIST_LIMIT)
        return await self._ask(ListWorkers(limit=limit, after=after))

    async def worker(self, worker_id: str) -> tuple[WorkerInfo, int]:
        """One registered worker, and the store's time."""
        found: WorkerList = await self._ask(ListWorkers(worker_id))
        if not found.workers:
            raise WorkerNotFound(f"There is no worker {worker_id[:100]}.", worker_id=worker_id[:100])
        return found.workers[0], found.now

    async def schedules(self, limit: int, after: str) -> SchedulePage:
        """A page of schedules by name."""
        checks.number("limit", limit, 1, limits.LIST_LIMIT)
        page = await self._ask(ListSchedules(limit, after))
        if self._hides_payloads():
            return replace(page, schedules=[hidden_schedule(schedule) for schedule in page.schedules])
        return page

    async def schedule(self, name: str) -> Schedule:
        """One schedule."""
        found: SchedulePage = await self._ask(ListSchedules(1, name=name))
        if not found.schedules:
            raise ScheduleNotFound(f"There is no schedule {name[:100]}.", schedule=name[:100])
        return hidden_schedule(found.schedules[0]) if self._hides_payloads() else found.schedules[0]

    async def interests(self) -> InterestList:
        """Every queue's interest."""
        return await self._ask(GetInterests())

    async def all_interests(self) -> InterestList:
        """The same for routing, whoever publishes."""
        return await self._read(GetInterests())

    async def ask(self, query: Query[A]) -> A:
        """What this asks, of budgets and fair shares."""
        return await self._ask(query)

    async def as_it_is(self, query: Query[A]) -> A:
        """The same for who has just changed it, and may not be allowed to read any other."""
        return await self._read(query)

    async def keys(self) -> list[Key]:
        """All access keys."""
        return (await self._ask(ListKeys())).keys or []

    async def keys_unless(self, known: int, patience_s: float | None = None) -> KeyList:
        """All access keys for the keyring itself, unless their version is still this one. A read that takes longer is left, and
        `StoreUnavailable` raised.
        """
        # Not counted among the reads in progress: a flood of reads must not keep a revoked key in force.
        asked = self._backend.submit(ListKeys(known))
        answered, _ = await asyncio.wait({asked}, timeout=patience_s)
        if not answered:
            self._backend.leave(asked)
            raise StoreUnavailable(f"The access keys could not be read within {patience_s:g} s.", retry_after_ms=1_000)
        return or_raise(asked.result())

    async def store(self) -> StoreStats:
        """The health of the store, for a caller that may see it."""
        found: StoreStats = await self._ask(GetHealth())
        return self._seen(found)

    async def stats_of_store(self) -> StoreStats:
        """The health of the store; asks the store, so an answer means that it is up. Needs no key."""
        return await self._read(GetHealth())

    async def oldest_dead(self, queue: str) -> JobPage:
        """The oldest dead job of a queue, if there is one."""
        return self._shown_page(await self._ask(OldestDead(queue)))

    async def urgent(self, names: list[str]) -> QueueCounts:
        """How many ready jobs of these queues are urgent."""
        return await self._ask(CountUrgent(names))

    async def tube(self, name: str) -> TubeFacts:
        """One queue with its totals."""
        return await self._ask(GetTube(name))

    async def why(self, job_id: int) -> tuple[JobFacts, list[tuple[str, str]]]:
        """Why a job is not running: the facts, and the reasons as (code, sentence), the most important first."""
        _check_id(job_id)
        facts: JobFacts = await self._ask(ExplainJob(job_id))
        return facts, reasons(facts)

    def _shown(self, detail: JobDetail) -> JobDetail:
        caller = caller_here(self._keyring)
        if caller is None:
            return detail
        if detail.then and caller.scope is not None:
            detail = replace(detail, then=[receipt for receipt in detail.then if caller.sees(receipt.queue)])
        return detail if caller.key.sees_payloads else hidden(detail)

    def _shown_page(self, page: JobPage) -> JobPage:
        return replace(page, jobs=[hidden(detail) for detail in page.jobs]) if self._hides_payloads() else page

    def _hides_payloads(self) -> bool:
        caller = caller_here(self._keyring)
        return caller is not None and not caller.key.sees_payloads

    def _check_filter(self, query: ListJobs | CountJobs, at: str = "") -> None:
        checks.filter_of_jobs(query, at)
        searched = next((name for name in ("text", "field", "error") if getattr(query, name) not in (None, ())), None)
        if searched is not None and self._hides_payloads():
            raise Forbidden("This key sees no payloads, and can't search in them.", field=at + searched)

    def _permitted(self, query: Q) -> Q:
        return permit(query, CALLER.get()) if self._keyring.in_force else query

    async def _ask(self, query: Query[A]) -> A:
        """Query with the caller's rights."""
        return await self._read(self._permitted(query))

    async def _read(self, query: Query[A]) -> A:
        if self._on_the_way >= limits.IN_FLIGHT_QUERIES:
            raise Overloaded(retry_after_ms=1_000)
        future = self._backend.submit(query)
        self._on_the_way += 1
        future.add_done_callback(self._answered)
        try:
            return or_raise(await asyncio.shield(future))  # it counts until it is answered, even if the caller has left
        except asyncio.CancelledError:
            self._backend.leave(future)
            raise

    def _answered(self, _: "asyncio.Future[Any]") -> None:
        self._on_the_way -= 1


def _read_for_many(read: Coroutine[Any, Any, Answer]) -> "asyncio.Future[Any]":
    """A read that continues if one of its waiting callers leaves."""
    reading = asyncio.ensure_future(read)
    reading.add_done_callback(lambda done: None if done.cancelled() else done.exception())  # all of them may have left
    return reading


def _check_id(job_id: int) -> None:
    """A number that no job can have and that the store's column can't hold."""
    if not 1 <= job_id <= limits.ID_MAX:
        raise JobNotFound(f"There is no job {job_id}.")


def _check_audit(wanted: AuditFilter) -> None:
    for field in ("who", "action", "queue", "target", "outcome", "text"):
        checks.text(field, getattr(wanted, field), limits.AUDIT_CHARS)
    for field, least in (("job", 1), ("since", 0), ("until", 0)):
        checks.number(field, getattr(wanted, field), least, limits.ID_MAX)


def hidden_content(content: Content) -> Content:
    """A placeholder for content that the caller may not see: a null, which every door can show."""
    return Content(content.type, None, b"null")


def hidden(detail: JobDetail) -> JobDetail:
    """A job for a caller without payload access: without payload, result, progress, and the text of errors."""
    content = hidden_content(detail.content)
    errors = [replace(error, reason="", raised=None) for error in detail.errors]
    return replace(detail, content=content, progress=None, result=None, errors=errors, payload_hidden=True)


def hidden_schedule(schedule: Schedule) -> Schedule:
    """A schedule for a caller without payload access."""
    job = replace(schedule.spec.job, payload=b"null", content_type=None)
    return replace(schedule, spec=replace(schedule.spec, job=job), payload_hidden=True)
