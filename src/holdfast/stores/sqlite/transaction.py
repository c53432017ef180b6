"""One batch on the writing connection: loads, and the writing of changes, table by table with one statement per kind of row."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import apsw
import msgspec

from holdfast.errors import InvalidRequest
from holdfast.job.job import DEAD, Content, IdempotencyKey, Job, JobError, Receipt, State
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings
from holdfast.job.schedule import Schedule
from holdfast.limits import ERRORS_KEPT, GRANT_BYTES, QUEUES
from holdfast.stores import rows
from holdfast.stores.rows import Row, json_text
from holdfast.stores.sqlite.alone import AloneTransaction
from holdfast.stores.sqlite.line import read_line
from holdfast.stores.sqlite.sql import MANY_AT_ONCE, ROWS_AT_ONCE, SQL
from holdfast.stores.store import Change, KeptAnswer, Line
from holdfast.stores.writing import LOOSE, ORDER, Writing
from holdfast.workers.registry import Roster, Worker

_FIRST_ANSWER: tuple[Any, ...] = (-1, "", "")  # before every kept answer, by (at, scope, key)


class Known:
    """What the writer remembers between transactions, as it is on disk. Thrown away whenever a transaction is undone."""

    def __init__(self, defaults: QueuePolicy) -> None:
        self.defaults = defaults
        self.queues: dict[str, Queue] = {}
        self.names: dict[int, str] = {}
        self.saved: dict[str, tuple[QueueSettings, int]] = {}
        self.answers_after: tuple[Any, ...] = _FIRST_ANSWER
        self.interests: int | None = None
        self.workers: Roster | None = None
        self.last_job = 0
        self.last_fence = 0
        self.saved_counters = (0, 0)

    def load_counters(self, connection: apsw.Connection) -> None:
        """Read the last numbers given."""
        values = dict(connection.execute(SQL["counters"]))
        self.last_job, self.last_fence = values["job"], values["fence"]
        self.saved_counters = (self.last_job, self.last_fence)

    def forget(self) -> None:
        """Nothing that is remembered can be trusted."""
        self.queues.clear()
        self.names.clear()
        self.saved.clear()
        self.interests = None
        self.workers = None

    def drop(self, queue: Queue) -> None:
        """This queue is gone; what others count in this transaction stays."""
        self.queues.pop(queue.name, None)
        self.names.pop(queue.id, None)
        self.saved.pop(queue.name, None)

    def keep(self, queue: Queue) -> Queue:
        """Remember a queue as it is on disk."""
        self.queues[queue.name] = queue
        self.names[queue.id] = queue.name
        self.saved[queue.name] = (queue.settings, rows.pause_of(queue))
        return queue


class SqliteTransaction(AloneTransaction):
    """See `stores.store.Transaction`. Nothing in here waits: SQLite is called in place, so a transaction is never interleaved."""

    def __init__(self, connection: apsw.Connection, known: Known) -> None:
        self._db = connection
        self._known = known
        self.committed = False

    # Queues

    async def queue(self, name: str) -> Queue | None:
        """The queue with its exact tally."""
        queue = self._known.queues.get(name)
        if queue is None:
            row = self._db.execute(SQL["queue_by_name"], (name,)).fetchone()
            if row is not None:
                queue = self._known.keep(rows.queue_of(row, self._known.defaults))
        return queue

    def policy(self, settings: QueueSettings) -> QueuePolicy:
        """These settings over the server's defaults."""
        return self._known.defaults.with_settings(settings)

    async def create_queue(self, name: str, now: int) -> Queue:
        """A new queue with the default settings."""
        if self._db.execute(SQL["queue_count"]).get >= QUEUES:
            raise InvalidRequest(f"There are {QUEUES} queues already; that is the most.", field="queue")
        self._db.execute(SQL["insert_queue"], (name, "{}", now)).fetchall()
        queue = await self.queue(name)
        assert queue is not None, "it was just made"
        return queue

    async def save_queues(self, queues: Sequence[Queue]) -> None:
        """Write settings, pause and tally."""
        for queue in queues:
            if self._known.saved.get(queue.name) != (queue.settings, rows.pause_of(queue)):
                self._db.execute(SQL["update_queue"], (json_text(queue.settings), rows.pause_of(queue), queue.id))
                self._known.saved[queue.name] = (queue.settings, rows.pause_of(queue))
        self._many("update_tally", [(*msgspec.structs.astuple(queue.tally), queue.id) for queue in queues])

    async def delete_queue(self, queue: Queue) -> None:
        """Remove a queue whose jobs are gone."""
        self._db.execute(SQL["delete_queue"], (queue.id,))
        self._known.drop(queue)

    async def queue_names(self, after: str, limit: int) -> list[str]:
        """Names in order."""
        return [name for (name,) in self._db.execute(SQL["queue_names"], (after, limit))]

    async def with_history(self, after: str, limit: int) -> tuple[list[str], str]:
        """A page of queues; what they hold is known here at no cost."""
        names = await self.queue_names(after, limit)
        return names, names[-1] if len(names) == limit else ""

    async def interests_version(self) -> int:
        """Grows with every change of any interest."""
        if self._known.interests is None:
            self._known.interests = self._db.execute(SQL["interests_version"]).get
        return self._known.interests or 0

    async def set_interest(self, queue: Queue, match: str | dict[str, str] | None) -> bool:
        """Write or remove a queue's interest."""
        start = self._db.total_changes()
        if match is None:
            self._db.execute(SQL["delete_interest"], (queue.id,))
        else:
            self._db.execute(SQL["save_interest"], (queue.id, json_text(match)))
        changed = self._db.total_changes() > start
        if changed:
            self._db.execute(SQL["bump_interests"])
            self._known.interests = None
        return changed

    async def interests(self) -> dict[str, str | dict[str, str]]:
        """Every queue's interest."""
        return {name: rows.match_of(text) for name, text in self._db.execute(SQL["interests"])}

    async def schedule(self, name: str) -> Schedule | None:
        """One schedule."""
        state = self._db.execute(SQL["schedule"], (name,)).get
        return None if state is None else rows.schedule_of(state)

    async def schedule_count(self) -> int:
        """How many there are."""
        return int(self._db.execute(SQL["schedule_count"]).get)

    async def schedules_due(self, now: int, limit: int) -> list[Schedule]:
        """Those to be looked at."""
        return [rows.schedule_of(state) for (state,) in self._db.execute(SQL["schedules_due"], (now, limit)).fetchall()]

    async def save_schedule(self, schedule: Schedule) -> None:
        """Write a schedule."""
        row = (schedule.name, schedule.try_at, int(schedule.paused), rows.schedule_blob(schedule))
        self._db.execute(SQL["save_schedule"], row)

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule."""
        self._db.execute(SQL["delete_schedule"], (name,))

    async def workers(self) -> Roster:
        """All registered workers."""
        if self._known.workers is None:
            self._known.workers = Roster(map(rows.worker_of, self._db.execute(SQL["workers"])))
        return self._known.workers

    async def save_worker(self, worker: Worker) -> None:
        """Write a worker."""
        (await self.workers())[worker.id] = worker
        self._db.execute(
            SQL["save_worker"], (worker.id, worker.name, json_text(worker.queues), worker.state.value, worker.registered_at)
        )

    async def delete_workers(self, ids: Sequence[str]) -> None:
        """Remove workers."""
        known = await self.workers()
        for worker_id in ids:
            known.remove(worker_id)
        self._many("delete_worker", [(worker_id,) for worker_id in ids])

    async def holding(self, ids: Sequence[str]) -> set[str]:
        """Which of these workers hold a lease."""
        return {str(name) for (name,) in self._db.execute(SQL["holding_workers"], (json_text(ids),))}

    def take_job_ids(self, count: int) -> int:
        """The first of `count` ids."""
        first = self._known.last_job + 1
        self._known.last_job += count
        return first

    def take_fences(self, count: int) -> int:
        """The first of `count` fences."""
        first = self._known.last_fence + 1
        self._known.last_fence += count
        return first

    # Jobs

    async def leased(self, fences: Sequence[int]) -> dict[int, Job]:
        """The leased jobs under these fences."""
        found = self._jobs("leased_by_fence", (json_text(fences),))
        return {job.lease.fence: job for job in found if job.lease is not None}

    async def leased_by_request(self, requests: Sequence[str]) -> dict[str, Line]:
        """The living leases of these dequeue calls."""
        found: dict[str, Line] = {}
        for job, content in self._line("leased_by_request", (json_text(requests),), None):
            if job.lease is not None and job.lease.request is not None:
                found.setdefault(job.lease.request, []).append((job, content))
        return found

    async def job(self, job_id: int) -> Job | None:
        """One job in whatever state."""
        return next(iter(self._jobs("any_job", (job_id,))), None)

    async def content(self, job_id: int) -> Content | None:
        """What the worker is given."""
        row = self._db.execute(SQL["content"], (job_id,)).fetchone()
        return None if row is None else rows.content_of(row)

    async def ready(self, queue: Queue, limit: int) -> Line:
        """The next jobs to lease."""
        if queue.tally.bytes > GRANT_BYTES:
            return self._line("next_ready", (queue.id, limit), queue.name)
        job_of, content_of = rows.job_of, rows.content_of
        found = self._db.execute(SQL["next_ready"], (queue.id, limit)).fetchall()
        return [(job_of(row, queue.name), content_of(row[rows.JOB_COLUMNS :])) for row in found]

    async def ready_for(self, worker: str, queue: Queue, limit: int) -> Line:
        """The next jobs of one worker's own line."""
        return self._line("next_ready_for", (worker, queue.id, limit), queue.name)

    async def orphans(self, limit: int) -> list[Job]:
        """Ready jobs of workers that are not registered any more."""
        return self._jobs("orphans", (limit,))

    async def progress(self, job_ids: Sequence[int]) -> dict[int, bytes]:
        """What earlier attempts noted."""
        return {job: bytes(value) for job, value in self._db.execute(SQL["progress_of"], (json_text(job_ids),))}

    async def expired(self, now: int, limit: int) -> list[Job]:
        """Leased jobs whose lease has ended."""
        return self._jobs("expired", (now, limit))

    async def due(self, now: int, limit: int) -> list[Job]:
        """Scheduled jobs whose time has come."""
        return self._jobs("due", (now, limit))

    async def next_to_kick(self, queue: Queue, state: State, limit: int) -> list[Job]:
        """Who has waited longest to be looked at."""
        return self._jobs("oldest_dead" if state is DEAD else "soonest_scheduled", (queue.id, limit))

    async def unique_holders(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Who holds these keys."""
        holders = {}
        for name, key in keys:
            queue = await self.queue(name)
            if queue is not None and (row := self._db.execute(SQL["unique_holder"], (queue.id, key)).fetchone()) is not None:
                holders[name, key] = row[0]
        return holders

    async def group_places(self, queue: str, group: str) -> int:
        """How many places are taken."""
        return int(self._db.execute(SQL["group_places"], (await self._id(queue), group)).get)

    async def held(self, queue: str, group: str, limit: int) -> list[Job]:
        """Who waits for a place."""
        return self._jobs("next_held", (await self._id(queue), group, limit))

    async def error_of(self, job_id: int, attempt: int) -> JobError | None:
        """How this attempt went wrong."""
        row = self._db.execute(SQL["error_of"], (job_id, attempt)).fetchone()
        return None if row is None else rows.error_of(row)

    async def followers(self, job_id: int) -> list[Receipt]:
        """The jobs put by its conclude."""
        row = self._db.execute(SQL["followers"], (job_id,)).fetchone()
        return [] if row is None or row[0] is None else rows.receipts_of(row[0])

    async def kept_answers(self, keys: Sequence[IdempotencyKey]) -> dict[tuple[str, str], KeptAnswer]:
        """First answers to these keys."""
        kept = {}
        for key in keys:
            row = self._db.execute(SQL["kept_answer"], (key.scope, key.key)).fetchone()
            if row is not None:
                kept[key.scope, key.key] = KeptAnswer(bytes(row[0]), rows.receipts_of(row[1]))
        return kept

    async def keep_answers(self, answers: Sequence[tuple[IdempotencyKey, KeptAnswer]], now: int) -> None:
        """Keep first answers."""
        self._many(
            "insert_kept_answer",
            [
                (key.scope, key.key, answer.digest, rows.receipts_blob(answer.receipts), min(ids), max(ids), now)
                for key, answer in answers
                if (ids := [receipt.id for receipt in answer.receipts] or [0])
            ],
        )

    async def removable(self, queue: Queue, states: Sequence[str], up_to: int, limit: int) -> list[Job]:
        """Jobs that a purge takes next."""
        found: list[Job] = []
        for state in states:
            names = {
                State.READY: ("removable_ready", "removable_held", "removable_ready_for"),
                State.SCHEDULED: ("removable_scheduled",),
            }.get(State(state), ("removable_ended",))
            for name in names:
                ended = (str(state),) if name == "removable_ended" else ()
                found += self._jobs(name, (queue.id, up_to, *ended, limit - len(found)))
        return found

    async def newest_job(self) -> int:
        """The highest id ever given."""
        return self._known.last_job

    async def forgettable(self, queue: Queue, ended_before: int, limit: int) -> list[Job]:
        """History that may go."""
        return self._jobs("forgettable", (queue.id, ended_before, limit))

    async def forget_answers(self, before: int, limit: int) -> int:
        """Drop old answers whose jobs are gone."""
        found = self._db.execute(SQL["old_answers"], (before, *self._known.answers_after, limit)).fetchall()
        gone = [(scope, key) for _, scope, key, lives in found if not lives]
        self._many("delete_answer", gone)
        self._known.answers_after = found[-1][:3] if len(found) == limit else _FIRST_ANSWER
        return len(gone)

    # Writing

    async def write(self, changes: Sequence[Change]) -> None:
        """Move the rows."""
        writing = Writing(await self._ids(changes))
        for change in changes:
            writing.add(change)
        for name in ORDER:
            if (many := writing.rows.get(name)) is not None:
                self._many(name, many, exact=name not in LOOSE)
        for job_id in writing.trim:
            self._db.execute(SQL["trim_errors"], (job_id, ERRORS_KEPT))

    async def commit(self) -> None:
        """Return when it is fsynced."""
        counters = (self._known.last_job, self._known.last_fence)
        if counters != self._known.saved_counters:
            self._db.execute(SQL["save_counters"], counters)
            self._known.saved_counters = counters
        self._db.execute("COMMIT")
        self.committed = True

    async def _ids(self, changes: Sequence[Change]) -> dict[str, int]:
        names = {job.queue for change in changes if (job := change.after or change.before) is not None}
        return {name: await self._id(name) for name in names}

    async def _id(self, name: str) -> int:
        queue = await self.queue(name)
        assert queue is not None, "a job's queue is there as long as the job is"
        return queue.id

    def _name(self, queue_id: Any) -> str:
        name = self._known.names.get(queue_id)
        if name is None:
            name = self._known.names[queue_id] = self._db.execute(SQL["queue_name_of"], (queue_id,)).get
        return name

    def _jobs(self, statement: str, bindings: tuple[Any, ...]) -> list[Job]:
        return [rows.job_of(row, self._name(row[1])) for row in self._db.execute(SQL[statement], bindings).fetchall()]

    def _line(self, statement: str, bindings: tuple[Any, ...], name: str | None) -> Line:
        return read_line(self._db, statement, bindings, self._name if name is None else lambda _: name)

    def _many(self, statement: str, many: Sequence[Row], exact: bool = True) -> None:
        """Run one statement over rows; each must touch exactly one row, or what was decided is not what is there."""
        if not many:
            return
        start = self._db.total_changes()
        singly = many
        if statement in MANY_AT_ONCE and len(many) >= ROWS_AT_ONCE:
            whole = len(many) - len(many) % ROWS_AT_ONCE
            for first in range(0, whole, ROWS_AT_ONCE):
                values = list(chain.from_iterable(many[first : first + ROWS_AT_ONCE]))
                self._db.execute(MANY_AT_ONCE[statement], values)
            singly = many[whole:]
        self._db.executemany(SQL[statement], singly)
        touched = self._db.total_changes() - start
        if exact and touched != len(many):
            raise RuntimeError(f"{statement} touched {touched} rows where {len(many)} were decided")
