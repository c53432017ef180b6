"""One thing done to many jobs by the server: which jobs, how fast, how far it is. Pure, as all rules are.

    started ─▶ running ⇄ paused ─▶ done | cancelled
                 │ ▲
                 └─┘ step: the next jobs by id, each changed or skipped; the cursor is written in the transaction of the changes

The jobs are those with an id below the operation's own, which comes out of the same numbers: none that is put later is one of them. The cursor is the
id up to which all were looked at, so that no job is met twice, however often it ends again, and a crash neither repeats nor omits one.
"""

import enum

import msgspec
from msgspec.structs import replace

from holdfast.auth.actor import NOBODY, Actor
from holdfast.auth.scope import Scope, sees
from holdfast.errors import WrongState
from holdfast.job.job import Job, State
from holdfast.job.meta import Meta
from holdfast.limits import (
    OPERATION_CLAIM_MS,
    OPERATION_SKIPPED_NAMED,
    OPERATION_SKIPPED_REASONS,
    OPERATION_STEP_JOBS,
    OPERATION_STEP_MS,
    OPERATION_WAIT_MAX_MS,
    OPERATION_WAIT_MS,
)

CHANGED = "changed"
"""Why a job is skipped that was found and does not match any more."""
OTHERS = "other"
FOR_ROOM = "waits_for_room"
"""Why an operation stands that moves jobs into a full queue."""
KEY_REVOKED = "key_revoked"
_WINDOW_US = 100_000  # what a late step may catch up on
_ENDED = (State.DEAD, State.CANCELLED, State.CONCLUDED)


class Do(enum.StrEnum):
    """What is done to each job."""

    RETRY = "retry"
    CANCEL = "cancel"
    DELETE = "delete"
    PROMOTE = "promote"
    MOVE = "move"
    RELEASE = "release"
    RESTORE = "restore"


STATES: dict[Do, tuple[State, ...]] = {
    Do.RETRY: (State.DEAD, State.CANCELLED),  # of the cancelled, those that expired
    Do.CANCEL: (State.SCHEDULED, State.READY, State.LEASED),
    Do.DELETE: (State.SCHEDULED, State.READY, *_ENDED),
    Do.PROMOTE: (State.SCHEDULED,),
    Do.MOVE: (State.SCHEDULED, State.READY, *_ENDED),
    Do.RELEASE: (State.LEASED,),
    Do.RESTORE: (State.CANCELLED,),  # but those that expired
}
"""The states of jobs that it can be done to."""
USUAL: dict[Do, tuple[State, ...]] = STATES | {
    Do.RETRY: (State.DEAD,),
    Do.CANCEL: (State.SCHEDULED, State.READY),
    Do.MOVE: (State.SCHEDULED, State.READY),
    Do.DELETE: (),
}
"""Those that are meant where the filter names no state; none: it has to."""


