"""What a batch reads: jobs in their states, keys, groups, answers. Everything is read after the queues are locked, and after what was decided is written."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from holdfast.job.by_type import Types
from holdfast.job.job import DEAD, WAITING, Content, IdempotencyKey, Job, JobError, Receipt, State
from holdfast.job.queue import Queue
from holdfast.limits import TYPES_AT_ONCE, TYPES_HEAD
from holdfast.stores import formats, rows
from holdfast.stores.by_type import OrderedJobs
from holdfast.stores.postgres.cache import FIRST_ANSWER
from holdfast.stores.postgres.locks import Locks
from holdfast.stores.postgres.migrate import NEWEST
from holdfast.stores.postgres.misplaced import misplaced
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.store import UNTOLD, KeptAnswer
from holdfast.stores.unreadable import FOUND


class Loader(Locks):
    """The reading half of a transaction."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._heads: dict[int, OrderedJobs] = {}
        self._heads_asked: dict[int, int] = {}  # how many of each were asked for
        self._own_heads: dict[tuple[str, int], OrderedJobs] | None = None
        self._holders: dict[tuple[str, str], int] | None = None

    async def _settle(self) -> None:
        """Write what has been decided; the transaction implements it."""
        raise NotImplementedError

    def _forget_loaded(self) -> None:
        """What was read ahead is not true any more."""
        self._heads.clear()
        self._heads_asked.clear()
        self._own_heads = None
        self._holders = None

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Any]:
        await self._settle()
        found: Sequence[Any] = await self._db.fetch(SQL[statement], *values)
        return found

    async def _value(self, statement: str, *values: Any) -> Any:
        await self._settle()
        return await self._db.fetchval(SQL[statement], *values)

    async def _names(self, found: Sequence[Any]) -> dict[int, str]:
        """The names of the queues of these rows."""
        names = self._cache.names
        missing = {row[1] for row in found} - names.keys()
        if missing:
            names.update((row[0], row[1]) for row in await self._db.fetch(SQL["queue_names_of"], list(missing)))
        return names

    async def _jobs(self, statement: str, *values: Any) -> list[Job]:
        return await self._read(await self._fetch(statement, *values))

    async def _read(self, found: Sequence[Any]) -> list[Job]:
        names = await self._names(found)
        try:
            return [rows.job_of(row, names[row[1]]) for row in found]
        except formats.UNREADABLE:
            return [await self._job_of(row) for row in found]

    async def _lines(self, statement: str, *values: Any) -> list[tuple[Any, Job, Content | None]]:
        found = await self._fetch(statement, *values)
        names = await self._names(found)
        at = rows.JOB_COLUMNS
        contents = [None if row[at + 2] is None else rows.content_of(row[at:]) for row in found]
        try:
            jobs = [rows.job_of(row, names[row[1]]) for row in found]
        except formats.UNREADABLE:
            jobs = [await self._job_of(row) for row in found]
        return list(zip(found, jobs, contents, strict=True))

    async def _job_of(self, row: Any) -> Job:
        """A job whose row may be unreadable."""
        name = await self._name_anyhow(row[1])
        try:
            return rows.job_of(row, name)
        except formats.UNREADABLE as error:
            self._doubtful.add(name)
            keys = await self._db.fetchrow(SQL["kept_keys"], row[1], row[0])
            return rows.doubtful_job(row, name, keys, error)

    async def _name_anyhow(self, queue_id: int) -> str:
        """The name of a queue, recreated if only rows of its jobs are left."""
        names = self._cache.names
        if queue_id not in names:
            await self._db.execute(SQL["recover_queue"], queue_id)
            self._note_written()
            found = await self._db.fetch(SQL["queue_names_of"], [queue_id])
            names[queue_id] = found[0][1]
            self._absent.discard(names[queue_id])
            self._doubtful.add(names[queue_id])
            FOUND.note("queue", queue_id, f"jobs are in it and it is not there; they are in {names[queue_id]} now")
        return names[queue_id]

    async def _recover(self, statement: str, *values: Any) -> bool:
        """Create rows for jobs whose own row is missing, to be set aside when they are read; returns whether there were any."""
        found = await self._fetch(statement, *values)
        if found:
            self._note_written()
        return bool(found)

    async def _id(self, name: str) -> int:
        queue = await self.queue(name)
        assert queue is not None, "a job's queue is there as long as the job is"
        return queue.id

    async def _held_queues(self, *values: Any) -> list[int]:
        """The queues with time-based work: those that are locked or, if the batch named none, all that need it."""
        if self._expected is None:
            *bounds, overdue = values
            found = [row[0] for row in await self._fetch("passing_queues", *bounds, list(self._held.queues), overdue)]
            for row in await self._fetch("queue_names_of", found):
                await self.queue(row[1])
        return [queue.id for queue in self._queues.values()]

    async def leased(self, fences: Sequence[int]) -> dict[int, Job]:
        """The leased jobs under these fences."""
        found = await self._jobs("leased_by_fence", list(fences))
        return {job.lease.fence: job for job in found if job.lease is not None}

    async def leased_by_request(self, requests: Sequence[str]) -> dict[str, OrderedJobs]:
        """The living leases of these dequeue calls."""
        found: dict[str, OrderedJobs] = {}
        for _, job, content in await self._lines("leased_by_request", list(requests)):
            if job.lease is not None and job.lease.request is not None:
                found.setdefault(job.lease.request, []).append((job, content))
        return found

    async def job(self, job_id: int) -> Job | None:
        """One job in any state."""
        found = await self._jobs("any_job", job_id)
        if not found:
            found = await self._read(await misplaced(self._fetch, job_id))
        if not found and await self._recover("recover_job", job_id):
            found = await self._jobs("any_job", job_id)
        return next(iter(found), None)

    async def content(self, job_id: int) -> Content | None:
        """The content for the worker."""
        found = await self._fetch("content", job_id)
        return rows.content_of(found[0]) if found else None

    async def ready(self, queue: Queue, limit: int) -> OrderedJobs:
        """The next jobs to lease; those of all queues that the batch leases from are read at once."""
        await self._settle()
        if self._heads_asked.get(queue.id, 0) < limit:
            wanted = {queue.id: limit}
            if self._expected is not None:
                for (_, name), most in self._expected.lines.items():
                    other = self._queues.get(name)
                    if other is not None and other.id not in self._heads_asked and other is not queue and other.may_lease() > 0:
                        wanted[other.id] = min(wanted.get(other.id, 0) + most, other.may_lease())
            await self._read_heads(wanted)
        found = len(self._heads[queue.id])
        if found < limit and self._cache.looks.due(queue, found) and await self._recover("recover_ready", queue.id, limit):
            self._heads.pop(queue.id)
            await self._read_heads({queue.id: limit})
        return self._heads[queue.id][:limit]

    async def _read_heads(self, wanted: dict[int, int]) -> None:
        bounds: list[tuple[int, int, int, int]] = []
        for number, most in wanted.items():
            self._heads[number] = []
            self._heads_asked[number] = most
            floors = self._floors.get(number)
            if floors is None:
                found = await self._lines("next_ready_of_all", number, most)
                self._heads[number] = [(job, content) for _, job, content in found]
            else:
                bounds += [(number, priority, floor, most) for priority, floor in floors.items()]
        if bounds:
            for row, job, content in await self._lines("next_ready", *map(list, zip(*bounds, strict=True))):
                self._heads[row[1]].append((job, content))

    async def ready_of(self, queue: Queue, types: Types, limit: int) -> OrderedJobs:
        """The next jobs of these types."""
        places: set[tuple[int, int]] = set()
        names, whole = await self._kept_types(queue, types)
        if not whole:
            head = await self._fetch("ready_head_types", queue.id, TYPES_HEAD)
            places.update([(row[0], row[1]) for row in head if types.fit(row[2])])
        if names and len(places) < limit:
            places.update([(row[0], row[1]) for row in await self._fetch("ready_of_type", queue.id, names, limit)])
        if not places:
            return []
        chosen = zip(*sorted(places)[:limit], strict=True)
        return [(job, content) for _, job, content in await self._lines("next_ready_at", queue.id, *map(list, chosen))]

    async def _kept_types(self, queue: Queue, types: Types) -> tuple[list[str], bool]:
        """The types to look for among what the queue keeps by type, and whether that is all."""
        if queue.typed is None:
            return [], False
        if types.only:
            return sorted(types.names), queue.typed.upto is None
        found = await self.ready_types(queue, TYPES_AT_ONCE)
        return [name for name in found if name not in types.names], queue.typed.upto is None and len(found) < TYPES_AT_ONCE

    async def ready_types(self, queue: Queue, limit: int) -> list[str]:
        """Types of ready jobs."""
        return [row[0] for row in await self._fetch("ready_types", queue.id, limit)]

    async def fill_types(self, queue: Queue, after: tuple[int, int], limit: int) -> tuple[int, int] | None:
        """Give the next jobs their types."""
        found = await self._fetch("places_after", queue.id, *after, limit)
        if found:
            await self._db.execute(SQL["fill_types"], queue.id, *after, *found[-1])
            self._note_written()
        return (found[-1][0], found[-1][1]) if len(found) == limit else None

    async def types_of(self, job_ids: Sequence[int]) -> dict[int, str]:
        """The types of these jobs."""
        return {row[0]: row[1] for row in await self._fetch("types_of", list(job_ids))}

    async def ready_for(self, worker: str, queue: Queue, limit: int, types: Types | None = None) -> OrderedJobs:
        """The next jobs for one worker only; those of all workers in the batch are read together."""
        if types is not None:
            values = (worker, queue.id, list(types.names), types.only, limit)
            return [(job, content) for _, job, content in await self._lines("next_ready_for_types", *values)]
        await self._settle()
        key = (worker, queue.id)
        if self._own_heads is None or key not in self._own_heads:
            wanted = {key: limit}
            for (name_of_worker, name), most in (self._expected.lines if self._expected is not None else {}).items():
                other = self._queues.get(name)
                if name_of_worker and other is not None and name_of_worker in self._cache.workers:
                    wanted.setdefault((name_of_worker, other.id), most)
            lines: dict[tuple[str, int], OrderedJobs] = {one: [] for one in wanted}
            asked = [(one, number, most) for (one, number), most in wanted.items()]
            for row, job, content in await self._lines("next_ready_for", *map(list, zip(*asked, strict=True))):
                lines[row["line"], row[1]].append((job, content))
            self._own_heads = (self._own_heads or {}) | lines
        return self._own_heads[key][:limit]

    async def orphans(self, limit: int) -> list[Job]:
        """Ready jobs of workers that are not registered any more."""
        return await self._jobs("orphans", await self._held_queues(0, 0, 0, 0, limit, 0), limit)

    async def progress(self, job_ids: Sequence[int]) -> dict[int, bytes]:
        """What earlier attempts noted."""
        found = await self._fetch("progress_of", list(job_ids))
        noted = {row[0]: rows.json_or_none(row[1], "progress", row[0]) for row in found}
        return {job: value for job, value in noted.items() if value is not None}

    async def expired(self, now: int, limit: int) -> list[Job]:
        """Leased jobs whose lease has expired, in locked queues."""
        floor = self._cache.floor()
        queues = await self._held_queues(now, floor, limit, 0, 0, 0)
        if queues:
            await self._recover("recover_leased", now, floor, queues, limit)
        found = await self._jobs("expired", now, floor, queues, limit)
        if len(found) < limit:
            self._cache.leases_swept(now)
        return found

    async def due(self, now: int, limit: int) -> list[Job]:
        """Scheduled jobs that are due, in locked queues."""
        floor = self._cache.floor()
        queues = await self._held_queues(now, floor, 0, limit, 0, 0)
        if queues:
            await self._recover("recover_scheduled", now, floor, queues, limit)
        found = await self._jobs("due", now, floor, queues, limit)
        if len(found) < limit:
            self._cache.due_swept(now)
        return found

    async def overdue(self, now: int, limit: int) -> list[Job]:
        """Waiting jobs whose deadline has passed, in locked queues. Rows of jobs that do not wait are removed."""
        floor = self._cache.floor()
        queues = await self._held_queues(now, floor, 0, 0, 0, limit)
        ids = [row[0] for row in await self._fetch("overdue_ids", now, floor, queues, limit)] if queues else []
        found = {job.id: job for job in await self._jobs("overdue", ids)} if ids else {}
        if len(found) < len(ids):
            found |= await self._overdue_held([job_id for job_id in ids if job_id not in found])
        stray = []
        for job_id in ids:
            if job_id not in found:
                job = await self.job(job_id)
                if job is not None and job.state in WAITING:
                    found[job_id] = job
                else:
                    stray.append(job_id)
        if stray:
            await self._db.execute(SQL["delete_job_expiry"], stray)
            self._note_written()
        if len(ids) < limit:
            self._cache.deadlines_swept(now)
        return [found[job_id] for job_id in ids if job_id in found]

    async def _overdue_held(self, ids: Sequence[int]) -> dict[int, Job]:
        keys: dict[int, str] = {}
        for job_id, text in await self._fetch("extras_of_many", ids):
            with suppress(*formats.UNREADABLE):
                if (key := formats.extras_of(text).group_key) is not None:
                    keys[job_id] = key
        return {job.id: job for job in await self._jobs("overdue_held", list(keys), list(keys.values()))} if keys else {}

    async def next_to_kick(self, queue: Queue, state: State, limit: int) -> list[Job]:
        """The jobs that have waited longest for a check."""
        return await self._jobs("oldest_dead" if state is DEAD else "soonest_scheduled", queue.id, limit)

    async def unique_holders(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The jobs that have these keys; the keys of the whole batch are read together."""
        await self._settle()
        if self._holders is None or not all(key in self._asked for key in keys):
            self._asked = {*keys, *(self._expected.unique if self._expected is not None else ())}
            asked = map(list, zip(*self._asked, strict=True))
            self._holders = {(row[0], row[1]): row[2] for row in await self._fetch("unique_holders", *asked)}
        return {key: self._holders[key] for key in keys if key in self._holders}

    _asked: set[tuple[str, str]] = set()  # noqa: RUF012  (replaced, never changed)

    async def group_places(self, queue: str, group: str) -> int:
        """How many of the group's slots are taken."""
        return int(await self._value("group_places", await self._id(queue), group))

    async def held(self, queue: str, group: str, limit: int) -> list[Job]:
        """Who waits for a place."""
        return await self._jobs("next_held", await self._id(queue), group, limit)

    async def error_of(self, job_id: int, attempt: int) -> JobError | None:
        """How this attempt went wrong."""
        found = await self._fetch("error_of", job_id, min(attempt, 2**31 - 1))
        return rows.error_of(found[0]) if found else None

    async def followers(self, job_id: int) -> list[Receipt]:
        """The jobs enqueued when it was concluded."""
        blob = await self._value("followers", job_id)
        return [] if blob is None else rows.receipts_of(blob, "followers", job_id) or []

    async def kept_answers(self, keys: Sequence[IdempotencyKey]) -> dict[tuple[str, str], KeptAnswer]:
        """First answers to these keys."""
        found = await self._fetch("kept_answers", [key.scope for key in keys], [key.key for key in keys])
        kept = {}
        for scope, name, digest, blob in found:
            receipts = rows.receipts_of(blob, "kept_answer", f"{scope} {name}")
            kept[scope, name] = UNTOLD if receipts is None else KeptAnswer(digest, receipts)
        return kept

    async def removable(self, queue: Queue, states: Sequence[str], up_to: int, limit: int) -> list[Job]:
        """The next jobs for a purge; jobs whose own row is missing are looked for when no others are left."""
        found: list[Job] = []
        for state in states:
            kind, names = rows.REMOVABLE.get(State(state), rows.REMOVABLE_ENDED)
            ended = (str(state),) if kind == "ended" else ()
            left = limit - len(found)
            some = await self._removable(names, (queue.id, up_to, *ended), left)
            if len(some) < left and await self._recover(f"recover_removable_{kind}", queue.id, up_to, *ended, left):
                some = await self._removable(names, (queue.id, up_to, *ended), left)
            found += some
        return found

    async def _removable(self, names: Sequence[str], values: tuple[Any, ...], limit: int) -> list[Job]:
        found: list[Job] = []
        for name in names:
            found += await self._jobs(name, *values, limit - len(found))
        return found

    async def lock_inbox(self, jobs: Sequence[int]) -> dict[int, bool]:
        """Those that are in the inbox, locked; and whether there is no job of this id yet."""
        return dict(await self._fetch("lock_inbox", list(jobs)))

    async def newest_only(self) -> bool:
        """Whether the schema refuses nodes of the release before."""
        oldest: int = await self._value("oldest_nodes")
        return oldest >= NEWEST

    async def newest_job(self) -> int:
        """The highest id of any job."""
        return await self._value("newest_job") or 0

    async def forgettable(self, queue: Queue, ended_before: int, limit: int) -> list[Job]:
        """History that may go."""
        return await self._jobs("forgettable", queue.id, ended_before, limit)

    async def forget_answers(self, before: int, limit: int) -> int:
        """Delete old kept answers whose jobs are gone."""
        found = await self._fetch("old_answers", before, *self._cache.answers_after, limit)
        gone = [(row[1], row[2]) for row in found if not row[3]]
        if gone:
            await self._db.execute(SQL["delete_answers"], *map(list, zip(*gone, strict=True)))
            self._note_written()
        self._cache.answers_after = tuple(found[-1][:3]) if len(found) == limit else FIRST_ANSWER
        return len(gone)

    def _note_written(self) -> None:
        """Something was written; the transaction keeps track of it."""
        raise NotImplementedError
