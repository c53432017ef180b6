"""One batch on the writing connection: loads, and the writing of changes, table by table with one statement per kind of row."""

from collections.abc import Sequence
from itertools import chain

import apsw
import msgspec

from holdfast.errors import InvalidRequest
from holdfast.job.job import IdempotencyKey
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings, Tally
from holdfast.job.registry import Roster, Worker
from holdfast.limits import ERRORS_KEPT, QUEUES
from holdfast.messages.audit import AuditEntry
from holdfast.stores import audit_rows, formats, rows
from holdfast.stores.audit_store import AuditTally
from holdfast.stores.rows import Row, json_text
from holdfast.stores.sqlite.access_keys import KeyRows
from holdfast.stores.sqlite.cache import FIRST_ANSWER, Cache, is_saved, saved_as
from holdfast.stores.sqlite.job_batches import JobBatchRows
from holdfast.stores.sqlite.loader import Loader
from holdfast.stores.sqlite.operations import OperationRows
from holdfast.stores.sqlite.sql import MANY_AT_ONCE, ROWS_AT_ONCE, SQL
from holdfast.stores.store import Change, KeptAnswer
from holdfast.stores.unreadable import FOUND
from holdfast.stores.writer import ANYHOW, LOOSE, MAY_BE_MISSING, PLACES, Writer


