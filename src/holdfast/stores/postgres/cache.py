"""What a node caches between transactions. All of it is verified against the database before use.

Ids of jobs and leases are taken from sequences in blocks. The rest of a block stays in use as long as no other node has taken
ids since: so ids grow in the order in which batches hold their queues, on all nodes, and have gaps only where nodes alternate.
"""

import time
from typing import Any

from holdfast.job.queue import QueuePolicy
from holdfast.job.registry import Roster
from holdfast.limits import QUEUES
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.recent_count import RecentCount
from holdfast.stores.unreadable import FOUND, Looks

_SLACK_MS = 60_000
_WHOLE_SWEEP_S = 60.0
FIRST_ANSWER: tuple[int, str, str] = (-1, "", "")  # before every kept answer, by (at, scope, key)


class DatabaseClock:
    """The database's clock: its last reading plus the time since. It never goes back, whichever server answers.

    A batch reads the clock after it has locked its queues, and no earlier than anything that ever happened in them.
    """

    leaps = 0  # nodes leave their marks in the database instead

    def __init__(self) -> None:
        self._reading: int | None = None
        self._read_at = 0.0
        self._last = 0
        self._step = 0

    def read(self, moment: int) -> None:
        """The database reports this time."""
        if self._reading is not None:
            self._step += moment - self._present()
        self._reading, self._read_at = moment, time.monotonic()

    def behind_ms(self) -> int:
        """How far the database's clock is behind."""
        return 0 if self._reading is None else max(0, self._last - self._present())

    def step_ms(self) -> int:
        """How far the database's clock was moved, or another database's clock is from the one before."""
        step, self._step = self._step, 0
        return step

    def _present(self) -> int:
        return (self._reading or 0) + int((time.monotonic() - self._read_at) * 1000)

    def now(self) -> int:
        """Milliseconds since 1970."""
        if self._reading is None:
            return time.time_ns() // 1_000_000  # before the first connection: nothing is decided by it
        self._last = max(self._last, self._present())
        return self._last


class Block:
    """Ids of one sequence that were taken and not yet used: from `next` up to `last`."""

    def __init__(self) -> None:
        self.next = 1
        self.last = 0
        self._marked = 1
        self.alone = False

    @property
    def left(self) -> int:
        """How many there are."""
        return self.last - self.next + 1

    def look(self, newest: int | None) -> None:
        """`newest` is the last id that any node took: if it is not ours, the rest of our block is too old to be used."""
        self.alone = newest == (self.last or None)
        if not self.alone:
            self.drop()

    def fill(self, first: int, count: int) -> None:
        """Add ids from `first` on; the rest of the block is used first if they follow it, and dropped if other ids came
        between.
        """
        if self.left <= 0 or first != self.last + 1:
            self.next = self._marked = first
        self.last = first + count - 1

    def drop(self) -> None:
        """Use none of these any more."""
        self.next = self._marked = self.last + 1

    def mark(self) -> None:
        """A transaction begins; if it is rolled back, its ids are returned to the block."""
        self._marked = self.next

    def put_back(self) -> None:
        """The ids taken since the mark were not published."""
        self.next = self._marked

    def take(self, count: int) -> int:
        """The first of `count` numbers in a row."""
        if self.left < count:
            raise RuntimeError(f"{count} numbers are wanted and {self.left} were reserved")
        first = self.next
        self.next += count
        return first


class Cache:
    """The memory of one store's writer."""

    def __init__(self, defaults: QueuePolicy) -> None:
        self.defaults = defaults
        self.clock = DatabaseClock()
        self.names: dict[int, str] = {}
        self.workers = Roster()
        self.workers_version: int | None = None
        self.answers_after = FIRST_ANSWER
        self.jobs = Block()
        self.fences = Block()
        self.looks = Looks()
        self.job_batch_count = RecentCount()
        self._lease_floor = 0
        self._due_floor = 0
        self._deadline_floor = 0
        self._swept_at = -_WHOLE_SWEEP_S

    def names_of_few(self) -> None:
        """Before a transaction: names of queues that other nodes have deleted don't gather without end. Who reads keeps the old ones."""
        if len(self.names) > QUEUES:
            self.names = {}

    def floor(self) -> int:
        """No lease, no scheduled job and no deadline is due before this time, as far as known; now and then 0, to scan everything.

        Without it every scan walks over the dead rows of all ended jobs, for as long as an old snapshot keeps them.
        """
        if time.monotonic() - self._swept_at > _WHOLE_SWEEP_S:
            self._swept_at = time.monotonic()
            self._lease_floor = self._due_floor = self._deadline_floor = 0
        return min(self._lease_floor, self._due_floor, self._deadline_floor)

    def leases_swept(self, now: int) -> None:
        """Every lease that had ended by now was found."""
        self._lease_floor = max(self._lease_floor, now - _SLACK_MS)

    def due_swept(self, now: int) -> None:
        """Every scheduled job that was due by now was found."""
        self._due_floor = max(self._due_floor, now - _SLACK_MS)

    def deadlines_swept(self, now: int) -> None:
        """Every job whose deadline had passed by now was found."""
        self._deadline_floor = max(self._deadline_floor, now - _SLACK_MS)

    def forget(self) -> None:
        """The connection is lost: the ids that were taken may have been used."""
        self.jobs.drop()
        self.fences.drop()
        self.workers_version = None
        self._lease_floor = self._due_floor = self._deadline_floor = 0


async def recover_queues(connection: Any) -> None:
    """Create missing rows of queues that have jobs: a job without a queue can't be listed or removed. Each in a transaction, so
    that other nodes see it with the right tally only.
    """
    for (number,) in await connection.fetch(SQL["lost_queues"]):
        await connection.execute("BEGIN")
        await connection.execute(SQL["recover_queue"], number)
        counted = await connection.fetchrow(SQL["count_anew"], number)
        await connection.execute(SQL["update_tally"], *counted, number)
        await connection.execute("COMMIT")
        FOUND.note("queue", number, "it has jobs and its row was missing; it is recreated under the name recovered-NUMBER-…")
