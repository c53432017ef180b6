"""One batch on the writing connection. What is decided gathers, and is written when something is read or when the batch commits.

Round trips of a batch, each with all of its jobs: begin, lock (with the clock), then those that it has a use for: leases, keys, heads of the
lines; one to write (two where rows leave and enter one table); commit, and with standbys the proof. Five for new jobs, seven for leases or their
ends, about eleven for all at once.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain
from typing import Any

import asyncpg
import msgspec

from holdfast.errors import InvalidRequest
from holdfast.job.job import IdempotencyKey
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings, Tally
from holdfast.job.registry import Roster, Worker
from holdfast.job.schedule import Schedule
from holdfast.limits import BUDGET_BLOCK_MS_MAX, ERRORS_KEPT, OUTAGE_MS, QUEUES, READY_FLOORS
from holdfast.messages.audit import AuditEntry
from holdfast.stores import audit_rows, formats, rows
from holdfast.stores.audit_store import AuditTally
from holdfast.stores.postgres.access_keys import KeyRows
from holdfast.stores.postgres.budgets import BudgetRows
from holdfast.stores.postgres.fair import FairRows
from holdfast.stores.postgres.job_batches import JobBatchRows
from holdfast.stores.postgres.operations import OperationRows
from holdfast.stores.postgres.sql import SQL, columns, in_steps, together
from holdfast.stores.rows import Row
from holdfast.stores.store import Change, KeptAnswer, TryAgain
from holdfast.stores.unreadable import FOUND
from holdfast.stores.writer import ANYHOW, ENTERING, LOOSE, MAY_BE_MISSING, Writer

_COMMIT_MARK = "SET LOCAL synchronous_commit = 'off'; COMMIT"  # no caller waits for it, and nothing depends on it


class PostgresTransaction(BudgetRows, FairRows, JobBatchRows, KeyRows, OperationRows):
    """See `stores.store.Transaction`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._rows: defaultdict[str, list[Row]] = defaultdict(list)
        self._trim: set[int] = set()
        self._changes_waiting = False
        self._wrote = False
        self._room_for_queues: int | None = None  # None: it makes none so far
        self.committed = False

    @property
    def wrote(self) -> bool:
        """Whether anything was changed."""
        return self._wrote

    # Queues

    def policy(self, settings: QueueSettings) -> QueuePolicy:
        """These settings over the server's defaults."""
        return self._cache.defaults.with_settings(settings)

    async def create_queue(self, name: str, now: int) -> Queue:
        """Create a queue with the default settings. Queues are created under one lock: two transactions that create the same
        ones could deadlock.
        """
        try:
            if self._room_for_queues is None:
                await self._db.execute(SQL["lock_new_queues"])
                self._room_for_queues = QUEUES - await self._value("queue_count")
            if self._room_for_queues <= 0:
                raise InvalidRequest(f"There are {QUEUES} queues already; that is the most.", field="queue")
            row = await self._db.fetchrow(SQL["insert_queue"], name, now, formats.ready_floors_text({}))
        except asyncpg.LockNotAvailableError:
            self._held.making(name)
            raise TryAgain(f"another transaction is creating queue {name}", [name]) from None
        if row is None:
            raise TryAgain(f"another node has just created queue {name}", [name])
        self._room_for_queues -= 1
        self._held.made(name)
        self._note_written()
        self._absent.discard(name)
        return self._hold(row)

    async def remove_from_inbox(self, jobs: Sequence[int]) -> None:
        """Remove these, which are locked."""
        await self._settle()
        done = await self._db.execute(SQL["remove_from_inbox"], list(jobs))
        if done != f"DELETE {len(jobs)}":
            raise RuntimeError(f"{len(jobs)} rows were to be taken out of the inbox: {done}")
        self._note_written()

    async def save_queues(self, queues: Sequence[Queue]) -> None:
        """Write settings, pause and tally."""
        moment = self._cache.clock.now()
        for queue in queues:
            if queue.name in self._doubtful:
                queue.tally = Tally(*(await self._fetch("count_anew", queue.id))[0])
                self._doubtful.discard(queue.name)
            if queue.tally.ready == 0:
                self._floors[queue.id] = {}
            floors = self._saved_floors[queue.id] = formats.ready_floors_text(self._floors[queue.id])
            tally = msgspec.structs.astuple(queue.tally)
            settings = rows.settings_text(queue)
            self._rows["update_queue"].append((queue.id, settings, rows.pause_of(queue), *tally, moment, floors))
            if (queue.paused_types, queue.typed, queue.sharing) != self._saved_types.get(queue.id, ((), None, None)):
                self._rows["update_queue_types"].append((queue.id, *rows.types_row(queue)))
                self._saved_types[queue.id] = (queue.paused_types, queue.typed, queue.sharing)

    async def delete_queue(self, queue: Queue) -> None:
        """Delete a queue without jobs."""
        await self._settle()
        for statement in ("clear_lines_all", "clear_clocks", "delete_fair_weights", "delete_queue"):
            await self._db.execute(SQL[statement], queue.id)
        self._note_written()
        self._queues.pop(queue.name, None)
        self._floors.pop(queue.id, None)
        self._saved_floors.pop(queue.id, None)
        self._saved_types.pop(queue.id, None)
        self._cache.names.pop(queue.id, None)
        self._absent.add(queue.name)

    async def queue_names(self, after: str, limit: int) -> list[str]:
        """Names in order."""
        return [row[0] for row in await self._fetch("queue_names", after, limit)]

    async def with_history(self, after: str, limit: int) -> tuple[list[str], str]:
        """Queues with history to drop; they were determined when the batch began, and are locked."""
        if self._history is None:
            await self._old(self._cache.clock.now(), after, limit)
        assert self._history is not None, "it was just looked for"
        return self._history

    # Interests, schedules, workers

    async def interests_version(self) -> int:
        """Grows with every change of any interest."""
        return self._interests

    async def set_interest(self, queue: Queue, match: str | dict[str, str] | None) -> bool:
        """Write or remove a queue's interest."""
        if match is None:
            changed = await self._value("delete_interest", queue.id)
        else:
            changed = await self._value("save_interest", queue.id, formats.match_text(match))
        if changed is None:
            return False
        self._interests = await self._db.fetchval(SQL["bump_interests"])
        self._note_written()
        return True

    async def interests(self) -> dict[str, str | dict[str, str]]:
        """Every queue's interest."""
        return rows.interests_of(await self._fetch("interests"))

    async def schedule(self, name: str) -> Schedule | None:
        """One schedule, locked."""
        found = await self._fetch("lock_schedule", name)
        return rows.schedule_of(*found[0]) if found else None

    async def schedule_count(self) -> int:
        """How many schedules there are."""
        return int(await self._value("schedule_count"))

    async def schedules_due(self, now: int, limit: int) -> list[Schedule]:
        """The due schedules that no other node is processing."""
        return [rows.schedule_of(*row) for row in await self._fetch("schedules_due", now, limit)]

    async def save_schedule(self, schedule: Schedule) -> None:
        """Write a schedule."""
        queue = None if schedule.spec.publish else schedule.spec.job.queue
        row = (schedule.name, schedule.try_at, schedule.paused, queue, formats.schedule_json(schedule))
        await self._db.execute(SQL["save_schedule"], *row)
        self._note_written()

    async def schedules_after(self, name: str, limit: int) -> list[Schedule]:
        """By their names."""
        return [rows.schedule_of(*row) for row in await self._fetch("schedules_after", name, limit)]

    async def postpone_schedule(self, name: str, try_at: int) -> None:
        """Look at it later."""
        await self._db.execute(SQL["postpone_schedule"], name, try_at)
        self._note_written()

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule."""
        await self._db.execute(SQL["delete_schedule"], name)
        self._note_written()

    async def served(self) -> tuple[bool, int] | None:
        """Write this node's mark. The table of marks is unlogged, and not part of what is proven."""
        row = await self._db.fetchrow(SQL["served"])
        self._marked = True
        return row["away_ms"] is None or row["away_ms"] > OUTAGE_MS, row["graced"] or 0

    async def grant_grace(self, until: int, limit: int) -> int:
        """Extend leases after an outage."""
        self._marked = True
        count = int(await self._value("grant_grace", until, limit))
        if count:
            self._note_written()
        return count

    async def clamp_times(self, now: int, lease_until: int, ready_at: int) -> tuple[int, int]:
        """Draw in what lies too far ahead."""
        queues = int(await self._value("clamp_seen", now)) + int(
            await self._value("clamp_accounts", now, now + BUDGET_BLOCK_MS_MAX)
        )
        leases = int(await self._value("clamp_leased", lease_until))
        jobs = int(await self._value("clamp_scheduled", ready_at))
        if queues or leases or jobs:
            self._note_written()
        return leases, jobs

    async def clamp_history(self, now: int, after: int, limit: int) -> int:
        """Correct times too far in the future."""
        jobs = int(await self._value("clamp_ended", now, after, limit))
        answers = int(await self._value("clamp_answers", now, after, limit))
        if jobs or answers:
            self._note_written()
        return jobs + answers

    async def workers(self) -> Roster:
        """All registered workers, as this node last read them unless another has changed them."""
        known = self._cache
        if known.workers_version != self._workers_version:
            found = await self._fetch("workers")
            known.workers = Roster(map(rows.worker_of, found))
            self._workers_version = known.workers_version = found[0][-1] if found else self._workers_version
        return known.workers

    async def save_worker(self, worker: Worker) -> None:
        """Write a worker."""
        (await self.workers())[worker.id] = worker
        await self._db.execute(
            SQL["save_worker"],
            worker.id,
            worker.name,
            formats.queues_text(worker.queues),
            worker.state.value,
            worker.registered_at,
            formats.types_text(worker.types),
            worker.process.host,
            worker.process.pid,
            worker.process.version,
        )
        await self._bump_workers()

    async def delete_workers(self, ids: Sequence[str]) -> None:
        """Remove workers."""
        known = await self.workers()
        for worker_id in ids:
            known.remove(worker_id)
        gone = await self._value("delete_workers", list(ids))
        await self._bump_workers()
        if gone != len(ids):
            self._cache.workers_version = None  # the table differs from the cache: other rows exist, which this removes

    async def _bump_workers(self) -> None:
        self._workers_version = self._cache.workers_version = await self._db.fetchval(SQL["bump_workers"])
        self._note_written()

    async def holding(self, ids: Sequence[str]) -> set[str]:
        """The workers among these that have a lease."""
        return {row[0] for row in await self._fetch("holding_workers", list(ids))}

    async def continue_from(self, job: int, fence: int) -> None:
        """Go on after these; not undone by a rollback."""
        await self._db.execute(SQL["continue_from"], job, fence)

    # Writing

    async def keep_answers(self, answers: Sequence[tuple[IdempotencyKey, KeptAnswer]], now: int) -> None:
        """Keep first answers; in order, so that two nodes with the same keys wait for each other and not in a circle."""
        for key, answer in sorted(answers, key=lambda pair: (pair[0].scope, pair[0].key)):
            ids = [receipt.id for receipt in answer.receipts] or [0]
            receipts = formats.receipts_json(answer.receipts)
            self._rows["insert_kept_answer"].append((key.scope, key.key, answer.digest, receipts, min(ids), max(ids), now))

    async def write_audit(self, entries: Sequence[AuditEntry]) -> list[int]:
        """Add entries, or to those of the same run. The row of the tally is locked from here on, so all else is written before."""
        await self._settle()
        self._note_written()
        numbers = [0] * len(entries)
        if any(entry.run for entry in entries):
            await self._db.fetchval(SQL["tally_audit"], 0, 0)  # two nodes may carry on the same run
            for place, entry in enumerate(entries):
                if entry.run and (number := await self._db.fetchval(SQL["audit_run"], entry.run)) is not None:
                    numbers[place] = number
                    await self._db.execute(SQL["go_on_audit"], entry.outcome, entry.done, entry.refused, entry.run)
        sizes = [0 if number else audit_rows.size_of(entry) for entry, number in zip(entries, numbers, strict=True)]
        count = numbers.count(0)
        if count:
            number = await self._db.fetchval(SQL["tally_audit"], count, sum(sizes)) - count
            added: list[Row] = []
            for place, size in enumerate(sizes):
                if size:
                    number += 1
                    numbers[place] = number
                    added.append(audit_rows.row_of(entries[place], number, size))
            await self._db.execute(SQL["insert_audit"], *map(list, zip(*added, strict=True)))
        return numbers

    async def audit_tally(self) -> AuditTally:
        """How many entries there are."""
        found = await self._fetch("audit_tally")
        return AuditTally(*found[0]) if found else AuditTally()

    async def count_audit(self) -> AuditTally:
        """Recount the entries. The row of the tally is locked first, so that no other node adds one meanwhile."""
        await self._value("tally_audit", 0, 0)
        self._note_written()
        return AuditTally(*await self._db.fetchrow(SQL["count_audit"]))

    async def oldest_audit(self, limit: int) -> list[tuple[int, int, int]]:
        """The oldest entries."""
        return [(row[0], row[1], audit_rows.counted(row[2])) for row in await self._fetch("oldest_audit", limit)]

    async def forget_audit(self, up_to: int) -> int:
        """Remove the oldest entries. Other nodes may be doing the same."""
        await self._value("tally_audit", 0, 0)
        found = await self._db.fetch(SQL["forget_audit"], up_to)
        await self._db.execute(SQL["untally_audit"], len(found), sum([audit_rows.counted(row[0]) for row in found]))
        self._note_written()
        return len(found)

    async def write(self, changes: Sequence[Change]) -> None:
        """Take note of the rows to move."""
        if self._changes_waiting:
            await self._settle()
        names = {job.queue for change in changes if (job := change.after or change.before) is not None}
        ids = {name: await self._id(name) for name in names}
        writing = Writer(
            ids,
            {number for name, number in ids.items() if self._queues[name].typed is not None},
            {number for name, number in ids.items() if self._queues[name].sharing is not None},
        )
        for change in changes:
            writing.add(change)
        entered = [row for name in ENTERING for row in writing.rows.get(name, ())]
        self._keep_floors(writing.rows["delete_ready"], entered)
        for name, many in writing.rows.items():
            if many:
                self._rows[name] += many
        self._trim |= writing.trim
        self._changes_waiting = True
        self._forget_loaded()

    def _keep_floors(self, left: Sequence[Row], entered: Sequence[Row]) -> None:
        """Move the bounds below which a queue has no ready job: up after its head was taken, down for a job that comes back."""
        gone = {(row[0], row[1], row[2]) for row in left}
        for number, head in self._heads.items() if gone else ():
            floors = self._floors.get(number)
            stopped: set[int] = set()
            for job, _ in head if floors is not None else ():
                if (number, job.priority, job.id) not in gone:
                    stopped.add(job.priority)
                elif job.priority not in stopped and floors is not None:
                    floors[job.priority] = job.id + 1
        for row in entered:
            number, priority, job_id = row[0], row[1], row[2]
            floors = self._floors.get(number)
            if floors is None:
                continue
            if job_id < floors.get(priority, job_id + 1):
                floors[priority] = job_id
            if len(floors) > READY_FLOORS:
                self._floors[number] = None

    async def _settle(self) -> None:
        if not self._rows:
            return
        waiting, self._rows = self._rows, defaultdict(list)
        self._changes_waiting = False
        self._forget_loaded()
        for step in in_steps(waiting):
            counts = await self._db.fetchrow(
                together(step), *chain.from_iterable(columns(name, waiting[name]) for name in step)
            )
            for name, count in zip(step, counts, strict=True):
                if count is not None and name not in LOOSE and count != len(waiting[name]):
                    if name in ANYHOW and count < len(waiting[name]):
                        found = count + await self._anyhow(name, waiting[name])
                        if found == len(waiting[name]) or (name in MAY_BE_MISSING and found < len(waiting[name])):
                            continue
                    raise RuntimeError(f"{name} touched {count} rows where {len(waiting[name])} were decided")
        if self._trim:
            await self._db.execute(SQL["trim_errors"], list(self._trim), ERRORS_KEPT)
            self._trim.clear()
        self._note_written()

    async def _anyhow(self, statement: str, many: Sequence[Row]) -> int:
        """Run it by the ids of queue and job alone, over rows that may not be in their job's state; returns how many there
        were.
        """
        queue, job = ANYHOW[statement]
        found = 0
        for row in many:
            done: str = await self._db.execute(SQL[f"{statement}_anyhow"], row[queue], row[job])
            found += int(done.rpartition(" ")[2])
        FOUND.note(statement.removeprefix("delete_"), [row[job] for row in many], "it is not where the jobs' own rows say")
        return found

    def _note_written(self) -> None:
        self._wrote = True

    async def commit(self) -> None:
        """Return when it is flushed here, and proven to be flushed on the required number of standbys."""
        for number, floors in self._floors.items():
            text = formats.ready_floors_text(floors)
            if text != self._saved_floors.get(number):
                self._rows["update_ready_floors"].append((number, text))
                self._saved_floors[number] = text
        await self._settle()
        if not self._wrote:
            if self._expected is not None and self._expected.unheard:
                await self._db.execute(_COMMIT_MARK if self._marked else "ROLLBACK")
                self.committed = True
                return
            await self._db.execute(SQL["say_something"])
        self.sent = True
        await self._replication.commit(self._db, self._voters)
        self.committed = True

    _marked = False
    sent = False
