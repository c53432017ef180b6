"""One batch on the writing connection: loads, and the writing of changes, table by table with one statement per kind of row."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import apsw
import msgspec

from holdfast.errors import InvalidRequest
from holdfast.job.job import DEAD, Content, IdempotencyKey, Job, JobError, Receipt, State
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings, Tally
from holdfast.limits import ERRORS_KEPT, GRANT_BYTES, ID_MAX, QUEUES
from holdfast.stores import rows
from holdfast.stores.rows import Row, json_text
from holdfast.stores.sqlite.alone import AloneTransaction
from holdfast.stores.sqlite.anyhow import fetch_anyhow
from holdfast.stores.sqlite.schedules import ScheduleRows
from holdfast.stores.sqlite.sql import BARE, MANY_AT_ONCE, ROWS_AT_ONCE, SQL
from holdfast.stores.store import UNTOLD, Change, KeptAnswer, Line
from holdfast.stores.unreadable import FOUND
from holdfast.stores.writing import ANYHOW, LOOSE, MAY_BE_MISSING, ORDER, Writing
from holdfast.workers.registry import Roster, Worker

_FIRST_ANSWER: tuple[Any, ...] = (-1, "", "")  # before every kept answer, by (at, scope, key)


class Known:
    """What the writer remembers between transactions, as it is on disk. Thrown away whenever a transaction is undone."""

    def __init__(self, defaults: QueuePolicy) -> None:
        self.defaults = defaults
        self.queues: dict[str, Queue] = {}
        self.names: dict[int, str] = {}
        self.saved: dict[str, tuple[QueueSettings | None, int]] = {}
        self.doubtful: set[str] = set()
        self.looked_through: set[int] = set()
        self.answers_after: tuple[Any, ...] = _FIRST_ANSWER
        self.interests: int | None = None
        self.workers: Roster | None = None
        self.last_job = 0
        self.last_fence = 0
        self.saved_counters = (0, 0)

    def load_counters(self, connection: apsw.Connection) -> None:
        """Read the last numbers given."""
        values = dict(connection.execute(SQL["counters"]))
        self.saved_counters = (values.get("job", -1), values.get("fence", -1))
        highest: Any = connection.execute(SQL["highest_numbers"]).fetchone()
        self.last_job, self.last_fence = (
            kept if highest[place] <= kept < ID_MAX else highest[place] for place, kept in enumerate(self.saved_counters)
        )

    def recover_queues(self, connection: apsw.Connection) -> None:
        """Have every queue in which there are jobs: what is in none can't be seen, and not removed."""
        for (number,) in connection.execute(SQL["lost_queues"]).fetchall():
            connection.execute(SQL["recover_queue"], (number,))
            counted: Any = connection.execute(SQL["count_anew"], (number,)).fetchone()
            connection.execute(SQL["update_tally"], (*counted, number))
            FOUND.note(
                "queue", number, "jobs are in it and it is not there; it is there again under the name recovered-NUMBER-…"
            )

    def forget(self) -> None:
        """Nothing that is remembered can be trusted."""
        self.queues.clear()
        self.names.clear()
        self.saved.clear()
        self.doubtful.clear()
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
        self.saved[queue.name] = _saved_as(queue)
        if not all(0 <= count <= ID_MAX for count in msgspec.structs.astuple(queue.tally)):
            FOUND.note("queue", queue.name, f"{queue.tally}: its counts can't be; they are counted anew")
            self.doubtful.add(queue.name)
        return queue


def _saved_as(queue: Queue) -> tuple[QueueSettings | None, int]:
    return (queue.settings if queue.unreadable is None else None), rows.pause_of(queue)


