"""What the writer remembers between transactions, as it is on disk."""

from typing import Any

import apsw
import msgspec

from holdfast.job.budget import Account, Budget
from holdfast.job.by_type import Typed
from holdfast.job.fair import Clock, Line, LineId, Sharing
from holdfast.job.job_batch import JobBatch
from holdfast.job.queue import Queue, QueuePolicy, QueueSettings
from holdfast.job.registry import Roster
from holdfast.limits import FAIR_LINES_KEPT, ID_MAX, JOB_BATCHES_CACHED
from holdfast.stores import rows
from holdfast.stores.recent_count import RecentCount
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.undecodable import fetch_undecodable, is_text
from holdfast.stores.unreadable import FOUND, Looks, shown

FIRST_LINE = (-1, "", -1)  # before every line of a fair queue, by (queue, key, priority)
FIRST_ANSWER: tuple[Any, ...] = (-1, b"", b"")  # before every kept answer, by (at, scope, key)
_AHEAD = 1_000  # how far the stored counter is ahead, so that most commits need not write it; a kill leaves such a gap


Saved = tuple[QueueSettings | None, int, tuple[str, ...], Typed | None, Sharing | None]


class Lines:
    """Lines of fair queues. `whole`: by queue, whether all that it has are known; `weights`: of its keys, all of them."""

    def __init__(self) -> None:
        self.known: dict[LineId, Line] = {}
        self.whole: dict[int, bool] = {}
        self.weights: dict[int, dict[str, int]] = {}

    def keep(self, line: Line) -> Line:
        """Remember a line as it is on disk, or as it is not there."""
        if len(self.known) >= FAIR_LINES_KEPT:
            self.clear()
        self.known[line.id] = line
        return line

    def clear(self) -> None:
        """Nothing is known any more."""
        self.known.clear()
        self.whole.clear()
        self.weights.clear()


