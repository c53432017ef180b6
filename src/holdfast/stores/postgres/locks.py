"""The beginning of a batch: all locks are taken in one order, so that nodes never deadlock.

A queue's row is the lock of everything in it: a transaction that changes a job, its order, its unique key or its group holds
the row of its queue until the commit. So a batch locks the queues that it names, and those of the jobs and leases that it
names, all at once in the order of their ids. A queue that turns out to be needed later is waited for only if its id is the
highest; otherwise it is locked if it is free, and if not, the batch restarts and locks it with the others. Queues that another
transaction holds for long (`held_queues.py`) are left out: a command that needs one is refused alone. Rows of batches of jobs are locked after
all queues (`job_batches.py`): from then on a further queue is never waited for.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from holdfast.job.budget import Budget
from holdfast.job.by_type import Typed
from holdfast.job.fair import Sharing
from holdfast.job.job_batch import JobBatch
from holdfast.job.queue import Queue
from holdfast.limits import ID_MAX, INSTANT_MAX
from holdfast.stores import formats, rows
from holdfast.stores.postgres.cache import Cache
from holdfast.stores.postgres.held_queues import HASTY_MS, HeldQueues, Wanted
from holdfast.stores.postgres.replication import Replication
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.store import Prefetch, TryAgain
from holdfast.stores.unreadable import FOUND

BEGIN = "BEGIN; SET LOCAL synchronous_commit = 'on'"
_HASTY = f"{BEGIN}; SET LOCAL lock_timeout = '{HASTY_MS}ms'"
_QUEUE_COLUMNS = 16
_UNASKED = 64  # ids reserved if the batch does not say how many it needs
_AHEAD = 256
_IDLE_QUEUES = 64  # whose keys are forgotten in one transaction


class Locks:
    """One transaction's connection, the queues that it has locked, and the ids that it may use."""

    def __init__(
        self, connection: Any, known: Cache, replication: Replication, expected: Prefetch | None, held: HeldQueues
    ) -> None:
        self._db = connection
        self._cache = known
        self._replication = replication
        self._expected = expected
        self._held = held
        self.wanted: Wanted | None = None  # the queues that are being waited for
        self._queues: dict[str, Queue] = {}
        self._absent: set[str] = set()
        self._doubtful: set[str] = set()
        self._floors: dict[int, formats.ReadyFloors | None] = {}
        self._saved_floors: dict[int, str | None] = {}
        self._saved_types: dict[
            int, tuple[tuple[str, ...], Typed | None, Sharing | None]
        ] = {}  # of queues that have something of that
        self._history: tuple[list[str], str] | None = None
        self._job_batches: dict[int, JobBatch | None] = {}  # locked; None: there is none
        self._budgets: dict[str, Budget | None] = {}  # those that are locked
        self._more_idle = False  # there are further queues with lines of keys to forget
        self._due_accounts: list[str] | None = None
        self._interests = 0
        self._workers_version = 0
        self._voters: list[str] = []

    async def begin(self) -> None:
        """Begin; raises `NotReplicated` where too few standbys are in sync."""
        await self._held.look(self._db)
        await self._db.execute(_HASTY if self._held.hasty else BEGIN)
        self._cache.jobs.mark()
        self._cache.fences.mark()
        if self._replication.doubtful:  # then earlier commits may still hold our queues: refuse before waiting for them
            self._replication.admit(*await self._db.fetchrow(SQL["standbys_now"]))
        expected = self._expected
        if expected is None:
            await self._lock((), (), (), ())
            await self._number(_UNASKED, _UNASKED)
            return
        names = set(expected.queues)
        for worker_id in expected.own_lines:
            if (worker := self._cache.workers.get(worker_id)) is not None:
                names.update(worker.queues)
        names -= self._held.names
        numbers = await self._passing(expected) - self._held.queues.keys()
        could_be = sorted(name for name in names if "\0" not in name)  # PostgreSQL has no such text: no queue has such a name
        await self._lock(could_be, sorted(numbers), expected.fences, expected.jobs)
        self._absent = names - self._queues.keys()
        if expected.job_batches:
            await self._lock_job_batches(sorted(expected.job_batches))
        leases = expected.leases if expected.open_ended else min(expected.leases, self._may_lease())
        await self._number(expected.new_jobs, leases)
        if expected.budgets:
            await self.budgets(sorted(expected.budgets))

    async def _lock(self, names: Iterable[str], numbers: Iterable[int], fences: Iterable[int], jobs: Iterable[int]) -> None:
        needed = self._replication.needed > 0
        self.wanted = wanted = (list(names), list(numbers), list(fences), list(jobs))
        found = await self._db.fetch(SQL["lock_queues"], *wanted, needed, list(self._held.queues))
        self.wanted = None
        last = found[-1]  # the clock and the sequences were read after the last lock
        self._voters = self._replication.admit(last["standbys"], last["names"])
        moment = last["now"]
        for row in found:
            if row["id"] is not None:
                self._hold(row)
                moment = max(moment, _seen(row))
        self._cache.clock.read(moment)
        self._interests, self._workers_version = last["interests"], last["workers"]
        for block, newest in ((self._cache.jobs, last["last_job"]), (self._cache.fences, last["last_fence"])):
            block.look(newest)

    def _hold(self, row: Any) -> Queue:
        queue = rows.queue_of(row[:_QUEUE_COLUMNS], self._cache.defaults)
        self._queues[queue.name] = queue
        if not all(0 <= count <= ID_MAX for count in msgspec.structs.astuple(queue.tally)):
            FOUND.note("queue", queue.name, f"{queue.tally}: its counts are impossible; they are recounted")
            self._doubtful.add(queue.name)
        self._cache.names[queue.id] = queue.name
        if queue.paused_types or queue.typed is not None or queue.sharing is not None:
            self._saved_types[queue.id] = (queue.paused_types, queue.typed, queue.sharing)
        floors = self._floors[queue.id] = rows.ready_floors_of(row["ready_floors"], queue.name)
        self._saved_floors[queue.id] = row["ready_floors"] if floors is None else formats.ready_floors_text(floors)
        return queue

    async def _passing(self, expected: Prefetch) -> set[int]:
        """The queues in which time has something to do."""
        numbers: set[int] = set()
        now = expected.now
        if expected.expire or expected.due or expected.overdue or expected.orphans:
            bounds = (
                now,
                self._cache.floor(),
                expected.expire,
                expected.due,
                expected.orphans,
                list(self._held.queues),
                expected.overdue,
            )
            numbers.update(row[0] for row in await self._db.fetch(SQL["passing_queues"], *bounds))
        if expected.fire:
            for (name,) in await self._db.fetch(SQL["schedule_queues"], now, expected.fire):
                if name is not None:
                    numbers.update(row[0] for row in await self._db.fetch(SQL["queue_ids"], [name]))
                else:
                    numbers.update(row[0] for row in await self._db.fetch(SQL["interested_queues"]))
        if expected.owed is not None:
            numbers.update(row[0] for row in await self._db.fetch(SQL["owing_queues"], *expected.owed))
        if expected.accounts:
            due = await self._db.fetch(SQL["due_accounts"], now, expected.accounts)
            self._due_accounts = [row[0] for row in due]
            numbers.update(number for row in due for number in row[1] or ())
        if expected.shares is not None:
            idle = await self._db.fetch(SQL["idle_queues"], _IDLE_QUEUES, *expected.shares)
            self._more_idle = len(idle) == _IDLE_QUEUES
            numbers.update(row[0] for row in idle)
        if expected.forget is not None:
            numbers.update(await self._old(now, *expected.forget))
        return numbers

    async def _old(self, now: int, after: str, limit: int) -> list[int]:
        """Queues of a page with history to drop; they are noted for `with_history`."""
        every = [rows.queue_of(row, self._cache.defaults) for row in await self._db.fetch(SQL["queues_after"], after, limit)]
        page = [queue for queue in every if queue.id not in self._held.queues and queue.tally.history]
        found = [queue.id for queue in page if queue.has_surplus()]
        before = {
            queue.id: now - queue.policy.retention_ms
            for queue in page
            if queue.policy.retention_ms is not None and queue.id not in found
        }
        if before:
            asked = (list(before), list(before.values()))
            found += [row[0] for row in await self._db.fetch(SQL["queues_with_history"], *asked)]
        names = [queue.name for queue in page if queue.id in found]
        self._history = (names, every[-1].name if len(every) == limit else "")
        return found

    async def _lock_job_batches(self, ids: Sequence[int]) -> dict[int, JobBatch]:
        """Lock batches of jobs; see `job_batches.py`."""
        raise NotImplementedError

    async def _number(self, jobs: int, fences: int) -> None:
        """Reserve ids: exactly as many as needed if several nodes write, and some more if this one is alone."""
        blocks = (self._cache.jobs, self._cache.fences)
        wanted = [max(0, need - block.left) for need, block in zip((jobs, fences), blocks, strict=True)]
        if not any(wanted):
            return
        counts = [
            need + (max(_AHEAD, need) if block.alone else 0) if need else 0 for need, block in zip(wanted, blocks, strict=True)
        ]
        row = await self._db.fetchrow(SQL["take_numbers"], *counts)
        for block, first, count in zip(blocks, row, counts, strict=True):
            if first is not None:
                block.fill(first, count)
        if any(block.left < need for block, need in zip(blocks, (jobs, fences), strict=True)):
            await self._number(jobs, fences)  # others took numbers between the look and the taking

    async def budgets(self, names: Sequence[str]) -> dict[str, Budget]:
        """Lock budgets; `budgets.py` implements it."""
        raise NotImplementedError

    async def reserve(self, job_ids: int = 0, fences: int = 0) -> None:
        """Reserve so many."""
        await self._number(job_ids, fences)

    def _may_lease(self) -> int:
        """An upper bound of the jobs that can be leased: every job of our queues."""
        jobs = sum([queue.tally.unfinished + queue.tally.dead for queue in self._queues.values()])
        return jobs + (self._expected.new_jobs if self._expected is not None else 0)

    def take_job_ids(self, count: int) -> int:
        """The first of `count` ids."""
        return self._cache.jobs.take(count)

    def take_fences(self, count: int) -> int:
        """The first of `count` fences."""
        return self._cache.fences.take(count)

    def put_back_numbers(self) -> None:
        """The transaction was rolled back before its commit: its ids were not published."""
        for block in (self._cache.jobs, self._cache.fences):
            block.put_back()

    async def queue(self, name: str) -> Queue | None:
        """The queue with its exact tally, locked; raises `QueueHeld` if it is set aside."""
        held = self._queues.get(name)
        if held is not None or name in self._absent:
            return held
        self._held.check(name)
        found = await self._db.fetchrow(SQL["queue_ids"], [name])
        if found is None:
            self._absent.add(name)
            return None
        highest = max((queue.id for queue in self._queues.values()), default=0)
        waits = found[0] > highest and not self._job_batches and not self._budgets  # queues are locked before these
        try:
            row = await self._db.fetchrow(SQL["lock_queue_by_name" if waits else "lock_queue_by_name_now"], name)
        except asyncpg.LockNotAvailableError:
            if waits:
                self.wanted = ((), [found[0]], (), ())
                raise
            raise TryAgain(f"queue {name} is in use", [name]) from None
        if row is None:
            raise TryAgain(f"queue {name} was removed meanwhile", [name])
        return self._hold(row)


def _seen(row: Any) -> int:
    """The latest time recorded in a queue. An impossible one must not become the time of all other queues."""
    seen: int = row["seen_at"]
    if seen <= INSTANT_MAX:
        return seen
    FOUND.note("queue", row["name"], f"seen_at {seen} is no moment; it is taken for the present one")
    return 0