class SqliteTransaction(AloneTransaction, ScheduleRows):
    """See `stores.store.Transaction`. Nothing in here waits: SQLite is called in place, so a transaction is never interleaved."""

    def __init__(self, connection: apsw.Connection, known: Known) -> None:
        self._db = connection
        self._known = known
        self.committed = False
        self._changes = connection.total_changes()

    @property
    def wrote(self) -> bool:
        """Whether anything was changed."""
        return self._db.total_changes() != self._changes

    # Queues

    async def queue(self, name: str) -> Queue | None:
        """The queue with its exact tally."""
        queue = self._known.queues.get(name)
        if queue is None:
            row = next(iter(fetch_anyhow(self._db, SQL["queue_by_name"], (name,))), None)
            if row is not None:
                queue = self._known.keep(rows.queue_of(row, self._known.defaults))
                if name in self._known.doubtful:
                    self._count_anew(queue)
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
            if self._known.saved.get(queue.name) != _saved_as(queue):
                self._db.execute(SQL["update_queue"], (rows.settings_text(queue), rows.pause_of(queue), queue.id))
                self._known.saved[queue.name] = _saved_as(queue)
            if queue.name in self._known.doubtful:
                self._count_anew(queue)
                self._known.doubtful.discard(queue.name)
        self._many("update_tally", [(*msgspec.structs.astuple(queue.tally), queue.id) for queue in queues])

    def _count_anew(self, queue: Queue) -> None:
        """The tally of a queue in which something was not as it should be, from its rows."""
        counted: Any = self._db.execute(SQL["count_anew"], (queue.id,)).fetchone()
        queue.tally = Tally(*counted)

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
        return rows.interests_of(fetch_anyhow(self._db, SQL["interests"], ()))

    async def workers(self) -> Roster:
        """All registered workers."""
        if self._known.workers is None:
            self._known.workers = Roster(map(rows.worker_of, fetch_anyhow(self._db, SQL["workers"], ())))
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
        if found := self._jobs("any_job", (job_id,)):
            return found[0]
        if found := self._jobs("misplaced_job", (job_id,)):
            return found[0]
        return self._jobs("any_job", (job_id,))[0] if self._recover("recover_job", (job_id,)) else None

    async def content(self, job_id: int) -> Content | None:
        """What the worker is given."""
        row = next(iter(fetch_anyhow(self._db, SQL["content"], (job_id,))), None)
        return None if row is None else rows.content_of(row)

    async def ready(self, queue: Queue, limit: int) -> Line:
        """The next jobs to lease."""
        if queue.tally.bytes > GRANT_BYTES:
            return self._line("next_ready", (queue.id, limit), queue.name)
        job_of, content_of = rows.job_of, rows.content_of
        try:
            found = self._db.execute(SQL["next_ready"], (queue.id, limit)).fetchall()
            line: Line = [(job_of(row, queue.name), content_of(row[rows.JOB_COLUMNS :])) for row in found]
        except rows.UNREADABLE:
            return self._line_anyhow("next_ready", (queue.id, limit))
        if len(line) < limit and queue.id not in self._known.looked_through:
            self._known.looked_through.add(queue.id)
            if self._recover("recover_ready", (queue.id, limit)):
                return self._line_anyhow("next_ready", (queue.id, limit))
        return line

    async def ready_for(self, worker: str, queue: Queue, limit: int) -> Line:
        """The next jobs of one worker's own line."""
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
        """Leased jobs whose lease has ended."""
        self._recover("recover_leased", (now, limit))
        return self._jobs("expired", (now, limit))

    async def grant_grace(self, until: int, limit: int) -> int:
        """Let leases live on."""
        return self._changed("grant_grace", (until, limit))

    async def draw_in(self, now: int, lease_until: int, ready_at: int) -> tuple[int, int]:  # noqa: ARG002
        """Draw in what lies too far ahead."""
        return self._changed("draw_in_leased", (lease_until,)), self._changed("draw_in_scheduled", (ready_at,))

    def _changed(self, statement: str, bindings: tuple[int, ...]) -> int:
        start = self._db.total_changes()
        self._db.execute(SQL[statement], bindings)
        return self._db.total_changes() - start

    async def due(self, now: int, limit: int) -> list[Job]:
        """Scheduled jobs whose time has come."""
        self._recover("recover_scheduled", (now, limit))
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
        """The highest id ever given, or one that a job has though it was never given."""
        highest: int | None = self._db.execute("SELECT max(id) FROM job").get
        return max(self._known.last_job, highest or 0)

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
            if -1 in self._known.saved_counters:
                self._db.execute(SQL["restore_counters"])
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
            try:
                name = self._db.execute(SQL["queue_name_of"], (queue_id,)).get
                statement, why = "recover_queue", "jobs are in it and it is not there"
            except UnicodeDecodeError as error:
                statement, why = "rename_queue", f"its name is no text: {error}"
            if name is None:
                self._db.execute(SQL[statement], (queue_id,))
                name = self._db.execute(SQL["queue_name_of"], (queue_id,)).get
                FOUND.note("queue", queue_id, f"{why}; it is {name} now")
                self._known.doubtful.add(name)
            self._known.names[queue_id] = name
        return name

    def _recover(self, statement: str, bindings: tuple[Any, ...]) -> bool:
        """Make up rows of jobs that are missing, to be set aside when they are read; whether there were any."""
        start = self._db.total_changes()
        self._db.execute(SQL[statement], bindings)
        return self._db.total_changes() > start

    def _jobs(self, statement: str, bindings: tuple[Any, ...]) -> list[Job]:
        try:
            return [rows.job_of(row, self._name(row[1])) for row in self._db.execute(SQL[statement], bindings).fetchall()]
        except rows.UNREADABLE:
            return [self._job_of(row) for row in fetch_anyhow(self._db, SQL[statement], bindings)]

    def _line(self, statement: str, bindings: tuple[Any, ...], name: str | None) -> Line:
        """Jobs with their content, row by row up to the bound in bytes, and those behind it without."""
        found: Line = []
        size = 0
        try:
            for row in self._db.execute(SQL[statement], bindings):
                found.append((rows.job_of(row, name or self._name(row[1])), rows.content_of(row[rows.JOB_COLUMNS :])))
                size += len(row[-1])
                if size >= GRANT_BYTES:
                    break
            else:
                return found
            bare = self._db.execute(BARE[statement], (*bindings, len(found))).fetchall()
            return found + [(rows.job_of(row, name or self._name(row[1])), None) for row in bare]
        except rows.UNREADABLE:
            return self._line_anyhow(statement, bindings)

    def _line_anyhow(self, statement: str, bindings: tuple[Any, ...]) -> Line:
        """The same where a row among them can't be read."""
        found: Line = []
        size = 0
        for row in fetch_anyhow(self._db, SQL[statement], bindings):
            content = rows.content_of(row[rows.JOB_COLUMNS :])
            found.append((self._job_of(row), content if size < GRANT_BYTES else None))
            size += len(content.payload)
        return found

    def _job_of(self, row: Row) -> Job:
        """A job whose row may be one that can't be read."""
        name = self._name(row[1])
        try:
            return rows.job_of(row, name)
        except rows.UNREADABLE as error:
            self._known.doubtful.add(name)
            keys = self._db.execute(SQL["kept_keys"], (row[1], row[0])).fetchone()
            return rows.doubtful_job(row, name, keys, error)

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
            if statement in ANYHOW and touched < len(many):
                touched += self._anyhow(statement, many)
                if touched == len(many) or (statement in MAY_BE_MISSING and touched < len(many)):
                    return
            raise RuntimeError(f"{statement} touched {touched} rows where {len(many)} were decided")

    def _anyhow(self, statement: str, many: Sequence[Row]) -> int:
        """Run it by the numbers of queue and job alone, over rows of which some are not where their job says; how many there were."""
        start = self._db.total_changes()
        queue, job = ANYHOW[statement]
        self._db.executemany(SQL[f"{statement}_anyhow"], [(row[queue], row[job]) for row in many])
        FOUND.note(statement.removeprefix("delete_"), [row[job] for row in many], "it is not where the jobs' own rows say")
        return self._db.total_changes() - start
