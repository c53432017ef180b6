"""The read side of an SQL store: short reads, each on one snapshot. No decision depends on them."""

from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from holdfast.auth.scope import Scope, sees
from holdfast.errors import JobNotFound, QueueNotFound
from holdfast.job import registry
from holdfast.job.job import ENDED, READY, Content, Job, Receipt, State, is_next, without_parent
from holdfast.job.operation import is_visible
from holdfast.job.schedule import is_seen
from holdfast.limits import (
    FAILURE_CHARS,
    ID_MAX,
    LOAD_SAMPLE,
    POSITION_COUNTED,
    TAKERS_COUNTED,
    URGENT_BELOW,
    URGENT_COUNTED,
)
from holdfast.messages.answers import Counted
from holdfast.messages.audit import AuditPage, ListAudit
from holdfast.messages.budget_commands import GetBudget, ListBudgets
from holdfast.messages.budget_views import BudgetInfo, BudgetList
from holdfast.messages.fair_commands import CountFairKeys, GetShares
from holdfast.messages.fair_views import FairKeyCounts, ShareList
from holdfast.messages.frame import A, Query
from holdfast.messages.job_batches import (
    GetJobBatch,
    JobBatchInfo,
    JobBatchPage,
    ListJobBatches,
    ListMembers,
    MemberPage,
    OldestJobBatch,
)
from holdfast.messages.key_commands import KeyList, ListKeys
from holdfast.messages.operations import FindJobs, FoundJobs, ListOperations, OperationPage
from holdfast.messages.queries import (
    CountJobs,
    CountUrgent,
    ExplainJob,
    FindReceipts,
    GetInterests,
    GetJob,
    GetLoad,
    GetQueue,
    ListJobs,
    ListQueues,
    ListSchedules,
    ListWorkers,
    OldestDead,
    OldestReady,
    RecentFailures,
)
from holdfast.messages.views import (
    FailedJob,
    Failures,
    InterestList,
    JobDetail,
    JobFacts,
    JobPage,
    QueueCounts,
    QueueInfo,
    QueueLoad,
    QueuePage,
    ReadyAges,
    ReceiptList,
    SchedulePage,
    WorkerInfo,
    WorkerList,
)
from holdfast.stores import audit_rows, budget_rows, fair_rows, matching, read_batches, rows
from holdfast.stores.listings import Listings
from holdfast.stores.visible import (
    count_seen_workers,
    later,
    scope_values,
    seen_page,
    seen_queues,
    seen_workers,
)

_NOTHING: tuple[Any, ...] = ("", None, b"")  # of a row that exists in the snapshot
_HOLDERS = 20


