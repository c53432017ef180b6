"""What the writer remembers between transactions, as it is on disk."""

from typing import Any

import apsw
import msgspec

from holdfast.job.queue import Queue, QueuePolicy, QueueSettings
from holdfast.job.registry import Roster
from holdfast.limits import ID_MAX
from holdfast.stores import rows
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.unreadable import FOUND, Looks

FIRST_ANSWER: tuple[Any, ...] = (-1, "", "")  # before every kept answer, by (at, scope, key)


class Cache:
    """What the writer remembers between transactions, as it is on disk. Thrown away whenever a transaction is undone."""

    def __init__(self, defaults: QueuePolicy) -> None:
        self.defaults = defaults
        self.queues: dict[str, Queue] = {}
        self.names: dict[int, str] = {}
        self.saved: dict[str, tuple[QueueSettings | None, int]] = {}
        self.doubtful: set[str] = set()
        self.looks = Looks()
        self.answers_after: tuple[Any, ...] = FIRST_ANSWER
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
        self.saved[queue.name] = saved_as(queue)
        if not all(0 <= count <= ID_MAX for count in msgspec.structs.astuple(queue.tally)):
            FOUND.note("queue", queue.name, f"{queue.tally}: its counts can't be; they are counted anew")
            self.doubtful.add(queue.name)
        return queue


def saved_as(queue: Queue) -> tuple[QueueSettings | None, int]:
    """What of a queue is written where it has changed; None for settings that can't be read, which are left as they are."""
    return (queue.settings if queue.unreadable is None else None), rows.pause_of(queue)
