"""The read side of an SQL store: short reads, each on one snapshot. No decision depends on them.

A listing walks the states one after the other, each in its natural order: leased by fence, ready in the order in which they will run, scheduled
by due time, ended newest first. The cursor has the state and the key of the last row, so a page costs the same wherever it starts. With a filter
that no index serves, a page scans a bounded number of rows and may be short, with a cursor.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar

from holdfast.auth.scope import Scope, sees
from holdfast.errors import InvalidRequest, JobNotFound, QueueNotFound
from holdfast.job import registry
from holdfast.job.job import ENDED, READY, Content, Job, State, is_next, without_parent
from holdfast.job.queue import QueuePolicy
from holdfast.job.schedule import is_seen
from holdfast.limits import (
    COUNT_SCANNED,
    FAILURE_CHARS,
    ID_MAX,
    LIST_SCANNED,
    LOAD_SAMPLE,
    PAGE_BYTES,
    POSITION_COUNTED,
    QUEUES,
    READ_STRETCH_S,
    TAKERS_COUNTED,
    URGENT_BELOW,
    URGENT_COUNTED,
)
from holdfast.messages.audit import AuditPage, ListAudit
from holdfast.messages.budget_commands import GetBudget, ListBudgets
from holdfast.messages.budget_views import BudgetInfo, BudgetList
from holdfast.messages.frame import A, Query
from holdfast.messages.key_commands import KeyList, ListKeys
from holdfast.messages.queries import (
    CountJobs,
    CountUrgent,
    ExplainJob,
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
    is_narrowed,
)
from holdfast.messages.views import (
    FailedJob,
    Failures,
    InterestList,
    JobCounts,
    JobDetail,
    JobFacts,
    JobPage,
    QueueCounts,
    QueueInfo,
    QueueLoad,
    QueuePage,
    ReadyAges,
    SchedulePage,
    WorkerInfo,
    WorkerList,
)
from holdfast.stores import audit_rows, budget_rows, formats, rows
from holdfast.stores.list_statements import SECTIONS, Key, Section, bound_sql, count_sql, named, page_sql
from holdfast.stores.snapshot import Snapshot
from holdfast.stores.visible import (
    count_seen_workers,
    is_scoped,
    later,
    scope_values,
    seen_page,
    seen_queues,
    seen_workers,
)

_NOTHING: tuple[Any, ...] = ("", None, b"")  # of a row that exists in the snapshot
_HOLDERS = 20
_FIRST_STRETCH = 16  # rows: each may be 1 MB to look through


class Reader:
    """Answers queries on one snapshot; `names` are the names of queues by id, as far as known."""

    def __init__(self, snapshot: Snapshot, defaults: QueuePolicy, names: dict[int, str]) -> None:
        self._snapshot = snapshot
        self._fetch = snapshot.fetch
        self._defaults = defaults
        self._known_names = names

    async def answer(self, query: Query[A], now: int) -> A:
        """The answer as of now; raises a `HoldfastError` if there is none."""
        if (answer := self._answers.get(type(query))) is None:
            raise TypeError(f"{type(query).__name__} is not read from the store")
        return await answer(self, query, now)  # type: ignore[no-any-return]

    async def _audit(self, query: ListAudit, now: int) -> AuditPage:
        return await audit_rows.page(self._fetch, query, now)

    async def _keys(self, query: ListKeys, _: int) -> KeyList:
        version = (await self._fetch("keys_version"))[0][0]
        return KeyList(version, None if version == query.known else list(map(rows.key_of, await self._fetch("keys"))))

    async def _budget(self, query: GetBudget, now: int) -> BudgetInfo:
        return await budget_rows.budget(self._fetch, query, now)

    async def _budgets(self, _: ListBudgets, now: int) -> BudgetList:
        return await budget_rows.budgets(self._fetch, now)

    async def _row(self, statement: str, *values: Any) -> Any:
        found = await self._fetch(statement, *values)
        return found[0] if found else None

    async def _names(self, found: Sequence[Any]) -> dict[int, str]:
        missing = {row[1] for row in found} - self._known_names.keys()
        if missing:
            self._known_names.update((row[0], row[1]) for row in await self._fetch("queue_names_of", list(missing)))
        return self._known_names

    async def _jobs(self, found: Sequence[Any]) -> list[Job]:
        names = await self._names(found)
        try:
            return [rows.job_of(row, names[row[1]]) for row in found]
        except formats.UNREADABLE:
            return [rows.job_to_show(row, names.get(row[1], f"{row[1]}")) for row in found]

    async def _queues(self, query: ListQueues, _: int) -> QueuePage:
        found = [self._info(row) for row in await seen_queues(self._fetch, query.scope, query.after, query.limit + 1)]
        return QueuePage(
            found[: query.limit], later(found[query.limit - 1].name, query.after) if len(found) > query.limit else None
        )

    async def _ages(self, query: OldestReady, _: int) -> ReadyAges:
        return ReadyAges(await self._snapshot.oldest_ready(query.names))

    async def _job(self, job_id: int, scope: Scope | None) -> Job:
        found = await self._jobs(await self._fetch("any_job", job_id) or await self._fetch("misplaced_job", job_id))
        if not found or not sees(scope, found[0].queue):
            raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)
        return found[0]

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

    async def _queue(self, query: GetQueue, _: int) -> QueueInfo:
        row = await self._row("queue_by_name", query.name)
        if row is None:
            raise QueueNotFound(f"There is no queue {query.name}.", queue=query.name)
        return self._info(row)

    def _info(self, row: Sequence[Any]) -> QueueInfo:
        queue = rows.queue_of(row, self._defaults)
        return QueueInfo(
            queue.name, queue.settings, queue.policy, queue.paused, queue.created_at, queue.tally, queue.paused_until
        )

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
        number = (await self._row("queue_by_name", job.queue))[0]
        ahead, holders = 0, []
        if is_next(job):
            ahead = (await self._row("ahead_of", number, job.priority, job.id, POSITION_COUNTED))[0]
        if job.extras.group_key is not None and job.state not in ENDED:
            holders = [row[0] for row in await self._fetch("group_holders", number, job.extras.group_key, _HOLDERS)]
        on_queue, workers = await self._row("workers_on", job.queue)
        if query.scope is not None and not on_queue:
            workers = await count_seen_workers(self._snapshot, query.scope)
        if job.lease is not None:
            takers = await self._fetch("registered_at", job.lease.worker)
        else:
            takers = await self._fetch("workers_of", job.queue, TAKERS_COUNTED) if on_queue else []
        waits = await budget_rows.waits(self._fetch, job, now) if job.extras.budgets and job.state is READY else []
        return JobFacts(job, queue, now, ahead, holders, on_queue, workers, [(row[0], row[1]) for row in takers], waits=waits)

    async def _queue_id(self, name: str | None) -> int | None:
        if name is None:
            return None
        row = await self._row("queue_by_name", name)
        if row is None:
            raise QueueNotFound(f"There is no queue {name}.", queue=name)
        found: int = row[0]
        return found

    async def _counts(self, query: CountJobs, _: int) -> JobCounts:
        queue_id = await self._queue_id(query.queue)
        wanted = set(State) if query.state is None else {query.state}
        if not is_narrowed(query):
            tallies = await self._tallies(queue_id, query.scope)
            return JobCounts({state.value: count for state, count in zip(State, tallies, strict=True) if state in wanted})
        counts, at_least = dict.fromkeys([state.value for state in State if state in wanted], 0), []
        scanned = LIST_SCANNED if query.state is not None else COUNT_SCANNED
        values: dict[str, Any] = {"queue": queue_id, "scanned": scanned, "searched": query.text_up_to}
        values |= _filter_values(query)
        one, scoped = queue_id is not None, is_scoped(query)
        for section in SECTIONS:
            if section.state in wanted:
                counted: list[int] = []

                async def count(key: Key, rows: int, section: Section = section, counted: list[int] = counted) -> Key | None:
                    some = values | {"scanned": rows} | named("k", key)
                    bound = await self._bound(section, one, bool(key), some)
                    counting = count_sql(self._snapshot.dialect, section, one, bool(key), bool(bound), scoped)
                    ((number,),) = await self._snapshot.listed(counting, some | named("b", bound))
                    counted.append(number)
                    return bound or None

                if await self._in_stretches(count, (), scanned) is not None:
                    at_least.append(section.state.value)
                counts[section.state.value] += sum(counted)
        return JobCounts(counts, sorted(set(at_least)))

    async def _tallies(self, queue_id: int | None, scope: Scope | None) -> Sequence[int]:
        """How many jobs there are by state, in one queue or in all visible ones."""
        if queue_id is not None or scope is None:
            found: Sequence[int] = await self._row("tallies", queue_id)
            return found
        infos = [self._info(row) for row in await seen_queues(self._fetch, scope, "", QUEUES)]
        return [sum([getattr(info.tally, state.value) for info in infos]) for state in State]

    async def _in_stretches(self, part: "Callable[[Key, int], Awaitable[Key | None]]", key: Key, most: int) -> Key | None:
        """Scan up to `most` rows from `key` on, by calls of `part` with the key and a number of rows; returns the key to
        continue from, if there is more.

        In one go, unless that would block others: then in stretches that are short whatever the rows are like.
        """
        if not await self._snapshot.pause():
            return await part(key, most)
        rows = _FIRST_STRETCH
        while True:
            rows = min(rows, most)
            began = time.thread_time()
            go_on = await part(key, rows)
            most -= rows
            if go_on is None or go_on == key or most <= 0:
                return go_on
            key = go_on
            rows = max(1, min(2 * rows, int(rows * READ_STRETCH_S / max(1e-6, time.thread_time() - began))))
            await self._snapshot.pause()

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

    async def _page(self, query: ListJobs, now: int) -> JobPage:
        queue_id = await self._queue_id(query.queue)
        start, key = query.cursor or (0, ())
        if query.cursor is not None and not (
            0 <= start < len(SECTIONS)
            and SECTIONS[start].may_be_key(queue_id is not None, key)
            and all(isinstance(part, str) or abs(part) <= ID_MAX for part in key)
        ):
            raise InvalidRequest("cursor must be the next_cursor of a listing with the same filters.", field="cursor")
        found: list[JobDetail] = []
        for number, section in enumerate(SECTIONS):
            if number < start or (query.state is not None and section.state is not query.state):
                continue
            last = await self._section(section, query, queue_id, key if number == start else (), found, now)
            key = ()
            if last is not None:
                return JobPage(found, (number, last))
        return JobPage(found)

    async def _section(
        self,
        section: Section,
        query: ListJobs,
        queue_id: int | None,
        key: Key,
        found: list[JobDetail],
        now: int,
    ) -> Key | None:
        """Add what one state has to the page; the key to go on from when there may be more of it."""
        if not _filtered(query):
            return await self._part(section, query, queue_id, key, found, now, LIST_SCANNED)

        async def part(key: Key, rows: int) -> Key | None:
            if len(found) >= query.limit:
                return key
            return await self._part(section, query, queue_id, key, found, now, rows)

        return await self._in_stretches(part, key, LIST_SCANNED)

    async def _part(
        self,
        section: Section,
        query: ListJobs,
        queue_id: int | None,
        key: Key,
        found: list[JobDetail],
        now: int,
        scanned: int,
    ) -> Key | None:
        """The same, for a number of rows."""
        left = PAGE_BYTES - sum([len(detail.content.payload) for detail in found])
        limit, one = query.limit - len(found) if left > 0 else 0, queue_id is not None
        filtered = _filtered(query)
        values: dict[str, Any] = {"queue": queue_id, "limit": limit + 1, "scanned": scanned}
        values |= _filter_values(query)
        values |= {"shown": query.payload_up_to, "searched": query.text_up_to} | named("k", key)
        bound = await self._bound(section, one, bool(key), values) if filtered else ()
        paging = page_sql(self._snapshot.dialect, section, one, bool(key), bool(bound), filtered, is_scoped(query))
        page, cut = await self._snapshot.within(left, (paging, values | named("b", bound)))
        if cut:
            limit = min(limit, len(page))
        width = len(section.key_of(one))
        jobs = await self._jobs(page[:limit])
        if query.scope is not None:
            jobs = list(map(without_parent, jobs))
        for row, job in zip(page[:limit], jobs, strict=True):
            content = rows.content_of(row[rows.JOB_COLUMNS : rows.JOB_COLUMNS + 3])
            if query.payload_up_to is None:
                content = rows.shown_content(content, job.id)
            found.append(JobDetail(job, content, now))
        if cut or len(page) > limit:
            return tuple(page[limit - 1][-width:]) if limit > 0 else key  # (): from its beginning
        return bound or None

    async def _bound(self, section: Section, one_queue: bool, after: bool, values: Mapping[str, Any]) -> Key:
        """The key up to which a filter scans; () if fewer rows are left."""
        found = await self._snapshot.listed(bound_sql(section, one_queue, after), values)
        return tuple(found[0]) if found else ()

    _answers: ClassVar[dict[type, Callable[["Reader", Any, int], Awaitable[Any]]]] = {  # bound methods would be a cycle
        GetJob: _detail,
        ListJobs: _page,
        GetQueue: _queue,
        ListQueues: _queues,
        ExplainJob: _facts,
        GetInterests: _interests,
        ListWorkers: _workers,
        ListSchedules: _schedules,
        OldestReady: _ages,
        OldestDead: _oldest_dead,
        CountUrgent: _urgent,
        GetLoad: _load,
        CountJobs: _counts,
        RecentFailures: _failures,
        ListAudit: _audit,
        GetBudget: _budget,
        ListBudgets: _budgets,
        ListKeys: _keys,
    }


def _filtered(query: ListJobs) -> bool:
    return is_narrowed(query) or is_scoped(query)


def _filter_values(query: ListJobs | CountJobs) -> dict[str, Any]:
    meta = rows.json_text(dict(query.meta)) if query.meta else None
    return {"type": query.type, "tag": query.tag, "text": query.text, "meta": meta} | scope_values(query)