class Reader(Listings):
    """Answers queries on one snapshot."""

    async def answer(self, query: Query[A], now: int) -> A:
        """The answer as of now; raises a `HoldfastError` if there is none."""
        if (answer := self._answers.get(type(query))) is None:
            raise TypeError(f"{type(query).__name__} is not read from the store")
        return await answer(self, query, now)  # type: ignore[no-any-return]

    async def _find(self, query: FindJobs, _: int) -> FoundJobs:
        queue = query.filter.queue
        try:
            queue_id = await self._queue_id(queue)
        except QueueNotFound:
            return FoundJobs([], query.below - 1, True)
        if query.filter.batch is not None:
            return await read_batches.find(self._snapshot, query, self._jobs)
        return await matching.find(self._snapshot, query, queue_id, scope_values(query) if queue is None else {})

    async def _operations(self, query: ListOperations, now: int) -> OperationPage:
        if query.id is None:
            before = ID_MAX if query.before is None else query.before
            found = await matching.page(self._snapshot, query.limit, before, query.unfinished, now)
        else:
            one = rows.operation_of(row) if (row := await self._row("operation", query.id)) is not None else None
            found = OperationPage([] if one is None else [one], now)
        seen = [one for one in found.operations if is_visible(one, query.scope)]
        return OperationPage(seen, now, found.before)

    async def _audit(self, query: ListAudit, now: int) -> AuditPage:
        return await audit_rows.page(self._fetch, query, now)

    async def _keys(self, query: ListKeys, _: int) -> KeyList:
        version = (await self._fetch("keys_version"))[0][0]
        return KeyList(version, None if version == query.known else list(map(rows.key_of, await self._fetch("keys"))))

    async def _budget(self, query: GetBudget, now: int) -> BudgetInfo:
        return await budget_rows.budget(self._fetch, query, now)

    async def _shares(self, query: GetShares, now: int) -> ShareList:
        queue = await self._queue(GetQueue(query.queue), now)
        row = await self._row("queue_by_name", query.queue)
        return await fair_rows.shares(self._fetch, query, queue, row[0], row[15])

    async def _fair_keys(self, _: CountFairKeys, now: int) -> FairKeyCounts:  # noqa: ARG002  (the shape of all)
        return FairKeyCounts({row[0]: row[1] for row in await self._fetch("fair_keys")})

    async def _budgets(self, _: ListBudgets, now: int) -> BudgetList:
        return await budget_rows.budgets(self._fetch, now)

    async def _queues(self, query: ListQueues, _: int) -> QueuePage:
        found = [self._info(row) for row in await seen_queues(self._fetch, query.scope, query.after, query.limit + 1)]
        return QueuePage(
            found[: query.limit], later(found[query.limit - 1].name, query.after) if len(found) > query.limit else None
        )

    async def _ages(self, query: OldestReady, _: int) -> ReadyAges:
        return ReadyAges(await self._snapshot.oldest_ready(query.names))

    async def _job(self, job_id: int, scope: Scope | None) -> Job:
        found = await self._jobs(await self._fetch("any_job", job_id) or await self._fetch("misplaced_job", job_id))
        if found and sees(scope, found[0].queue):
            return found[0]
        meant_for = None if found else await self._snapshot.inbox_of(job_id)
        if meant_for is not None and sees(scope, meant_for):
            raise JobNotFound(f"Job {job_id} waits in the inbox until a node takes it in.", job_id=job_id, in_inbox=True)
        raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)

    async def _is_seen(self, job_id: int, scope: Scope | None) -> bool:
        try:
            await self._job(job_id, scope)
        except JobNotFound:
            return False
        return True

    async def _detail(self, query: GetJob, now: int) -> JobDetail:
        job_id, whole = query.id, query.cut is None
        key = (job_id,) if whole else (job_id, query.cut)
        job = await self._job(job_id, query.scope)
        parent = None if query.scope is None else job.extras.follows
        if parent is not None and not await self._is_seen(parent, query.scope):
            job = without_parent(job)
        content = rows.content_of(await self._row("content" if whole else "content_cut", *key) or _NOTHING)
        noted = await self._row("progress_of", [job_id])
        progress = None if noted is None else rows.json_or_none(noted[1], "progress", job_id)
        result, size = await self._row("result" if whole else "result_cut", *key) or (None, None)
        errors = [rows.error_of(row) for row in await self._fetch("errors_of", job_id)]
        then = await self._row("followers", job_id) if job.state is State.CONCLUDED else None
        blob = then[0] if then is not None else None
        followers = rows.receipts_of(blob, "followers", job_id) or [] if blob is not None else []
        if whole:
            result = rows.json_or_none(result, "result", job_id)
            content = rows.shown_content(content, job_id)
        return JobDetail(job, content, now, progress, result, errors, size or 0, followers)

    async def _receipts(self, query: FindReceipts, _: int) -> ReceiptList:
        found: list[Receipt] = []
        for scope, blob in await self._fetch("receipts", query.key, query.queue):
            found += rows.receipts_of(blob, "kept_answer", f"{scope} {query.key}") or []
        seen = [one for one in found if one.queue and sees(query.scope, one.queue)]  # one without is a batch or an operation
        return ReceiptList(seen, [receipt.id for receipt in seen if not await self._fetch("any_job", receipt.id)])

    async def _queue(self, query: GetQueue, _: int) -> QueueInfo:
        row = await self._row("queue_by_name", query.name)
        if row is None:
            raise QueueNotFound(f"There is no queue {query.name}.", queue=query.name)
        return self._info(row)

    async def _interests(self, query: GetInterests, _: int) -> InterestList:
        version = (await self._fetch("interests_version"))[0][0]
        interests = rows.interests_of(await self._fetch("interests"))
        return InterestList(version, {queue: match for queue, match in interests.items() if sees(query.scope, queue)})

    async def _workers(self, query: ListWorkers, now: int) -> WorkerList:
        after = None
        if query.id is not None:
            found = [worker for worker in map(rows.worker_of, await self._fetch("workers")) if worker.id == query.id]
            found = [worker for worker in found if registry.is_seen(worker, query.scope)]
        else:
            found, after = await seen_workers(self._snapshot, query.scope, query.after, query.limit)
        jobs: dict[str, list[Job]] = {}
        for job in await self._jobs(await self._fetch("leased_by_worker", [worker.id for worker in found])):
            if sees(
                query.scope, job.queue
            ):  # any lease may have this worker's name, also one in a queue that it is not registered for
                jobs.setdefault(job.lease.worker if job.lease else "", []).append(job)
        lines = {row[0]: row[1] for row in await self._fetch("worker_lines")}
        return WorkerList(
            [WorkerInfo(one, one.registered_at, jobs.get(one.id, []), lines.get(one.id, 0)) for one in found], now, after
        )

    async def _schedules(self, query: ListSchedules, _: int) -> SchedulePage:
        if query.name is not None:
            named = [rows.schedule_of(*row) for row in await self._fetch("schedule", query.name)]
            return SchedulePage([schedule for schedule in named if is_seen(schedule, query.scope)])
        seen, after = await seen_page(
            self._snapshot,
            "schedules_after",
            (query.after,),
            query.limit,
            lambda row: rows.schedule_of(*row),
            lambda schedule: is_seen(schedule, query.scope),
            lambda schedule: (schedule.name,),
        )
        return SchedulePage(seen, None if after is None else after[0])

    async def _oldest_dead(self, query: OldestDead, now: int) -> JobPage:
        row = await self._row("queue_by_name", query.queue)
        jobs = [] if row is None else await self._jobs(await self._fetch("oldest_dead", row[0], 1))
        return JobPage([JobDetail(job, await self._content(job.id), now) for job in jobs])

    async def _content(self, job_id: int) -> Content:
        return rows.content_of(await self._row("content", job_id) or _NOTHING)

    async def _load(self, query: GetLoad, now: int) -> QueueLoad:
        row = await self._row("queue_by_name", query.name)
        if row is None:
            raise QueueNotFound(f"There is no queue {query.name}.", queue=query.name)
        ages = await self._snapshot.oldest_ready([query.name])
        concluded, since, work_ms = await self._row("recent_work", row[0], LOAD_SAMPLE)
        return QueueLoad(
            self._info(row), now, ages.get(query.name), concluded, since, None if work_ms is None else float(work_ms)
        )

    async def _urgent(self, query: CountUrgent, _: int) -> QueueCounts:
        counts = {}
        for name in query.names:
            row = await self._row("queue_by_name", name)
            found = None if row is None else await self._row("ahead_of", row[0], URGENT_BELOW, 0, URGENT_COUNTED)
            counts[name] = found[0] if found is not None else 0
        return QueueCounts(counts)

    async def _facts(self, query: ExplainJob, now: int) -> JobFacts:
        job = await self._job(query.id, query.scope)
        queue = await self._queue(GetQueue(job.queue), now)
        row = await self._row("queue_by_name", job.queue)
        number, ahead, holders, turn = row[0], 0, [], None
        if is_next(job):
            turn = None if job.extras.worker is not None else await fair_rows.turn(self._fetch, number, row[15], job)
            ahead = (
                (await self._row("ahead_of", number, job.priority, job.id, POSITION_COUNTED))[0] if turn is None else turn.ahead
            )
        if job.extras.group_key is not None and job.state not in ENDED:
            holders = [row[0] for row in await self._fetch("group_holders", number, job.extras.group_key, _HOLDERS)]
        kind: str = (await self._row("content_cut", job.id, 0) or _NOTHING)[0]
        on_queue, workers, on_type = await self._row("workers_on", job.queue, kind)
        if query.scope is not None and not on_queue:
            workers = await count_seen_workers(self._snapshot, query.scope)
        if job.lease is not None:
            takers = await self._fetch("registered_at", job.lease.worker)
        else:
            takers = await self._fetch("workers_of", job.queue, TAKERS_COUNTED) if on_queue else []
        named = [(row[0], row[1]) for row in takers]
        waits = await budget_rows.waits(self._fetch, job, now) if job.extras.budgets and job.state is READY else []
        return JobFacts(
            job,
            queue,
            now,
            ahead,
            holders,
            on_queue,
            workers,
            named,
            type=kind,
            workers_on_type=on_type,
            waits=waits,
            turn=turn,
        )

    async def _failures(self, query: RecentFailures, now: int) -> Failures:
        queue_id = await self._queue_id(query.queue)
        found: dict[int, FailedJob] = {}
        if queue_id is None:
            dead = await self._fetch("dead_recently", query.limit, FAILURE_CHARS)
        else:
            dead = await self._fetch("dead_recently_in", query.limit, FAILURE_CHARS, queue_id)
        failed = await self._fetch("failed_recently", query.limit, FAILURE_CHARS, queue_id)
        looked_at = (await self._fetch("error_rows", query.limit))[0][0]
        names = await self._names([*dead, *failed])
        for row in (*dead, *failed):
            if row[0] not in found and sees(query.scope, names.get(row[1], f"{row[1]}")):
                found[row[0]] = FailedJob(row[0], names.get(row[1], f"{row[1]}"), *row[2:])
        return Failures(list(found.values()), len(dead) < query.limit and looked_at < query.limit, now)

    async def _job_batch(self, query: GetJobBatch, _: int) -> JobBatchInfo:
        return await read_batches.one(self._snapshot, query)

    async def _job_batches(self, query: ListJobBatches, _: int) -> JobBatchPage:
        return await read_batches.page(self._snapshot, query)

    async def _oldest_job_batch(self, _: OldestJobBatch, now: int) -> Counted:
        return await read_batches.oldest_ms(self._snapshot, now)

    async def _members(self, query: ListMembers, _: int) -> MemberPage:
        return await read_batches.unfinished(self._snapshot, query, self._jobs)

    _answers: ClassVar[dict[type, Callable[["Reader", Any, int], Awaitable[Any]]]] = {  # bound methods would be a cycle
        GetJob: _detail,
        ListJobs: Listings.page,
        GetQueue: _queue,
        ListQueues: _queues,
        ExplainJob: _facts,
        FindReceipts: _receipts,
        GetInterests: _interests,
        ListWorkers: _workers,
        ListSchedules: _schedules,
        OldestReady: _ages,
        OldestDead: _oldest_dead,
        CountUrgent: _urgent,
        GetLoad: _load,
        CountJobs: Listings.counts,
        RecentFailures: _failures,
        ListAudit: _audit,
        FindJobs: _find,
        ListOperations: _operations,
        GetShares: _shares,
        CountFairKeys: _fair_keys,
        GetBudget: _budget,
        ListBudgets: _budgets,
        ListKeys: _keys,
        GetJobBatch: _job_batch,
        ListJobBatches: _job_batches,
        ListMembers: _members,
        OldestJobBatch: _oldest_job_batch,
    }
