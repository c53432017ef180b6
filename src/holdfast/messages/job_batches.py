"""Batches of jobs: their verbs, their queries, and the answers."""

from collections.abc import Mapping
from typing import ClassVar

from holdfast.job.closing import Closing
from holdfast.job.job import IdempotencyKey, NewJob, Receipt
from holdfast.job.job_batch import NEVER, OWED, WAITS, ClosingJob, JobBatch
from holdfast.limits import LIST_LIMIT
from holdfast.messages.answers import Counted
from holdfast.messages.audit import Deed, Managed
from holdfast.messages.frame import Answer, Command, Frame, Phase, Query


class ShownClosing(Frame, frozen=True):
    """What became of a closing job: `waits`, `owed` (with the reason why it could not be put yet), `never` or `put` (with its id)."""

    on: Closing
    state: str
    queue: str = ""
    job: int | None = None
    refusal: str = ""


class JobBatchInfo(Answer, frozen=True, tag=230):
    """One batch with what became of its closing jobs."""

    batch: JobBatch
    closing: list[ShownClosing] = []


class JobBatchPage(Answer, frozen=True, tag=231):
    """A page of batches, the newest first, and the id before which the next one begins (None: this is the last)."""

    batches: list[JobBatch]
    before: int | None = None


class JobBatchMade(Answer, frozen=True, tag=232):
    """The batch, and its first jobs. `duplicate`, `gone` and `existing` are those of `Enqueued`."""

    id: int
    jobs: list[Receipt]
    duplicate: bool = False
    gone: list[int] = []
    existing: list[int] = []


class MemberPage(Answer, frozen=True, tag=233):
    """Ids of unfinished members in order, and the one after which to go on (None: there are no more)."""

    jobs: list[int]
    after: int | None = None


class MakeJobBatch(Command[JobBatchMade], frozen=True, tag=234):
    """Make a batch with its first jobs: all of it, or nothing."""

    phase: ClassVar[Phase] = Phase.ENQUEUE

    jobs: list[NewJob]
    name: str = ""
    closed: bool = False
    closing: list[ClosingJob] = []
    key: IdempotencyKey | None = None


class CloseJobBatch(Command[JobBatchInfo], frozen=True, tag=235):
    """No more jobs come from outside; what is left to do is what is pending."""

    phase: ClassVar[Phase] = Phase.ENQUEUE

    id: int


class CancelJobBatch(Managed[Counted], frozen=True, tag=236):
    """Close a batch, and cancel these of its jobs; others are left as they are. How many were cancelled or asked to stop."""

    counts: ClassVar[bool] = True

    id: int
    jobs: list[int] = []

    def deed(self) -> Deed:
        """What it does."""
        return Deed("batch.cancel", target=str(self.id))


class PutClosingJobs(Command[Counted], frozen=True, tag=237):
    """Put closing jobs that are owed, of up to `limit` batches after the one with the id `after`. `up_to` of the answer is where to go on; 0:
    from the beginning.
    """

    phase: ClassVar[Phase] = Phase.TIME

    limit: int
    after: int = 0


class GetJobBatch(Query[JobBatchInfo], frozen=True, tag=238):
    """One batch."""

    id: int


class ListJobBatches(Query[JobBatchPage], frozen=True, tag=239):
    """Batches, the newest first: those with an id below `before`, in this state if one is given (`open`, `closed` or `finished`)."""

    limit: int = LIST_LIMIT
    before: int | None = None
    state: str | None = None


class OldestJobBatch(Query[Counted], frozen=True, tag=260):
    """How long ago the oldest batch was made that is not finished, in milliseconds; 0 without one."""


class ListMembers(Query[MemberPage], frozen=True, tag=240):
    """Up to `limit` unfinished members of a batch, after the job with the id `after`."""

    id: int
    limit: int
    after: int = 0


_STATES = {WAITS: "waits", OWED: "owed", NEVER: "never"}


def shown_closing(batch: JobBatch, kept: Mapping[Closing, tuple[str, str]]) -> list[ShownClosing]:
    """What became of its closing jobs; `kept` has the queue and the refusal of those that are not put, as far as they are known."""
    shown = []
    for on in Closing:
        mark = batch.mark(on)
        if mark is not None:
            queue, refusal = kept.get(on, ("", ""))
            shown.append(ShownClosing(on, _STATES.get(mark, "put"), queue, mark if mark > 0 else None, refusal))
    return shown
