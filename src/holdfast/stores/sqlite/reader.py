"""The read side of the SQLite store: short reads on a connection that can't write.

A listing walks the states one after the other, each in its natural order: leased by fence, ready in the order in which they will run,
scheduled by when they become ready, ended newest first. The cursor names the state and the key of the last row, so a page costs the same
wherever it starts. With a filter that no index serves, a page looks at a bounded number of rows and may come back short, with a cursor.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import apsw
import msgspec

from holdfast.errors import InvalidRequest, JobNotFound, Overloaded, QueueNotFound
from holdfast.job.job import ENDED, Content, Job, State
from holdfast.job.queue import QueuePolicy
from holdfast.limits import (
    COUNT_SCANNED,
    FAILURE_CHARS,
    ID_MAX,
    LIST_SCANNED,
    POSITION_COUNTED,
    URGENT_BELOW,
    URGENT_COUNTED,
)
from holdfast.stores.queries import (
    CountJobs,
    CountUrgent,
    ExplainJob,
    FailedJob,
    Failures,
    GetInterests,
    GetJob,
    GetQueue,
    InterestList,
    JobCounts,
    JobDetail,
    JobFacts,
    JobPage,
    ListJobs,
    ListQueues,
    ListSchedules,
    ListWorkers,
    OldestDead,
    OldestReady,
    Query,
    QueryResult,
    QueueCounts,
    QueueInfo,
    QueuePage,
    ReadyAges,
    RecentFailures,
    SchedulePage,
    WorkerInfo,
    WorkerList,
)
from holdfast.stores.sqlite import rows
from holdfast.stores.sqlite.listing import SECTIONS, Section, bound_sql, count_sql, page_sql
from holdfast.stores.sqlite.sql import SQL

_READ_S = 5.0  # a read that takes longer is given up: it would keep the WAL from being reset
_STEPS = 50_000  # how often SQLite asks whether to go on


_NOTHING: tuple[Any, ...] = ("", None, b"")  # of a row that is there within the snapshot


class Reader:
    """Answers queries on one connection."""

    def __init__(self, connection: apsw.Connection, defaults: QueuePolicy) -> None:
        self._db = connection
        self._defaults = defaults
        self._answers: dict[type, Callable[[Any, int], QueryResult]] = {
            GetJob: self._detail,
            ListJobs: self._page,
            GetQueue: lambda query, _: self._queue(query.name),
            ListQueues: lambda query, _: self._queues(query),
            ExplainJob: lambda query, now: self._facts(query.id, now),
            GetInterests: lambda _query, _: self._interests(),
            ListWorkers: lambda query, now: self._workers(query.id, now),
            ListSchedules: lambda query, _: self._schedules(query),
            OldestReady: lambda query, _: self._ages(query.names),
            OldestDead: lambda query, now: self._oldest_dead(query.queue, now),
            CountUrgent: lambda query, _: QueueCounts({name: self._urgent(name) for name in query.names}),
            CountJobs: lambda query, _: self._counts(query),
            RecentFailures: self._failures,
        }

    def answer(self, query: Query, now: int) -> QueryResult:
        """The answer as of now; raises a `HoldfastError` where there is none."""
        deadline = time.monotonic() + _READ_S
        self._db.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
        try:
            return self._answer(query, now)
        except apsw.InterruptError:
            raise Overloaded(f"This read took longer than {_READ_S:.0f} s; narrow the filter.", retry_after_ms=1_000) from None
        finally:
            self._db.set_progress_handler(None)

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()

    def _answer(self, query: Query, now: int) -> QueryResult:
        answer = self._answers.get(type(query))
        if answer is None:
            raise TypeError(f"{type(query).__name__} is not read from the store")
        return answer(query, now)

    def _queues(self, query: ListQueues) -> QueuePage:
        found = [self._info(row) for row in self._db.execute(SQL["queues_after"], (query.after, query.limit + 1))]
        return QueuePage(found[: query.limit], found[query.limit - 1].name if len(found) > query.limit else None)

    def _ages(self, names: list[str]) -> ReadyAges:
        return ReadyAges({name: at for name in names if (at := self._oldest(name)) is not None})

    def _job(self, job_id: int) -> Job:
        row = self._db.execute(SQL["any_job"], (job_id,)).fetchone()
        if row is None:
            raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)
        return rows.job_of(row, self._name(row[1]))

    def _name(self, queue_id: Any) -> str:
        name: str = self._db.execute(SQL["queue_name_of"], (queue_id,)).get
        return name

    def _detail(self, query: GetJob, now: int) -> JobDetail:
        job_id, whole = query.id, query.cut is None
        key = (job_id,) if whole else (job_id, query.cut)
        with self._db:  # one snapshot for all of it
            job = self._job(job_id)
            content = rows.content_of(self._db.execute(SQL["content" if whole else "content_cut"], key).fetchone() or _NOTHING)
            noted = self._db.execute(SQL["progress_of"], (f"[{job_id}]",)).fetchone()
            result, size = self._db.execute(SQL["result" if whole else "result_cut"], key).fetchone() or (None, None)
            errors = [rows.error_of(row) for row in self._db.execute(SQL["errors_of"], (job_id,))]
            then = self._db.execute(SQL["followers"], (job_id,)).fetchone() if job.state is State.CONCLUDED else None
        followers = rows.receipts_of(then[0]) if then is not None and then[0] is not None else []
        progress = None if noted is None else bytes(noted[1])
        return JobDetail(job, content, now, progress, None if result is None else bytes(result), errors, size or 0, followers)

    def _queue(self, name: str) -> QueueInfo:
        row = self._db.execute(SQL["queue_by_name"], (name,)).fetchone()
        if row is None:
            raise QueueNotFound(f"There is no queue {name}.", queue=name)
        return self._info(row)

    def _info(self, row: Sequence[Any]) -> QueueInfo:
        queue = rows.queue_of(row, self._defaults)
        return QueueInfo(
            queue.name, queue.settings, queue.policy, queue.paused, queue.created_at, queue.tally, queue.paused_until
        )

    def _interests(self) -> InterestList:
        with self._db:
            version = self._db.execute(SQL["interests_version"]).get
            interests = {name: rows.match_of(text) for name, text in self._db.execute(SQL["interests"])}
        return InterestList(version, interests)

    def _workers(self, worker_id: str | None, now: int) -> WorkerList:
        with self._db:
            found = [
                worker for worker in map(rows.worker_of, self._db.execute(SQL["workers"])) if worker_id in (None, worker.id)
            ]
            ids = msgspec.json.encode([worker.id for worker in found]).decode()
            jobs: dict[str, list[Job]] = {}
            for row in self._db.execute(SQL["leased_by_worker"], (ids,)).fetchall():
                job = rows.job_of(row, self._name(row[1]))
                jobs.setdefault(job.lease.worker if job.lease else "", []).append(job)
            lines: dict[str, int] = dict(self._db.execute(SQL["worker_lines"]))
        return WorkerList(
            [WorkerInfo(one, one.registered_at, jobs.get(one.id, []), lines.get(one.id, 0)) for one in found], now
        )

    def _schedules(self, query: ListSchedules) -> SchedulePage:
        if query.name is not None:
            found = self._db.execute(SQL["schedule"], (query.name,)).fetchall()
        else:
            found = self._db.execute(SQL["schedules_after"], (query.after, query.limit + 1)).fetchall()
        schedules = [rows.schedule_of(state) for (state,) in found]
        return SchedulePage(schedules[: query.limit], schedules[query.limit - 1].name if len(schedules) > query.limit else None)

    def _oldest(self, name: str) -> int | None:
        row = self._db.execute(SQL["queue_by_name"], (name,)).fetchone()
        return None if row is None else self._db.execute(SQL["oldest_ready"], (row[0],)).get

    def _oldest_dead(self, name: str, now: int) -> JobPage:
        with self._db:
            row = self._db.execute(SQL["queue_by_name"], (name,)).fetchone()
            found = [] if row is None else self._db.execute(SQL["oldest_dead"], (row[0], 1)).fetchall()
            jobs = [rows.job_of(one, name) for one in found]
            details = [JobDetail(job, self._content(job.id), now) for job in jobs]
        return JobPage(details)

    def _urgent(self, name: str) -> int:
        row = self._db.execute(SQL["queue_by_name"], (name,)).fetchone()
        return 0 if row is None else int(self._db.execute(SQL["ahead_of"], (row[0], URGENT_BELOW, 0, URGENT_COUNTED)).get)

    def _content(self, job_id: int) -> Content:
        return rows.content_of(self._db.execute(SQL["content"], (job_id,)).fetchone() or _NOTHING)

    def _facts(self, job_id: int, now: int) -> JobFacts:
        with self._db:
            job = self._job(job_id)
            queue = self._queue(job.queue)
            queue_id = (self._db.execute(SQL["queue_by_name"], (job.queue,)).fetchone() or _NOTHING)[0]
            ahead, holders = 0, []
            if job.state is State.READY and not job.held:
                ahead = self._db.execute(SQL["ahead_of"], (queue_id, job.priority, job.id, POSITION_COUNTED)).get
            if job.extras.group_key is not None and job.state not in ENDED:
                group = (queue_id, job.extras.group_key, 20)
                holders = [holder for (holder,) in self._db.execute(SQL["group_holders"], group)]
            on_queue, workers = self._db.execute(SQL["workers_on"], (job.queue,)).fetchone() or (0, 0)
        return JobFacts(job, queue, now, ahead, holders, on_queue, workers)

    def _queue_id(self, name: str | None) -> int | None:
        if name is None:
            return None
        row = self._db.execute(SQL["queue_by_name"], (name,)).fetchone()
        if row is None:
            raise QueueNotFound(f"There is no queue {name}.", queue=name)
        found: int = row[0]
        return found

    def _counts(self, query: CountJobs) -> JobCounts:
        queue_id = self._queue_id(query.queue)
        wanted = set(State) if query.state is None else {query.state}
        if query.type is None and query.tag is None and query.text is None:
            tallies = self._db.execute(SQL["tallies"], (queue_id,)).fetchone() or (0,) * len(State)
            return JobCounts({state.value: count for state, count in zip(State, tallies, strict=True) if state in wanted})
        counts, at_least = dict.fromkeys([state.value for state in State if state in wanted], 0), []
        scanned = LIST_SCANNED if query.state is not None else COUNT_SCANNED
        values: dict[str, Any] = {"queue": queue_id, "scanned": scanned, "searched": query.text_up_to}
        values |= {"type": query.type, "tag": query.tag, "text": query.text}
        one = queue_id is not None
        with self._db:
            for section in SECTIONS:
                if section.state in wanted:
                    bound = self._db.execute(bound_sql(section, one, False), values).fetchone() or ()
                    bounded = values | {f"b{n}": part for n, part in enumerate(bound)}
                    counts[section.state.value] += self._db.execute(count_sql(section, one, bool(bound)), bounded).get
                    if bound:
                        at_least.append(section.state.value)
        return JobCounts(counts, sorted(set(at_least)))

    def _failures(self, query: RecentFailures, now: int) -> Failures:
        queue_id = self._queue_id(query.queue)
        found: dict[int, FailedJob] = {}
        with self._db:
            if queue_id is None:
                dead = self._db.execute(SQL["dead_recently"], (query.limit, FAILURE_CHARS)).fetchall()
            else:
                dead = self._db.execute(SQL["dead_recently_in"], (query.limit, FAILURE_CHARS, queue_id)).fetchall()
            failed = self._db.execute(SQL["failed_recently"], (query.limit, FAILURE_CHARS, queue_id)).fetchall()
            looked_at = self._db.execute(SQL["error_rows"], (query.limit,)).get
            rows_found: list[tuple[Any, ...]] = [*dead, *failed]
            for row in rows_found:
                if row[0] not in found:
                    found[row[0]] = FailedJob(row[0], self._name(row[1]), *row[2:])
        return Failures(list(found.values()), len(dead) < query.limit and looked_at < query.limit, now)

    def _page(self, query: ListJobs, now: int) -> JobPage:
        queue_id = self._queue_id(query.queue)
        start, key = query.cursor or (0, ())
        if query.cursor is not None and not (
            0 <= start < len(SECTIONS)
            and len(key) in (0, len(SECTIONS[start].key_of(queue_id is not None)))
            and all(isinstance(part, str) or abs(part) <= ID_MAX for part in key)  # SQLite takes no larger number
        ):
            raise InvalidRequest("cursor must be the next_cursor of a listing with the same filters.", field="cursor")
        found: list[JobDetail] = []
        with self._db:
            for number, section in enumerate(SECTIONS):
                if number < start or (query.state is not None and section.state is not query.state):
                    continue
                last = self._section(section, query, queue_id, key if number == start else (), found, now)
                key = ()
                if last is not None:
                    return JobPage(found, (number, last))
        return JobPage(found)

    def _section(
        self,
        section: Section,
        query: ListJobs,
        queue_id: int | None,
        key: tuple[int | str, ...],
        found: list[JobDetail],
        now: int,
    ) -> tuple[int | str, ...] | None:
        """Add what one state has to the page; the key to go on from when there may be more of it."""
        limit = query.limit - len(found)
        filtered = query.type is not None or query.tag is not None or query.text is not None
        values: dict[str, Any] = {"queue": queue_id, "limit": limit + 1, "scanned": LIST_SCANNED}
        values |= {"type": query.type, "tag": query.tag, "text": query.text}
        values |= {"shown": query.payload_up_to, "searched": query.text_up_to}
        values |= {f"k{n}": part for n, part in enumerate(key)}
        bound: tuple[int | str, ...] = ()
        if filtered:
            row = self._db.execute(bound_sql(section, queue_id is not None, bool(key)), values).fetchone()
            bound = _key(row) if row is not None else ()
            values |= {f"b{n}": part for n, part in enumerate(bound)}
        page = self._db.execute(page_sql(section, queue_id is not None, bool(key), bool(bound), filtered), values).fetchall()
        width = len(section.key_of(queue_id is not None))
        for row in page[:limit]:
            job = rows.job_of(row, self._name(row[1]))
            found.append(JobDetail(job, rows.content_of(row[rows.JOB_COLUMNS : rows.JOB_COLUMNS + 3]), now))
        if len(page) > limit:
            return _key(page[limit - 1][-width:]) if limit > 0 else key  # (): from its beginning
        return bound or None


def _key(row: Sequence[Any]) -> tuple[int | str, ...]:
    return tuple(row)