class Doing(enum.StrEnum):
    """The state of an operation."""

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class JobFilter(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The jobs that a listing with these filters shows; or those with the ids `jobs`, where there are any. `before`: ended, or enqueued where they have
    not, at or before this time; `since`: at or after. `error` is in the last error. `worker`: it holds, concluded or failed to do them. `field`: the values
    at paths of the payload. `cancelled_by`: the operation that cancelled them. A payload larger than `text_up_to` is not searched.
    """

    queue: str | None = None
    state: State | None = None
    type: str | None = None
    tag: str | None = None
    text: str | None = None
    meta: Meta = ()
    before: int | None = None
    error: str | None = None
    batch: int | None = None
    text_up_to: int | None = None
    jobs: tuple[int, ...] = ()
    worker: str | None = None
    since: int | None = None
    field: Meta = ()
    cancelled_by: int | None = None


class Skipped(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """How many jobs were skipped for one reason, and the first of them."""

    reason: str
    count: int
    jobs: tuple[int, ...] = ()


class Operation(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One operation. Times are in milliseconds. `total`: the jobs that matched when it began (`at_least`: more may have); `limit`: after so many are
    done it ends; `key`: the access key of who began it; `waits`: why it can't go on just now, after `waited` tries in a row; `next_us`: when the next job is due, in
    microseconds; `worker` works on it until `claimed_until`.
    """

    id: int
    do: Do
    filter: JobFilter
    states: tuple[State, ...]
    began_at: int
    state: Doing = Doing.RUNNING
    to: str = ""
    per_s: float | None = None
    limit: int | None = None
    scope: Scope | None = None
    key: str = ""
    actor: Actor = NOBODY
    total: int = 0
    at_least: bool = False
    cursor: int = 0
    done: int = 0
    skipped: tuple[Skipped, ...] = ()
    waits: str = ""
    waits_why: str = ""
    waited: int = 0
    next_us: int = 0
    worker: str = ""
    claimed_until: int = 0
    ended_at: int | None = None
    reason: str = ""

    @property
    def passed(self) -> int:
        """How many were skipped."""
        return sum([skipped.count for skipped in self.skipped])

    @property
    def missed(self) -> int:
        """How many of those that matched when it began were others by the time it came to them, where all that matched were meant and counted."""
        if self.state is not Doing.DONE or self.limit is not None or self.at_least:
            return 0
        return max(0, self.total - self.done - self.passed)

    @property
    def left(self) -> int:
        """About how many are left: of the jobs that matched when it began, some may have changed since."""
        if self.ended_at is not None:
            return 0
        most = self.total if self.limit is None else min(self.total, self.limit + self.passed)
        return max(0, most - self.done - self.passed)

    @property
    def run(self) -> str:
        """What its entry in the audit log is found by."""
        return f"operation-{self.id}-{self.began_at}"


def cancelled_by(operation: int | None) -> str | None:
    """The reason of the jobs that an operation has cancelled."""
    return None if operation is None else f"{State.CANCELLED.value}: operation {operation}"


def is_searched(wanted: JobFilter) -> bool:
    """Whether each job has to be looked at beyond its queue and its state."""
    given = (
        wanted.type,
        wanted.tag,
        wanted.text,
        wanted.before,
        wanted.error,
        wanted.worker,
        wanted.since,
        wanted.cancelled_by,
    )
    return any(value is not None for value in given) or bool(wanted.meta or wanted.field)


def is_meant(operation: Operation, job: Job, now: int) -> bool:
    """Whether it is one of its jobs by all that the job itself has: its queue, its state, its times."""
    wanted = operation.filter
    if job.id >= operation.id or not sees(operation.scope, job.queue):
        return False
    moment = job.ended_at or job.created_at
    if (wanted.before is not None and moment > wanted.before) or (wanted.since is not None and moment < wanted.since):
        return False
    if operation.do is Do.RELEASE and job.lease is not None:  # a lease that began later is not one that was shown
        # One of a time to come does not: it is from before the clock was set back.
        shown_at = wanted.before if wanted.jobs and wanted.before is not None else operation.began_at
        if shown_at < job.lease.leased_at <= now:
            return False
    if wanted.jobs:  # whether it can be done is for the rule to say
        return True
    if wanted.batch is not None and job.extras.batch != wanted.batch:
        return False
    return job.state in operation.states and wanted.queue in (None, job.queue)


def hidden(operation: Operation) -> Operation:
    """An operation for a caller without payload access: without what was searched for in payloads and errors."""
    return replace(operation, filter=replace(operation.filter, text=None, error=None, field=()))


def is_visible(operation: Operation, scope: Scope | None) -> bool:
    """Whether a caller with this scope may see it, and manage it: it must not reach further than the caller does."""
    if scope is None:
        return True
    if operation.to and not scope.sees(operation.to):
        return False
    if operation.filter.queue is not None:
        return scope.sees(operation.filter.queue)
    own = operation.scope
    return (
        own is not None
        and all(map(scope.sees, own.names))
        and all(prefix.startswith(scope.prefixes) for prefix in own.prefixes)
    )


def allowance(operation: Operation, now: int) -> int:
    """How many jobs may be done now: evenly at `per_s`, by the store's clock, and never more than one step's."""
    most = OPERATION_STEP_JOBS if operation.limit is None else min(OPERATION_STEP_JOBS, operation.limit - operation.done)
    moment = now * 1_000
    if moment < operation.next_us:
        return 0
    if operation.per_s is None:
        return most
    return min(most, 1 + int((moment - max(operation.next_us, moment - _WINDOW_US)) // _interval_us(operation.per_s)))


def due_at(operation: Operation, stepped_at: int) -> int:
    """When the next step is due, if the last one was then: a step of a fast one takes several jobs."""
    due = -(-operation.next_us // 1_000)
    return due if operation.per_s is None else max(due, stepped_at + OPERATION_STEP_MS)


def stepped(
    operation: Operation, now: int, worker: str, cursor: int, done: int, skipped: list[tuple[str, int]], spent: int, last: bool
) -> Operation:
    """After a step: up to `cursor` all were looked at, and with `last` that is all. `spent`: how many of its pace it has used."""
    next_us = operation.next_us
    if operation.per_s is not None:
        next_us = max(next_us, now * 1_000 - _WINDOW_US) + int(spent * _interval_us(operation.per_s))
    after = replace(
        operation,
        cursor=cursor,
        done=operation.done + done,
        skipped=_with(operation.skipped, skipped),
        waits="",
        waits_why="",
        waited=0 if done else operation.waited,
        next_us=next_us,
        worker=worker,
        claimed_until=now + OPERATION_CLAIM_MS,
    )
    if last or after.done == after.limit:
        return ended(after, Doing.DONE, now)
    return after


def waiting(operation: Operation, now: int, code: str, why: str) -> Operation:
    """It can't go on, such as for want of room in a queue: it says so, and tries again soon, then less and less often."""
    wait_ms = min(OPERATION_WAIT_MAX_MS, OPERATION_WAIT_MS << min(operation.waited, 16))
    return replace(operation, waits=code, waits_why=why, waited=operation.waited + 1, next_us=(now + wait_ms) * 1_000)


def ended(operation: Operation, state: Doing, now: int, reason: str = "") -> Operation:
    """It is over."""
    return replace(
        operation,
        state=state,
        ended_at=now,
        reason=reason,
        waits="",
        waits_why="",
        waited=0,
        worker="",
        claimed_until=0,
        next_us=0,
    )


def paused(operation: Operation, pause: bool, now: int) -> Operation:
    """It stops, or goes on, without catching up."""
    _unfinished(operation, "paused" if pause else "resumed")
    state = Doing.PAUSED if pause else Doing.RUNNING
    return replace(
        operation, state=state, waits="", waits_why="", waited=0, next_us=max(operation.next_us if pause else 0, now * 1_000)
    )


def cancelled(operation: Operation, now: int) -> Operation:
    """It ends where it is: what is done stays done."""
    _unfinished(operation, "cancelled")
    return ended(operation, Doing.CANCELLED, now)


def at_rate(operation: Operation, per_s: float | None, now: int) -> Operation:
    """Another pace from now on."""
    _unfinished(operation, "changed")
    return replace(operation, per_s=per_s, waited=0, next_us=now * 1_000)


def is_of_another(operation: Operation, worker: str, now: int) -> bool:
    """Whether another node works on it, which is not silent. `worker` is "" where there is one node only."""
    return bool(worker) and operation.worker not in ("", worker) and operation.claimed_until > now


def _unfinished(operation: Operation, verb: str) -> None:
    if operation.ended_at is not None:
        raise WrongState(
            f"Operation {operation.id} is {operation.state.value} and can't be {verb}.", state=operation.state.value
        )


def _interval_us(per_s: float) -> float:
    return 1_000_000 / per_s


def _with(before: tuple[Skipped, ...], more: list[tuple[str, int]]) -> tuple[Skipped, ...]:
    """The jobs skipped, by reason; past a number of reasons as others."""
    found = {skipped.reason: skipped for skipped in before}
    for why, job in more:
        reason = why if why in found or len(found) < OPERATION_SKIPPED_REASONS else OTHERS
        known = found.get(reason, Skipped(reason, 0))
        jobs = known.jobs if len(known.jobs) >= OPERATION_SKIPPED_NAMED else (*known.jobs, job)
        found[reason] = Skipped(reason, known.count + 1, jobs)
    return tuple(found.values())
