"""Operations in messages: starting and steering them, their steps, and the queries about them and their jobs. Times are in milliseconds."""

from typing import ClassVar

from holdfast.job.job import IdempotencyKey, State
from holdfast.job.operation import Do, JobFilter, Operation
from holdfast.limits import LIST_LIMIT
from holdfast.messages.audit import Deed, Managed
from holdfast.messages.frame import Answer, Command, Phase, Query


class OperationAnswer(Answer, frozen=True, tag=191):
    """An operation as it is now. `duplicate`: the same idempotency key had begun it before."""

    operation: Operation
    now: int
    duplicate: bool = False


class Stepped(Answer, frozen=True, tag=192):
    """An operation after a step, None if it is not there any more; and whether this step was its, or another node's came before."""

    operation: Operation | None
    now: int
    taken: bool = False


class OperationPage(Answer, frozen=True, tag=193):
    """Operations, the newest first, and the id before which the next page begins (None: this is the last)."""

    operations: list[Operation]
    now: int
    before: int | None = None


class FoundJobs(Answer, frozen=True, tag=194):
    """Ids of jobs that match, in order; all up to `through` were looked at. `last`: there are no more."""

    ids: list[int]
    through: int
    last: bool


def words_of(wanted: JobFilter) -> str:
    """A filter in a few words, for the audit log: without what may be a part of a payload or of an error, or name a customer."""
    if wanted.jobs:
        return f"{len(wanted.jobs)} selected jobs" if len(wanted.jobs) > 1 else f"job {wanted.jobs[0]}"
    told = [
        f"{name} {value}"
        for name in ("state", "type", "tag", "batch", "worker", "cancelled_by")
        if (value := getattr(wanted, name)) is not None
    ]
    told += [f"by {name}" for name in ("text", "field", "error", "meta", "before", "since") if getattr(wanted, name)]
    return f"jobs with {', '.join(told)}" if told else "all jobs"


def note_of(do: Do, wanted: JobFilter, states: tuple[State, ...], to: str, per_s: float | None) -> str:
    """What an operation does, for its entry in the audit log."""
    told = f" ({' or '.join(states)})" if wanted.state is None and not wanted.jobs else ""
    return f"{do.value} {words_of(wanted)}{told}{f' to {to}' if to else ''}{'' if per_s is None else f', {per_s:g} a second'}"


class StartOperation(Managed[OperationAnswer], frozen=True, tag=195):
    """Begin one. `total`: how many jobs match (`at_least`: or more). `key`: the id of the access key of who begins it."""

    do: Do
    filter: JobFilter
    states: tuple[State, ...]
    to: str = ""
    per_s: float | None = None
    limit: int | None = None
    total: int = 0
    at_least: bool = False
    key: str = ""
    once: IdempotencyKey | None = None

    def deed(self) -> Deed:
        """What it does."""
        return Deed(
            "operation.start", self.filter.queue or "", "", note_of(self.do, self.filter, self.states, self.to, self.per_s)
        )


class PauseOperation(Managed[OperationAnswer], frozen=True, tag=196):
    """Stop one, or let it go on."""

    id: int
    paused: bool

    def deed(self) -> Deed:
        """What it does."""
        return Deed("operation.pause" if self.paused else "operation.resume", target=str(self.id))


class CancelOperation(Managed[OperationAnswer], frozen=True, tag=197):
    """End one where it is."""

    id: int

    def deed(self) -> Deed:
        """What it does."""
        return Deed("operation.cancel", target=str(self.id))


class SetOperationRate(Managed[OperationAnswer], frozen=True, tag=198):
    """Give one another pace; None: none."""

    id: int
    per_s: float | None

    def deed(self) -> Deed:
        """What it does."""
        return Deed("operation.set", target=str(self.id), note="no pace" if self.per_s is None else f"{self.per_s:g} a second")


class StepOperation(Command[Stepped], frozen=True, tag=199):
    """Do the next of its jobs: `ids`, which were found behind `after`; with all of them it is at `through`, and with `last` at its end. `worker`: the
    node ("" where there is one only). `queues`: those that all of them are in, or go to.
    """

    phase: ClassVar[Phase] = Phase.TIME

    id: int
    after: int
    ids: tuple[int, ...]
    through: int
    last: bool
    worker: str = ""
    queues: tuple[str, ...] = ()
    moves: bool = False

    @property
    def limit(self) -> int:
        """How many jobs it may change."""
        return len(self.ids)


class TrimOperations(Command[Stepped], frozen=True, tag=200):
    """Remove operations that ended longer ago than this, and the oldest of too many."""

    phase: ClassVar[Phase] = Phase.TIME

    keep_ms: int
    keep: int


class ListOperations(Query[OperationPage], frozen=True, tag=201):
    """Operations with an id below `before`, the newest first; or the one with the id `id`. `unfinished`: only those that have not ended."""

    limit: int = LIST_LIMIT
    before: int | None = None
    id: int | None = None
    unfinished: bool = False


class FindJobs(Query[FoundJobs], frozen=True, tag=202):
    """The next jobs by id, behind `after` and below `below`, in these states, that match a filter."""

    filter: JobFilter
    states: tuple[State, ...]
    after: int
    below: int