class SqliteTransaction(Loader, KeyRows, JobBatchRows, OperationRows):
    """See `stores.store.Transaction`. Nothing in here waits: SQLite is called in place, so a transaction is never interleaved."""

    def __init__(self, connection: apsw.Connection, known: Cache) -> None:
        super().__init__(connection, known)
        self.committed = False
        self._changes = connection.total_changes()

    @property
    def wrote(self) -> bool:
        """Whether anything was changed."""
        return self._db.total_changes() != self._changes

    # Queues

    def policy(self, settings: QueueSettings) -> QueuePolicy:
        """These settings over the server's defaults."""
        return self._cache.defaults.with_settings(settings)

    async def create_queue(self, name: str, now: int) -> Queue:
        """A new queue with the default settings."""
        known = self._cache
        if known.queue_count is None:
            known.queue_count = self._db.execute(SQL["queue_count"]).get
        if known.queue_count >= QUEUES:
            raise InvalidRequest(f"There are {QUEUES} queues already; that is the most.", field="queue")
        number = self._db.execute(SQL["insert_queue"], (name, "{}", now)).get
        known.queue_count += 1
        settings = QueueSettings()
        return known.keep(Queue(number, name, settings, self.policy(settings), False, now, Tally()))

    async def save_queues(self, queues: Sequence[Queue]) -> None:
        """Write settings, pause and tally."""
        for queue in queues:
            if not is_saved(queue, self._cache.saved.get(queue.name)):
                values = (rows.settings_text(queue), rows.pause_of(queue), *rows.types_row(queue), queue.id)
                self._db.execute(SQL["update_queue"], values)
                self._cache.saved[queue.name] = saved_as(queue)
            if queue.name in self._cache.doubtful:
                self._count_anew(queue)
                self._cache.doubtful.discard(queue.name)
        self._many("update_tally", [(*msgspec.structs.astuple(queue.tally), queue.id) for queue in queues])

    async def delete_queue(self, queue: Queue) -> None:
        """Delete a queue without jobs."""
        for statement in ("clear_lines_all", "clear_clocks", "delete_fair_weights", "delete_queue"):
            self._db.execute(SQL[statement], (queue.id,))
        self._cache.drop(queue)
        self._cache.clocks.pop(queue.id, None)
        self._cache.lines.clear()

    async def queue_names(self, after: str, limit: int) -> list[str]:
        """Names in order."""
        return [name for (name,) in self._cache.fetch_named(self._db, "queue_names", (after, limit))]

    async def with_history(self, after: str, limit: int) -> tuple[list[str], str]:
        """A page of queues; their tallies are cached."""
        names = await self.queue_names(after, limit)
        return names, names[-1] if len(names) == limit else ""

    async def interests_version(self) -> int:
        """Grows with every change of any interest."""
        if self._cache.interests is None:
            self._cache.interests = self._db.execute(SQL["interests_version"]).get
        return self._cache.interests or 0

    async def set_interest(self, queue: Queue, match: str | dict[str, str] | None) -> bool:
        """Write or remove a queue's interest."""
        start = self._db.total_changes()
        if match is None:
            self._db.execute(SQL["delete_interest"], (queue.id,))
        else:
            self._db.execute(SQL["save_interest"], (queue.id, formats.match_text(match)))
        changed = self._db.total_changes() > start
        if changed:
            self._db.execute(SQL["bump_interests"])
            self._cache.interests = None
        return changed

    async def interests(self) -> dict[str, str | dict[str, str]]:
        """Every queue's interest."""
        return rows.interests_of(self._cache.fetch_named(self._db, "interests"))

    async def workers(self) -> Roster:
        """All registered workers."""
        if self._cache.workers is None:
            self._cache.workers = Roster(map(rows.worker_of, self._cache.fetch_named(self._db, "workers")))
        return self._cache.workers

    async def save_worker(self, worker: Worker) -> None:
        """Write a worker."""
        (await self.workers())[worker.id] = worker
        self._db.execute(
            SQL["save_worker"],
            (
                worker.id,
                worker.name,
                formats.queues_text(worker.queues),
                worker.state.value,
                worker.registered_at,
                formats.types_text(worker.types),
                worker.process.host,
                worker.process.pid,
                worker.process.version,
            ),
        )

    async def delete_workers(self, ids: Sequence[str]) -> None:
        """Remove workers."""
        known = await self.workers()
        for worker_id in ids:
            known.remove(worker_id)
        before = self._db.total_changes()
        self._many("delete_worker", [(worker_id,) for worker_id in ids], exact=False)
        if self._db.total_changes() - before != len(ids):
            self._cache.workers = None  # the table differs from the cache: other rows exist, which this removes

    async def holding(self, ids: Sequence[str]) -> set[str]:
        """The workers among these that have a lease."""
        return {str(name) for (name,) in self._db.execute(SQL["holding_workers"], (json_text(ids),))}

    def take_job_ids(self, count: int) -> int:
        """The first of `count` ids."""
        first = self._cache.last_job + 1
        self._cache.last_job += count
        return first

    def take_fences(self, count: int) -> int:
        """The first of `count` fences."""
        first = self._cache.last_fence + 1
        self._cache.last_fence += count
        return first

    async def continue_from(self, job: int, fence: int) -> None:
        """Go on after these."""
        self._cache.last_job = max(self._cache.last_job, job)
        self._cache.last_fence = max(self._cache.last_fence, fence)

    # Writing

    async def keep_answers(self, answers: Sequence[tuple[IdempotencyKey, KeptAnswer]], now: int) -> None:
        """Keep first answers."""
        self._many(
            "insert_kept_answer",
            [
                (key.scope, key.key, answer.digest, formats.receipts_json(answer.receipts), min(ids), max(ids), now)
                for key, answer in answers
                if (ids := [receipt.id for receipt in answer.receipts] or [0])
            ],
        )

    async def forget_answers(self, before: int, limit: int) -> int:
        """Delete old kept answers whose jobs are gone."""
        found = self._db.execute(SQL["old_answers"], (before, *self._cache.answers_after, limit)).fetchall()
        gone = [(scope, key) for _, scope, key, lives in found if not lives]
        self._many("delete_answer", gone)
        self._cache.answers_after = found[-1][:3] if len(found) == limit else FIRST_ANSWER
        return len(gone)

    async def write_audit(self, entries: Sequence[AuditEntry]) -> list[int]:
        """Add entries, or to those of the same run."""
        numbers, new = self._go_on_audit(entries)
        sizes = [audit_rows.size_of(entry) for entry in new]
        if new:
            number = self._db.execute(SQL["tally_audit"], (len(new), sum(sizes))).get - len(new)
            added: list[Row] = []
            for place, given in enumerate(numbers):
                if not given:
                    number += 1
                    numbers[place] = number
                    added.append(audit_rows.row_of(entries[place], number, sizes[len(added)]))
            self._many("insert_audit", added)
        return numbers

    def _go_on_audit(self, entries: Sequence[AuditEntry]) -> tuple[list[int], list[AuditEntry]]:
        """Add to the entries of runs that have one. The number of each, 0 for those that are new, and these."""
        numbers = []
        for entry in entries:
            number = self._db.execute(SQL["audit_run"], (entry.run,)).get if entry.run else None
            if number is not None:
                self._db.execute(SQL["go_on_audit"], (entry.outcome, entry.done, entry.refused, entry.run))
            numbers.append(number or 0)
        return numbers, [entry for entry, number in zip(entries, numbers, strict=True) if not number]

    async def audit_tally(self) -> AuditTally:
        """How many entries there are."""
        row = self._db.execute(SQL["audit_tally"]).fetchone()
        return AuditTally() if row is None else AuditTally(*row)

    async def count_audit(self) -> AuditTally:
        """Recount the entries."""
        row: Row = self._db.execute(SQL["count_audit"]).fetchall()[0]
        return AuditTally(*row)

    async def oldest_audit(self, limit: int) -> list[tuple[int, int, int]]:
        """The oldest entries."""
        return [(row[0], row[1], audit_rows.counted(row[2])) for row in self._db.execute(SQL["oldest_audit"], (limit,))]

    async def forget_audit(self, up_to: int) -> int:
        """Remove the oldest entries."""
        found: Sequence[Row] = self._db.execute(SQL["forget_audit"], (up_to,)).fetchall()
        self._db.execute(SQL["untally_audit"], (len(found), sum([audit_rows.counted(row[0]) for row in found])))
        return len(found)

    async def write(self, changes: Sequence[Change]) -> None:
        """Move the rows."""
        ids = await self._ids(changes)
        queues = self._cache.queues
        writing = Writer(
            ids,
            {number for name, number in ids.items() if queues[name].typed is not None},
            {number for name, number in ids.items() if queues[name].sharing is not None},
        )
        for change in changes:
            writing.add(change)
        for name in sorted(writing.rows, key=PLACES.__getitem__):
            self._many(name, writing.rows[name], exact=name not in LOOSE)
        for job_id in writing.trim:
            self._db.execute(SQL["trim_errors"], (job_id, ERRORS_KEPT))

    async def commit(self) -> None:
        """Return when it is fsynced."""
        self._cache.keep_counters(self._db)
        self._db.execute("COMMIT")
        self.committed = True

    async def _ids(self, changes: Sequence[Change]) -> dict[str, int]:
        known = self._cache.queues
        ids: dict[str, int] = {}
        for change in changes:
            job = change.after or change.before
            if job is not None and (name := job.queue) not in ids:
                ids[name] = known[name].id if name in known else await self._id(name)
        return ids

    def _many(self, statement: str, many: Sequence[Row], exact: bool = True) -> None:
        """Run one statement over rows; each must touch exactly one row, or the stored state is not what was decided on."""
        if len(many) == 1:
            self._db.execute(SQL[statement], many[0])
            touched = self._db.changes()
        else:
            touched = self._several(statement, many)
        if exact and touched != len(many):
            if statement in ANYHOW and touched < len(many):
                touched += self._anyhow(statement, many)
                if touched == len(many) or (statement in MAY_BE_MISSING and touched < len(many)):
                    return
            raise RuntimeError(f"{statement} touched {touched} rows where {len(many)} were decided")

    def _several(self, statement: str, many: Sequence[Row]) -> int:
        start = self._db.total_changes()
        singly = many
        if statement in MANY_AT_ONCE and len(many) >= ROWS_AT_ONCE:
            whole = len(many) - len(many) % ROWS_AT_ONCE
            for first in range(0, whole, ROWS_AT_ONCE):
                values = list(chain.from_iterable(many[first : first + ROWS_AT_ONCE]))
                self._db.execute(MANY_AT_ONCE[statement], values)
            singly = many[whole:]
        self._db.executemany(SQL[statement], singly)
        return self._db.total_changes() - start

    def _anyhow(self, statement: str, many: Sequence[Row]) -> int:
        """Run it by the ids of queue and job alone, over rows that may not be in their job's state; returns how many there
        were.
        """
        start = self._db.total_changes()
        queue, job = ANYHOW[statement]
        self._db.executemany(SQL[f"{statement}_anyhow"], [(row[queue], row[job]) for row in many])
        FOUND.note(statement.removeprefix("delete_"), [row[job] for row in many], "it is not where the jobs' own rows say")
        return self._db.total_changes() - start
