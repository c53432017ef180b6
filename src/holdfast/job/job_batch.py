"""Batches of jobs: how members are counted, and which closing jobs that makes due. Pure, as `lifecycle.py` is.

    open ── close ──▶ closed ── no member is pending ──▶ finished
                         ▲───── a dead member is retried ─────┘

Invariants
  * `pending` is what is still to come: unfinished members, and closing jobs of other batches that name this one and are not put yet.
  * A member that is removed before it was concluded counts as cancelled: nobody will do it.
  * Each closing job has one mark. It goes from `WAITS` to `OWED`, to `NEVER` or to the id of the job that was put, and from `OWED` to
    an id; no other way, so that no closing job is put twice.
"""

from collections.abc import Iterable

import msgspec

from holdfast.auth.scope import Scope
from holdfast.job.closing import Closes, Closing
from holdfast.job.job import CONCLUDED, DEAD, UNFINISHED, NewJob, State

WAITS, OWED, NEVER = 0, -1, -2
"""Marks of a closing job; a positive one is the id of the job that was put, and None means that none was asked for."""
PENDING, DONE, DIED, DROPPED = range(4)
"""The places of a member among the counts."""
ANY_QUEUE = "*"
JOB_BATCH_STATES = ("open", "closed", "finished")
_QUEUES_KEPT = 32


class ClosingJob(msgspec.Struct, array_like=True):
    """A closing job that is not put yet. `refusal`: why one that is owed could not be put."""

    on: Closing
    job: NewJob
    refusal: str = ""


class JobBatch(msgspec.Struct, array_like=True):
    """A batch, as one transaction has loaded it; it counts there, as a queue's tally does.

    `queues` are those that were named when it was made: who sees all of these sees the batch. `level`: how deep it is nested.
    """

    id: int
    name: str
    created_at: int
    queues: tuple[str, ...] = ()
    closed: bool = False
    pending: int = 0
    concluded: int = 0
    dead: int = 0
    cancelled: int = 0
    success: int | None = None
    finish: int | None = None
    failure: int | None = None
    ended_at: int | None = None
    level: int = 1

    @property
    def total(self) -> int:
        """All members, those that are still to come included."""
        return self.pending + self.concluded + self.dead + self.cancelled

    @property
    def finished(self) -> bool:
        """Whether it is closed and nothing of it is unfinished."""
        return self.closed and self.pending == 0

    @property
    def state(self) -> str:
        """`open`, `closed` or `finished`."""
        return "finished" if self.finished else "closed" if self.closed else "open"

    def mark(self, on: Closing) -> int | None:
        """What became of one closing job."""
        if on is Closing.SUCCESS:
            return self.success
        return self.finish if on is Closing.FINISH else self.failure

    def set_mark(self, on: Closing, mark: int) -> None:
        """Note what became of it."""
        if on is Closing.SUCCESS:
            self.success = mark
        elif on is Closing.FINISH:
            self.finish = mark
        else:
            self.failure = mark

    @property
    def owes(self) -> bool:
        """Whether a closing job is due that could not be put yet."""
        return OWED in (self.success, self.finish, self.failure)

    def closes(self, on: Closing) -> Closes:
        """What its closing job says of it."""
        return Closes(self.id, on, self.name, self.pending, self.concluded, self.dead, self.cancelled)


def place(state: State) -> int:
    """Where a member in this state counts."""
    if state in UNFINISHED:
        return PENDING
    if state is CONCLUDED:
        return DONE
    return DIED if state is DEAD else DROPPED


def count(batch: JobBatch, moved: list[int], now: int) -> None:
    """Add what members did, by their places; whether it is finished follows."""
    batch.pending += moved[PENDING]
    batch.concluded += moved[DONE]
    batch.dead += moved[DIED]
    batch.cancelled += moved[DROPPED]
    settle_end(batch, now)


def settle_end(batch: JobBatch, now: int) -> None:
    """Note when it was finished; a retry of a dead member takes that back."""
    if not batch.finished:
        batch.ended_at = None
    elif batch.ended_at is None:
        batch.ended_at = now


def due(batch: JobBatch, somebody_died: bool = False) -> list[Closing]:
    """The closing jobs that are due now and were not before. `somebody_died`: in this transaction, even if it was retried since."""
    found = []
    if batch.failure == WAITS and (somebody_died or batch.dead):
        found.append(Closing.FAILURE)
    if batch.finished:
        if batch.success == WAITS and not batch.dead and not batch.cancelled:
            found.append(Closing.SUCCESS)
        if batch.finish == WAITS:
            found.append(Closing.FINISH)
    return found


def moot(batch: JobBatch) -> list[Closing]:
    """The closing jobs that can't become due any more, of those that wait."""
    if not batch.finished:
        return []
    found = []
    if batch.success == WAITS and batch.cancelled:
        found.append(Closing.SUCCESS)
    if batch.failure == WAITS and not batch.dead:
        found.append(Closing.FAILURE)
    return found


def makes_due(batch: JobBatch) -> list[Closing]:
    """The closing jobs that the conclude of one pending member would make due."""
    if not batch.closed or batch.pending != 1:
        return []
    after = msgspec.structs.replace(batch, pending=0, concluded=batch.concluded + 1)
    return due(after)


def kept_queues(names: Iterable[str]) -> tuple[str, ...]:
    """The queues by which it is decided who sees a batch; of too many, that only who sees all queues does."""
    found = tuple(sorted(set(names)))
    return found if len(found) <= _QUEUES_KEPT else (ANY_QUEUE,)


def is_seen(batch: JobBatch, scope: Scope | None) -> bool:
    """Whether a caller with this scope sees it: it must see every queue that was named when the batch was made."""
    return scope is None or (bool(batch.queues) and all(scope.sees(name) for name in batch.queues))
