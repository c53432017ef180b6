"""What one transaction does to batches of jobs: members that move gather here, a batch's row is read and written once.

Batch.change ─▶ note() ─▶ moved ─┐
                                 ▼
load ─▶ loaded ─▶ brought_up() counts them ─▶ changed ─▶ written with the rest of the transaction
"""

from holdfast.job import job_batch as rules
from holdfast.job.closing import Closing
from holdfast.job.job import DEAD, READY, UNFINISHED, Job
from holdfast.job.job_batch import DIED, DROPPED, PENDING, ClosingJob, JobBatch

COUNTS = 4  # of a batch
_DEATHS = COUNTS  # behind them: members that became dead, even if they are not any more
_NOTHING = [0] * (_DEATHS + 1)


def moves(before: Job | None, after: Job | None) -> bool:
    """Whether a change of a member can be one of its batch's counts: a lease and a release are none."""
    return before is None or after is None or before.state not in UNFINISHED or after.state not in UNFINISHED


class Members:
    """The batches that one transaction touches."""

    __slots__ = (
        "changed",
        "died",
        "finished",
        "gone",
        "loaded",
        "made",
        "moved",
        "over",
        "owed",
        "put",
        "put_bytes",
        "unsettled",
    )

    def __init__(self) -> None:
        self.moved: dict[int, list[int]] = {}
        self.loaded: dict[int, JobBatch | None] = {}
        self.changed: set[int] = set()
        self.unsettled: set[int] = set()  # counted, and not looked at yet for closing jobs that are due
        self.died: set[int] = set()
        self.made: list[tuple[JobBatch, list[ClosingJob]]] = []
        self.gone: list[tuple[int, Closing]] = []  # closing jobs that were put, or never come
        self.owed: list[tuple[int, Closing, str]] = []  # and those that could not be put, with the code of the refusal
        self.over: list[int] = []  # batches that became finished
        self.put = self.put_bytes = self.finished = 0

    def note(self, batch: int, before: Job | None, after: Job | None) -> None:
        """A member changes. What leaves its place in the batch as it is costs nothing more."""
        if before is None and after is not None and after.state is READY:  # as most do
            self.moved_of(batch)[PENDING] += 1
            return
        old = None if before is None else rules.place(before.state)
        new = rules.place(after.state) if after is not None else DROPPED if old in (PENDING, DIED) else old
        if old == new or new is None:
            return
        moved = self.moved_of(batch)
        moved[new] += 1
        if old is not None:
            moved[old] -= 1
        if after is not None and after.state is DEAD:
            moved[_DEATHS] += 1

    def not_counted(self, batch: int) -> list[int]:
        """The same, to be read only."""
        return self.moved.get(batch, _NOTHING)

    def moved_of(self, batch: int) -> list[int]:
        """What members of a batch did since they were counted last, to be added to."""
        moved = self.moved.get(batch)
        if moved is None:
            moved = self.moved[batch] = [0] * (_DEATHS + 1)
        return moved

    def promise(self, batch: int | None, count: int) -> None:
        """A closing job that is to become a member of this batch is to come, or (-1) is not to come any more."""
        if batch is not None:
            self.moved_of(batch)[PENDING] += count

    def stays(self, batch: int) -> None:
        """A member was removed and put again elsewhere: it is not dropped."""
        self.moved_of(batch)[DROPPED] -= 1

    def brought_up(self, batch: int, now: int) -> JobBatch | None:
        """A loaded batch with everything counted; None if it is not there."""
        found = self.loaded[batch]
        moved = self.moved.pop(batch, None)
        if found is not None and moved is not None:
            was_over = found.ended_at is not None
            rules.count(found, moved, now)
            if not was_over and found.ended_at is not None:
                self.finished += 1
                self.over.append(batch)
            self.changed.add(batch)
            self.unsettled.add(batch)
            if moved[_DEATHS] > 0:
                self.died.add(batch)
        return found