class Cache:
    """What the writer caches between transactions, as stored on disk. Cleared whenever a transaction is rolled back."""

    def __init__(self, defaults: QueuePolicy) -> None:
        self.defaults = defaults
        self.queues: dict[str, Queue] = {}
        self.names: dict[int, str] = {}
        self.queue_count: int | None = None  # in the file, those that are not in `queues` too
        self.saved: dict[str, Saved] = {}
        self.doubtful: set[str] = set()
        self.looks = Looks()
        self.job_batches: dict[int, JobBatch] = {}
        self.job_batch_count = RecentCount()
        self.answers_after: tuple[Any, ...] = FIRST_ANSWER
        self.interests: int | None = None
        self.workers: Roster | None = None
        self.budgets: dict[str, Budget] | None = None
        self.accounts: dict[str, Account] = {}
        self.lines = Lines()
        self.lines_looked_at: tuple[int, str, int] = FIRST_LINE  # up to here, whether they can be forgotten
        self.clocks: dict[int, dict[int, Clock] | None] = {}  # by queue and priority; None: too many to be remembered
        self.last_job = self.last_fence = -1
        self._kept_job = self._kept_fence = -1

    def load_counters(self, connection: apsw.Connection) -> None:
        """Read the last ids used. At the start they continue from there; later, ids that were used stay used."""
        values = dict(connection.execute(SQL["counters"]))
        highest: Any = connection.execute(SQL["highest_numbers"]).fetchone()
        self._kept_job, self._kept_fence = (
            kept if least <= (kept := values.get(name, -1)) < ID_MAX else -1
            for name, least in zip(("job", "fence"), highest, strict=True)
        )
        if self.last_job < 0:
            self.last_job, self.last_fence = max(self._kept_job, highest[0]), max(self._kept_fence, highest[1])

    def keep_counters(self, connection: apsw.Connection) -> None:
        """Store counters that cover all ids used, before they are published."""
        if self.last_job > self._kept_job or self.last_fence > self._kept_fence:
            self._save_counters(connection, _AHEAD)

    def settle_counters(self, connection: apsw.Connection) -> None:
        """No more ids are used: store them exactly, so that the next start continues without a gap."""
        if self.last_job != self._kept_job or self.last_fence != self._kept_fence:
            self._save_counters(connection, 0)

    def _save_counters(self, connection: apsw.Connection, ahead: int) -> None:
        if self._kept_job < 0 or self._kept_fence < 0:
            connection.execute(SQL["restore_counters"])
        self._kept_job, self._kept_fence = self.last_job + ahead, self.last_fence + ahead
        connection.execute(SQL["save_counters"], (self._kept_job, self._kept_fence))

    def recover_queues(self, connection: apsw.Connection) -> None:
        """Create missing rows of queues that have jobs: a job without a queue can't be listed or removed."""
        for (number,) in connection.execute(SQL["lost_queues"]).fetchall():
            connection.execute(SQL["recover_queue"], (number,))
            counted: Any = connection.execute(SQL["count_anew"], (number,)).fetchone()
            connection.execute(SQL["update_tally"], (*counted, number))
            FOUND.note(
                "queue", number, "it has jobs and its row was missing; it is recreated under the name recovered-NUMBER-…"
            )

    def recover_names(self, connection: apsw.Connection) -> None:
        """Give queues, schedules and workers with undecodable names new ones: such a name would fail every listing and can't be
        queried. A cached queue gets its own name back.
        """
        names: Any = connection.execute(SQL["names"])
        for table, number, name in [row for row in names if not is_text(row[2])]:
            bindings = (name,) if number is None else (number, self.names.get(number))
            now = connection.execute(SQL[f"rename_{table}"], bindings).get
            FOUND.note(table, shown(name), f"its name is not valid text; it is renamed to {now}")
        self.workers = None

    def fetch_named(self, connection: apsw.Connection, statement: str, bindings: tuple[Any, ...] = ()) -> list[rows.Row]:
        """Rows whose names are used in further queries: undecodable names are replaced first."""
        try:
            return list(connection.execute(SQL[statement], bindings).fetchall())
        except UnicodeDecodeError:
            self.recover_names(connection)
            return fetch_undecodable(connection, SQL[statement], bindings)

    def forget(self) -> None:
        """The cache can't be trusted any more."""
        self.queues.clear()
        self.job_batches.clear()
        self.queue_count = None
        self.names.clear()
        self.saved.clear()
        self.doubtful.clear()
        self.interests = None
        self.workers = None
        self.budgets = None
        self.accounts.clear()
        self.lines.clear()
        self.clocks.clear()

    def keep_job_batch(self, batch: JobBatch) -> None:
        """Remember a batch of jobs as it is on disk, or will be with the commit of this transaction."""
        if len(self.job_batches) >= JOB_BATCHES_CACHED and batch.id not in self.job_batches:
            del self.job_batches[next(iter(self.job_batches))]
        self.job_batches[batch.id] = batch

    def drop(self, queue: Queue) -> None:
        """This queue is deleted; what other queues count in this transaction stays."""
        self.queues.pop(queue.name, None)
        if self.queue_count is not None:
            self.queue_count -= 1
        self.names.pop(queue.id, None)
        self.saved.pop(queue.name, None)

    def keep(self, queue: Queue) -> Queue:
        """Remember a queue as it is on disk."""
        self.queues[queue.name] = queue
        self.names[queue.id] = queue.name
        self.saved[queue.name] = saved_as(queue)
        if not all(0 <= count <= ID_MAX for count in msgspec.structs.astuple(queue.tally)):
            FOUND.note("queue", queue.name, f"{queue.tally}: its counts are impossible; they are recounted")
            self.doubtful.add(queue.name)
        return queue


def saved_as(queue: Queue) -> Saved:
    """What of a queue is written where it has changed; None for settings that can't be read, which are left as they are."""
    return (
        (queue.settings if queue.unreadable is None else None),
        rows.pause_of(queue),
        queue.paused_types,
        queue.typed,
        queue.sharing,
    )


def is_saved(queue: Queue, saved: Saved | None) -> bool:
    """Whether this equals what is stored. All but the pause is usually the same object, which is a quick check."""
    if saved is not None and queue.settings is saved[0] and queue.unreadable is None and queue.typed is saved[3]:
        return rows.pause_of(queue) == saved[1] and queue.paused_types is saved[2] and queue.sharing is saved[4]
    return saved == saved_as(queue)
