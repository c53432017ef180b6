"""What concerns types beyond one batch: in which queues calls name them, and which queues are being given theirs.

The news of a commit says which types have come to a queue where calls name some, so that only those are woken whom it concerns. Where that is
not known (a queue is resumed, or another job may run at once because one has ended) all are woken, as by all news of other nodes.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from holdfast.job.by_type import Typed
from holdfast.job.job import READY
from holdfast.limits import NEWS_QUEUES, TYPES
from holdfast.messages.answers import Counted
from holdfast.messages.time_commands import FillTypes

if TYPE_CHECKING:
    from holdfast.committer.batch import Batch

_IDLE_LOOK = 10_000  # lines without jobs that are written before it is looked whether there are too many

Came = dict[str, dict[str, int]]
"""By queue, how many jobs of which types have become ready."""


class ByType:
    """One committer's knowledge of it."""

    def __init__(self) -> None:
        self.named: set[str] = set()  # queues of calls with types
        self.filling: set[str] = set()  # queues whose ready jobs are being given their types
        self.sharing: set[str] = set()  # queues that are being sorted by fair keys, or cleared of that
        self.idle_lines = False  # there may be lines of fair queues that can be forgotten
        self.idle_written = 0  # lines without jobs, since they were last found to be not too many

    @property
    def surplus_lines(self) -> bool:
        """Whether it is to be looked whether there are too many lines without jobs."""
        return self.idle_written >= _IDLE_LOOK

    def note_named(self, queues: Collection[str]) -> None:
        """A call names types, and these queues."""
        if len(self.named) > NEWS_QUEUES:
            self.named.clear()  # who waits names them again when it looks again; until then all news is for all
        self.named.update(queues)

    async def came(self, batch: "Batch", names: Collection[str]) -> Came:
        """What has come to those of these queues of which all is known."""
        found: Came = {name: {} for name in self.named.intersection(names) if _is_known(batch, name)}
        if not found:
            return found
        unknown: dict[int, str] = {}
        for job_id, change in (batch.written | batch.changes).items():
            job = change.after
            if job is not None and job.state is READY and not job.held and job.queue in found:
                if change.content is None:
                    unknown[job_id] = job.queue
                else:
                    counts, kind = found[job.queue], change.content.type
                    counts[kind] = counts.get(kind, 0) + 1
        known = batch.types_read
        if missing := [job_id for job_id in unknown if job_id not in known]:
            known.update(await batch.tx.types_of(missing))
        for job_id, name in unknown.items():
            counts, kind = found[name], known.get(job_id, "")
            counts[kind] = counts.get(kind, 0) + 1
        return {name: counts for name, counts in found.items() if len(counts) <= TYPES}


def _is_known(batch: "Batch", name: str) -> bool:
    """Whether nothing but what has come to this queue can be leased now that could not be before."""
    queue = batch.queues.get(name)
    return queue is not None and name not in batch.reopened and (name not in batch.freed or queue.policy.max_running is None)


async def fill(batch: "Batch", command: FillTypes) -> Counted:
    """Give the next jobs of one queue their types; how many there were to do at most."""
    queue = await batch.queue(command.queue)
    if queue is None or queue.typed is None or queue.typed.upto is None:
        batch.by_type.filling.discard(command.queue)
        return Counted(0)
    last = await batch.tx.fill_types(queue, queue.typed.upto, command.limit)
    queue.typed = Typed(last)
    batch.touched.add(queue.name)
    if last is None:
        batch.by_type.filling.discard(queue.name)
        batch.may_give(queue)
    return Counted(command.limit)
