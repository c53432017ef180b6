"""The reads of a batch: queues, jobs by state, keys, groups, answers. Rows that can't be read are set aside here, without
blocking others.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from holdfast.job.by_type import Types
from holdfast.job.job import DEAD, WAITING, Content, IdempotencyKey, Job, JobError, Receipt, State
from holdfast.job.queue import Queue, Tally
from holdfast.limits import BUDGET_BLOCK_MS_MAX, GRANT_BYTES, TYPES_AT_ONCE, TYPES_HEAD
from holdfast.stores import formats, rows
from holdfast.stores.by_type import OrderedJobs
from holdfast.stores.rows import Row, json_text
from holdfast.stores.sqlite.budgets import BudgetRows
from holdfast.stores.sqlite.cache import Cache
from holdfast.stores.sqlite.fair import FairRows
from holdfast.stores.sqlite.ordered_jobs import read_in_order
from holdfast.stores.sqlite.schedules import ScheduleRows
from holdfast.stores.sqlite.single_writer import SingleWriterTransaction
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.undecodable import fetch_undecodable
from holdfast.stores.store import UNTOLD, KeptAnswer
from holdfast.stores.unreadable import FOUND


class Loader(SingleWriterTransaction, ScheduleRows, BudgetRows, FairRows):
    """The reading half of a transaction."""

    def __init__(self, connection: apsw.Connection, known: Cache) -> None:
        self._db = connection
        self._cache = known

    async def queue(self, name: str) -> Queue | None:
        """The queue with its exact tally."""
        queue = self._cache.queues.get(name)
        if queue is None:
            row = next(iter(fetch_undecodable(self._db, SQL["queue_by_name"], (name,))), None)
            if row is not None:
                queue = self._cache.keep(rows.queue_of(row, self._cache.defaults))
                if name in self._cache.doubtful:
                    self._count_anew(queue)
        return queue

    def _count_anew(self, queue: Queue) -> None:
        """The tally of a queue in which something was not as it should be, from its rows."""
        counted: Any = self._db.execute(SQL["count_anew"], (queue.id,)).fetchone()
        queue.tally = Tally(*counted)

    async def leased(self, fences: Sequence[int]) -> dict[int, Job]:
        """The leased jobs under these fences."""
        leased_of, name_of = rows.leased_of, self._name
        try:
            if len(fences) == 1:
                found = self._db.execute(SQL["leased_lean_one"], (fences[0],)).fetchall()
            else:
                found = self._db.execute(SQL["leased_lean"], (json_text(fences),)).fetchall()
            return dict([leased_of(row, name_of(row[1])) for row in found])
        except formats.UNREADABLE:
            jobs = self._jobs("leased_by_fence", (json_text(fences),))
            return {job.lease.fence: job for job in jobs if job.lease is not None}

    async def leased_by_request(self, requests: Sequence[str]) -> dict[str, OrderedJobs]:
        """The living leases of these dequeue calls."""
        found: dict[str, OrderedJobs] = {}
        for job, content in self._line("leased_by_request", (json_text(requests),), None):
            if job.lease is not None and job.lease.request is not None:
                found.setdefault(job.lease.request, []).append((job, content))
        return found

    async def job(self, job_id: int) -> Job | None:
        """One job in any state."""
        if found := self._jobs("any_job", (job_id,)):
            return found[0]
        if found := self._jobs("misplaced_job", (job_id,)):
            return found[0]
        return self._jobs("any_job", (job_id,))[0] if self._recover("recover_job", (job_id,)) else None

    async def content(self, job_id: int) -> Content | None:
        """The content for the worker."""
        row = next(iter(fetch_undecodable(self._db, SQL["content"], (job_id,))), None)
        return None if row is None else rows.content_of(row)

    async def ready(self, queue: Queue, limit: int) -> OrderedJobs:
        """The next jobs to lease."""
        if queue.tally.bytes > GRANT_BYTES:
            return self._line("next_ready", (queue.id, limit), queue.name)
        ready_of, name = rows.ready_of, queue.name
        try:
            found = self._db.execute(SQL["next_ready_lean"], (queue.id, limit)).fetchall()
            line: OrderedJobs = [ready_of(row, name) for row in found]
        except formats.UNREADABLE:
            return self._line_anyhow("next_ready", (queue.id, limit))
        read = len(line)
        if read < limit and self._cache.looks.due(queue, read) and self._recover("recover_ready", (queue.id, limit)):
            return self._line_anyhow("next_ready", (queue.id, limit))
        return line

    async def ready_of(self, queue: Queue, types: Types, limit: int) -> OrderedJobs:
        """The next jobs of these types."""
        places: set[tuple[int, int]] = set()
        names, whole = await self._kept_types(queue, types)
        if not whole:
            head = fetch_undecodable(self._db, SQL["ready_head_types"], (queue.id, TYPES_HEAD), of_jobs=False)
            places.update([(priority, job) for priority, job, kind in head if types.fit(kind)])
        if len(places) < limit:
            for name in names:
                found: Any = self._db.execute(SQL["ready_of_type"], (queue.id, name, limit))
                places.update(found)
        return self._line("next_ready_at", (queue.id, json_text(sorted(places)[:limit]), limit), queue.name) if places else []

    async def _kept_types(self, queue: Queue, types: Types) -> tuple[Sequence[str], bool]:
        """The types to look for among what the queue keeps by type, and whether that is all."""
        if queue.typed is None:
            return (), False
        if types.only:
            return sorted(types.names), queue.typed.upto is None
        found = await self.ready_types(queue, TYPES_AT_ONCE)
        return [name for name in found if name not in types.names], queue.typed.upto is None and len(found) < TYPES_AT_ONCE

    async def ready_types(self, queue: Queue, limit: int) -> list[str]:
        """Types of ready jobs."""
        return [name for (name,) in fetch_undecodable(self._db, SQL["ready_types"], (queue.id, limit), of_jobs=False)]

    async def fill_types(self, queue: Queue, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        """Give the next jobs their types."""
        found: Any = self._db.execute(SQL["places_after"], (queue.id, *after, limit)).fetchall()
        if found:
            self._db.execute(SQL["fill_types"], (queue.id, *after, *found[-1]))
        return found[-1] if len(found) == limit else None

    async def types_of(self, job_ids: Sequence[int]) -> dict[int, str]:
        """The types of these jobs."""
        return {row[0]: row[1] for row in fetch_undecodable(self._db, SQL["types_of"], (json_text(job_ids),), of_jobs=False)}

    async def ready_for(self, worker: str, queue: Queue, limit: int, types: Types | None = None) -> OrderedJobs:
        """The next jobs of one worker's own line."""
        if types is not None:
            values = (worker, queue.id, json_text(sorted(types.names)), types.only, limit)
            return self._line("next_ready_for_types", values, queue.name)
        return self._line("next_ready_for", (worker, queue.id, limit), queue.name)

    async def orphans(self, limit: int) -> list[Job]:
        """Ready jobs of workers that are not registered any more."""
        return self._jobs("orphans", (limit,))

    async def progress(self, job_ids: Sequence[int]) -> dict[int, bytes]:
        """What earlier attempts noted."""
        found: Sequence[Row] = self._db.execute(SQL["progress_of"], (json_text(job_ids),)).fetchall()
        noted = {job: rows.json_or_none(bytes(value), "progress", job) for job, value in found}
        return {job: value for job, value in noted.items() if value is not None}

    async def expired(self, now: int, limit: int) -> list[Job]:
        """Leased jobs whose lease has expired."""
        self._recover("recover_leased", (now, limit))
        return self._jobs("expired", (now, limit))

    async def grant_grace(self, until: int, limit: int) -> int:
        """Extend leases after an outage."""
        return self._changed("grant_grace", (until, limit))

    async def clamp_times(self, now: int, lease_until: int, ready_at: int) -> tuple[int, int]:
        """Draw in what lies too far ahead."""
        self._cache.accounts.clear()
        self._cache.budgets = None
        self._db.execute(SQL["clamp_accounts"], (now, now + BUDGET_BLOCK_MS_MAX))
        self._db.execute(SQL["clamp_budgets"], (now + BUDGET_BLOCK_MS_MAX, now))
        return self._changed("clamp_leased", (lease_until,)), self._changed("clamp_scheduled", (ready_at,))

    async def clamp_history(self, now: int, after: int, limit: int) -> int:
        """Correct times too far in the future."""
        return sum([self._changed(statement, (now, after, limit)) for statement in ("clamp_ended", "clamp_answers")])

    def _changed(self, statement: str, bindings: tuple[int, ...]) -> int:
        start = self._db.total_changes()
        self._db.execute(SQL[statement], bindings)
        return self._db.total_changes() - start

    async def due(self, now: int, limit: int) -> list[Job]:
        """Scheduled jobs that are due."""
        self._recover("recover_scheduled", (now, limit))
        return self._jobs("due", (now, limit))

    async def overdue(self, now: int, limit: int) -> list[Job]:
        """Waiting jobs whose deadline has passed. Rows of jobs that do not wait are removed."""
        ids = [row[0] for row in self._db.execute(SQL["overdue_ids"], (now, limit))]
        if not ids:
            return []
        found = {job.id: job for job in self._jobs("overdue", (json_text(ids),))}
        for job_id in ids:
            if job_id not in found:
                job = await self.job(job_id)
                if job is not None and job.state in WAITING:
                    found[job_id] = job
                else:
                    self._db.execute(SQL["delete_job_expiry"], (job_id,))
        return [found[job_id] for job_id in ids if job_id in found]

    async def next_to_kick(self, queue: Queue, state: State, limit: int) -> list[Job]:
        """The jobs that have waited longest for a check."""
        return self._jobs("oldest_dead" if state is DEAD else "soonest_scheduled", (queue.id, limit))

    async def unique_holders(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The jobs that have these keys."""
        holders = {}
        for name, key in keys:
            queue = await self.queue(name)
            if queue is not None and (row := self._db.execute(SQL["unique_holder"], (queue.id, key)).fetchone()) is not None:
                holders[name, key] = row[0]
        return holders

    async def group_places(self, queue: str, group: str) -> int:
        """How many of the group's slots are taken."""
        return int(self._db.execute(SQL["group_places"], (await self._id(queue), group)).get)

    async def held(self, queue: str, group: str, limit: int) -> list[Job]:
        """Who waits for a place."""
        return self._jobs("next_held", (await self._id(queue), group, limit))

    async def waiting(self, account: str, limit: int) -> list[Job]:
        """Who waits for an account."""
        return self._jobs("next_waiting", (account, limit))

    async def waiting_queues(self, account: str) -> dict[str, int]:
        """The queues in which somebody waits for it."""
        found: Any = self._db.execute(SQL["waiting_queues"], (account,)).fetchall()
        return {self._name(number): number for (number,) in found}

    async def waiting_in(self, account: str, queues: Sequence[int], limit: int) -> list[Job]:
        """Who waits for it in these queues."""
        several = [self._jobs("next_waiting_in", (account, number, limit)) for number in queues]
        return sorted([job for line in several for job in line], key=lambda job: job.id)[:limit]

    async def error_of(self, job_id: int, attempt: int) -> JobError | None:
        """How this attempt went wrong."""
        row = next(iter(fetch_undecodable(self._db, SQL["error_of"], (job_id, attempt))), None)
        return None if row is None else rows.error_of(row)

    async def followers(self, job_id: int) -> list[Receipt]:
        """The jobs enqueued when it was concluded."""
        row = self._db.execute(SQL["followers"], (job_id,)).fetchone()
        return [] if row is None or row[0] is None else rows.receipts_of(row[0], "followers", job_id) or []

    async def kept_answers(self, keys: Sequence[IdempotencyKey]) -> dict[tuple[str, str], KeptAnswer]:
        """First answers to these keys."""
        kept = {}
        for key in keys:
            row = self._db.execute(SQL["kept_answer"], (key.scope, key.key)).fetchone()
            if row is not None:
                receipts = rows.receipts_of(row[1], "kept_answer", f"{key.scope} {key.key}")
                kept[key.scope, key.key] = UNTOLD if receipts is None else KeptAnswer(bytes(row[0]), receipts)
        return kept

    async def removable(self, queue: Queue, states: Sequence[str], up_to: int, limit: int) -> list[Job]:
        """The next jobs for a purge; jobs whose own row is missing are looked for when no others are left."""
        found: list[Job] = []
        for state in states:
            kind, names = rows.REMOVABLE.get(State(state), rows.REMOVABLE_ENDED)
            ended = (str(state),) if kind == "ended" else ()
            left = limit - len(found)
            some = self._removable(names, (queue.id, up_to, *ended), left)
            if len(some) < left and self._recover(f"recover_removable_{kind}", (queue.id, up_to, *ended, left)):
                some = self._removable(names, (queue.id, up_to, *ended), left)
            found += some
        return found

    def _removable(self, names: Sequence[str], bindings: tuple[Any, ...], limit: int) -> list[Job]:
        found: list[Job] = []
        for name in names:
            found += self._jobs(name, (*bindings, limit - len(found)))
        return found

    async def lock_inbox(self, jobs: Sequence[int]) -> dict[int, bool]:  # noqa: ARG002
        """A file has no inbox: nobody else writes to it."""
        return {}

    async def remove_from_inbox(self, jobs: Sequence[int]) -> None:
        """See `lock_inbox`."""

    async def newest_only(self) -> bool:
        """One program has the file."""
        return True

    async def newest_job(self) -> int:
        """The highest id ever used, including ids of jobs beyond the counter."""
        highest: int | None = self._db.execute("SELECT max(id) FROM job").get
        return max(self._cache.last_job, highest or 0)

    async def forgettable(self, queue: Queue, ended_before: int, limit: int) -> list[Job]:
        """History that may go."""
        return self._jobs("forgettable", (queue.id, ended_before, limit))

    async def _id(self, name: str) -> int:
        queue = await self.queue(name)
        assert queue is not None, "a job's queue is there as long as the job is"
        return queue.id

    def _name(self, queue_id: Any) -> str:
        name = self._cache.names.get(queue_id)
        if name is None:
            found = self._cache.fetch_named(self._db, "queue_name_of", (queue_id,))
            if not found:
                self._db.execute(SQL["recover_queue"], (queue_id,))
                found = self._cache.fetch_named(self._db, "queue_name_of", (queue_id,))
                FOUND.note("queue", queue_id, f"jobs are in it and it is not there; it is {found[0][0]} now")
                self._cache.doubtful.add(found[0][0])
            name = self._cache.names[queue_id] = found[0][0]
        return name

    def _recover(self, statement: str, bindings: tuple[Any, ...]) -> bool:
        """Create rows for jobs whose own row is missing, to be set aside when they are read; returns whether there were any."""
        start = self._db.total_changes()
        self._db.execute(SQL[statement], bindings)
        return self._db.total_changes() > start

    def _jobs(self, statement: str, bindings: tuple[Any, ...]) -> list[Job]:
        try:
            return [rows.job_of(row, self._name(row[1])) for row in self._db.execute(SQL[statement], bindings).fetchall()]
        except formats.UNREADABLE:
            return [self._job_of(row) for row in fetch_undecodable(self._db, SQL[statement], bindings)]

    def _line(self, statement: str, bindings: tuple[Any, ...], name: str | None) -> OrderedJobs:
        """Jobs with their content up to the bound in bytes, and those behind it without."""
        try:
            return read_in_order(self._db, statement, bindings, self._name if name is None else lambda _: name)
        except formats.UNREADABLE:
            return self._line_anyhow(statement, bindings)

    def _line_anyhow(self, statement: str, bindings: tuple[Any, ...]) -> OrderedJobs:
        """The same where a row among them can't be read."""
        found: OrderedJobs = []
        size = 0
        for row in fetch_undecodable(self._db, SQL[statement], bindings):
            content = rows.content_of(row[rows.JOB_COLUMNS :])
            found.append((self._job_of(row), content if size < GRANT_BYTES else None))
            size += len(content.payload)
        return found

    def _job_of(self, row: Row) -> Job:
        """A job whose row may be unreadable."""
        name = self._name(row[1])
        try:
            return rows.job_of(row, name)
        except formats.UNREADABLE as error:
            self._cache.doubtful.add(name)
            (keys,) = fetch_undecodable(self._db, SQL["kept_keys"], (row[1], row[0]))
            return rows.doubtful_job(row, name, keys, error)
