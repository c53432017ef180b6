"""How a job may change.

Only this module decides which changes are allowed. It does no I/O, reads no clock, uses no randomness and knows no store: it
takes a job and returns its successor, or refuses.

                            ┌── extend ──┐
      enqueue        lease  ▼            │   conclude
     ─────────▶ READY ───▶ LEASED ───────┴──────────────▶ CONCLUDED
       │        ▲ ▲ │       │ │ │
       │   due, │ │ │       │ │ └── fail for good · attempts exhausted · crashed too often · bury ──▶ DEAD
       │ promote│ │ └───────┼─│── cancel ──▶ CANCELLED ◀── cancel ── SCHEDULED               │
       ▼        │ └─────────┘ │                                                              │
     SCHEDULED ─┘  release,   │                                                              │
         ▲       expire, lapse│                                                              │
         └────────────────────┘ fail with tries left, release with a delay                   │
                READY ◀───────────── retry, kick ─────────────────────────────────────────────┘

Invariants
  * Only the holder of the current lease ends an attempt; everyone else gets `LeaseLost` and changes nothing.
  * `attempt` grows with each lease and never shrinks. A failure or a crash spends an attempt; a release does not.
  * A job with a cancel request does not run again.
  * A job whose deadline has passed is not leased: it ends as cancelled, with the reason `expired`. A running attempt may go on.
"""

from msgspec.structs import replace

from holdfast.errors import LeaseLost, WrongState
from holdfast.job.job import (
    CONCLUDED,
    DEAD,
    EXPIRED,
    LEASED,
    READY,
    SCHEDULED,
    BeanstalkCounters,
    Extras,
    Job,
    Lease,
    LeaseRef,
    NewJob,
    OnConflict,
    State,
)
from holdfast.job.meta import Meta
from holdfast.limits import ID_MAX, INSTANT_MAX, PRIORITY_MAX

ATTEMPTS_EXHAUSTED = "attempts_exhausted"
CRASHED = "crashed"
FAILED = "failed"
CANCELLED = "cancelled"
WORKER_GONE = "worker_gone"
BURIED = "buried"
UNREADABLE = "unreadable"
SETTLED = "settled"
REFUSED = "refused"
_COUNT_MAX = (1 << 31) - 1


def enqueue(new: NewJob, job_id: int, priority: int, max_attempts: int, now: int, expires_in_ms: int | None = None) -> Job:
    """A new job; scheduled if it is to run later than `now`. `expires_in_ms`: its deadline, from when it is due, unless it names one."""
    ready_at = now + new.delay_ms if new.delay_ms else now
    if new.run_at is not None:
        ready_at = max(now, new.run_at)
    extras = new.extras if expires_in_ms is None else _until(new.extras, ready_at, expires_in_ms)
    state = READY if ready_at <= now else SCHEDULED
    attempt = failures = crashes = 0
    return Job(
        job_id,
        new.queue,
        state,
        priority,
        attempt,
        failures,
        crashes,
        max_attempts,
        len(new.payload),
        now,
        ready_at,
        extras,
    )


def refuse(new: NewJob, job_id: int, priority: int, max_attempts: int, now: int) -> Job:
    """A job that can't be enqueued, and whose producer has gone on: dead, for an operator to decide."""
    return _ended(enqueue(new, job_id, priority, max_attempts, now), DEAD, REFUSED, now)


def due_at(new: NewJob, now: int) -> int:
    """When a new job can be leased at the earliest."""
    return max(now, new.run_at) if new.run_at is not None else now + (new.delay_ms or 0)


def overdue(job: Job, now: int) -> Job:
    """Its deadline has passed, and no worker has it."""
    if job.deadline is None or job.deadline > now:
        raise _wrong(job, "expire", "waiting past its deadline")
    return _ended(job, State.CANCELLED, EXPIRED, now)


def lease(job: Job, granted: Lease) -> Job:
    """Give the right to the next attempt."""
    if job.state is not READY or job.held or job.waits is not None:
        raise _wrong(job, "be leased", "ready")
    return replace(job, state=LEASED, attempt=job.attempt + 1, lease=granted, leased_at=granted.leased_at)


def extend(job: Job, ref: LeaseRef, now: int, until: int) -> Job:
    """Let the lease end at `until` instead; earlier is allowed too."""
    held = _held(job, ref, now)
    return replace(job, lease=replace(held, until=until))


def shorten(job: Job, ref: LeaseRef, now: int, least_ms: int) -> Job:
    """Let the lease last half of what is left of it, but `least_ms`, and never longer than before."""
    held = _held(job, ref, now)
    left = held.until - now
    until = now + max(left // 2, min(left, least_ms))
    return job if until == held.until else replace(job, lease=replace(held, until=until))


def conclude(job: Job, ref: LeaseRef, now: int, result_size: int = 0) -> Job:
    """The work is done."""
    held = _held(job, ref, now)
    return replace(job, state=CONCLUDED, lease=None, ended_at=now, ended_by=held, reason=None, result_size=result_size)


def fail(job: Job, ref: LeaseRef, now: int, retry: bool, delay_ms: int, max_crashes: int | None = None) -> Job:
    """The attempt went wrong: again after `delay_ms`, or dead when no attempt is left or `retry` is false.

    With `max_crashes` it is a crash that its holder has seen: counted as one, and in quarantine after too many.
    """
    held = _held(job, ref, now)
    crashed = max_crashes is not None
    failed = replace(job, failures=job.failures + (not crashed), crashes=job.crashes + crashed)
    if held.cancel_requested:
        return _ended(failed, State.CANCELLED, CANCELLED, now)
    if not retry:
        return _ended(failed, DEAD, FAILED, now)
    if max_crashes is not None and failed.crashes >= max_crashes:
        return _ended(failed, DEAD, CRASHED, now)
    if failed.failures + failed.crashes >= failed.max_attempts:
        return _ended(failed, DEAD, ATTEMPTS_EXHAUSTED, now)
    return _again(failed, now, delay_ms)


def release(job: Job, ref: LeaseRef, now: int, delay_ms: int, priority: int | None) -> Job:
    """Hand the job back unspent, perhaps for later or with another priority."""
    held = _held(job, ref, now)
    if held.cancel_requested:
        return _ended(job, State.CANCELLED, CANCELLED, now)
    return _again(job if priority is None else replace(job, priority=priority), now, delay_ms)


def count_release(job: Job, delay_ms: int) -> Job:
    """A released job with its releases counted, for doors that report them."""
    counters = job.extras.beanstalk or BeanstalkCounters()
    counters = replace(counters, releases=counters.releases + 1, delay_s=delay_ms // 1000)
    return replace(job, extras=replace(job.extras, beanstalk=counters))


def bury(job: Job, ref: LeaseRef, now: int, priority: int) -> Job:
    """The holder buries the job, for an operator to decide. The attempt does not count: it did not fail."""
    held = _held(job, ref, now)
    if held.cancel_requested:
        return _ended(job, State.CANCELLED, CANCELLED, now)
    counters = job.extras.beanstalk or BeanstalkCounters()
    extras = replace(job.extras, beanstalk=replace(counters, buries=counters.buries + 1))
    return _ended(replace(job, priority=priority, extras=extras), DEAD, BURIED, now)


def expire(job: Job, now: int, max_crashes: int) -> Job:
    """Nobody ended the attempt in time: counted as a crash, and in quarantine after too many."""
    if job.lease is None or job.lease.until > now:
        raise _wrong(job, "expire", "leased past its end")
    crashed = replace(job, crashes=job.crashes + 1)
    if job.lease.cancel_requested:
        return _ended(crashed, State.CANCELLED, CANCELLED, now)
    if crashed.crashes >= max_crashes:
        return _ended(crashed, DEAD, CRASHED, now)
    if crashed.failures + crashed.crashes >= crashed.max_attempts:
        return _ended(crashed, DEAD, ATTEMPTS_EXHAUSTED, now)
    return _again(crashed, now, 0)


def lapse(job: Job, now: int) -> Job:
    """The lease expired while no server ran, so its holder could not end it. Released; the attempt does not count."""
    if job.lease is None or job.lease.until > now:
        raise _wrong(job, "lapse", "leased past its end")
    if job.lease.cancel_requested:
        return _ended(job, State.CANCELLED, CANCELLED, now)
    return _again(job, now, 0)


def take_back(job: Job, now: int, attempt: int | None) -> Job:
    """An operator takes the lease back: its holder has lost it, and the attempt does not count. Only of this attempt, if one is named."""
    if job.lease is None:
        raise _wrong(job, "have its lease taken back", "leased")
    if attempt is not None and attempt != job.attempt:
        raise WrongState(
            f"Job {job.id} is in attempt {job.attempt} by now, not in attempt {attempt}.", job_id=job.id, state=job.state.value
        )
    if job.lease.cancel_requested:
        return _ended(job, State.CANCELLED, CANCELLED, now)
    return _again(job, now, 0)


def due(job: Job, now: int) -> Job:
    """A scheduled job is due."""
    if job.state is not SCHEDULED or job.ready_at > now:
        raise _wrong(job, "become ready", "scheduled and due")
    return replace(job, state=READY)


def promote(job: Job, now: int) -> Job:
    """Run a scheduled job now."""
    if job.state is not SCHEDULED:
        raise _wrong(job, "be promoted", "scheduled")
    return replace(job, state=READY, ready_at=now)


def retry(job: Job, now: int, expires_at: int | None = None) -> Job:
    """Give a dead job, or one that expired, all of its tries again. It keeps its deadline if that is still to come; `expires_at` is another."""
    if job.state is not DEAD and not job.has_expired:
        raise _wrong(job, "be retried", "dead or expired")
    extras = _decided(job.extras)
    if expires_at is not None or (extras.expires_at is not None and extras.expires_at <= now):
        extras = replace(extras, expires_at=expires_at)
    return replace(
        job,
        state=READY,
        failures=0,
        crashes=0,
        ready_at=now,
        ended_at=None,
        reason=None,
        extras=extras,
        result_size=0,
    )


def make_ready(job: Job, now: int) -> Job:
    """A job that is not leased, made ready because a caller leases it by its id."""
    if job.state is READY and not job.held:
        return job
    if job.state is SCHEDULED:
        return promote(job, now)
    if job.state is not DEAD:
        raise _wrong(job, "be taken", "ready, scheduled or dead")
    if not job.crashes:
        return retry(job, now)
    counters = job.extras.beanstalk or BeanstalkCounters()
    extras = replace(job.extras, beanstalk=replace(counters, timeouts=counters.timeouts + job.crashes))
    return retry(replace(job, extras=extras), now)


def kick(job: Job, now: int) -> Job:
    """Run a dead or scheduled job now, and count that it was kicked."""
    if job.state not in (DEAD, SCHEDULED):
        raise _wrong(job, "be kicked", "dead or scheduled")
    kicked = make_ready(job, now)
    counters = kicked.extras.beanstalk or BeanstalkCounters()
    return replace(kicked, extras=replace(kicked.extras, beanstalk=replace(counters, kicks=counters.kicks + 1)))


def cancel(job: Job, now: int, reason: str = CANCELLED) -> Job:
    """End a waiting job; ask the holder of a leased one to stop."""
    if job.lease is not None:
        return replace(job, lease=replace(job.lease, cancel_requested=True))
    if job.state not in (SCHEDULED, READY):
        raise _wrong(job, "be cancelled", "scheduled, ready or leased")
    return _ended(job, State.CANCELLED, reason, now)


def restore(job: Job, now: int) -> Job:
    """Undo a cancel: the job waits as before, with the tries and the time that it had. A deadline that has passed meanwhile is none any more."""
    if job.state is not State.CANCELLED or job.has_expired:
        raise _wrong(job, "be restored", "cancelled, and not expired")
    extras = _decided(job.extras)
    if extras.expires_at is not None and extras.expires_at <= now:
        extras = replace(extras, expires_at=None)
    return _at(replace(job, ended_at=None, reason=None, extras=extras, result_size=0), max(job.ready_at, now), now)


def settle(job: Job, now: int, done: bool, reason: str, result_size: int = 0) -> Job:
    """An operator decides about a job that is not leased: done, or never to be. No attempt is made or counted."""
    if job.state not in (SCHEDULED, READY, DEAD):
        raise _wrong(job, "be settled", "scheduled, ready or dead")
    settled = replace(job, result_size=result_size)
    return _ended(settled, CONCLUDED if done else DEAD, f"{SETTLED}: {reason}", now)


def edit(
    job: Job,
    now: int,
    priority: int | None,
    ready_at: int | None,
    max_attempts: int | None,
    size: int | None,
    tags: tuple[str, ...] | None,
    meta: Meta | None = None,
    expires_at: int | None = None,
) -> Job:
    """Change a waiting job; None leaves a field as it is. `expires_at` 0: it has no deadline any more."""
    if job.state not in (SCHEDULED, READY):
        raise _wrong(job, "be edited", "scheduled or ready")
    extras: Extras = _decided(job.extras)
    if tags is not None or meta is not None:
        extras = replace(extras, tags=extras.tags if tags is None else tags, meta=extras.meta if meta is None else meta)
    if expires_at is not None:
        extras = replace(extras, expires_at=expires_at or None)
    edited = replace(
        job,
        priority=job.priority if priority is None else priority,
        max_attempts=job.max_attempts if max_attempts is None else max_attempts,
        size=job.size if size is None else size,
        extras=extras,
    )
    return edited if ready_at is None else _at(edited, max(ready_at, now), now)


def overwrite(job: Job, new: NewJob, now: int, max_attempts: int, expires_in_ms: int | None = None) -> Job:
    """A waiting job whose unique key a new one wants: it gets the new one's options and size, with none of its tries used, and keeps its id,
    its group, its batch and its place in the line. Debounced, it also begins its delay again. Its deadline is the new one's.
    """
    if job.state not in (SCHEDULED, READY):
        raise _wrong(job, "be replaced", "scheduled or ready")
    was = job.extras
    kept = replace(
        new.extras,
        group_key=was.group_key,
        group_limit=was.group_limit,
        worker=was.worker,
        follows=was.follows,
        beanstalk=was.beanstalk,
        batch=was.batch,
        closes=was.closes,
    )
    changed = replace(
        job,
        priority=job.priority if new.priority is None else new.priority,
        max_attempts=max_attempts,
        failures=0,
        crashes=0,
        size=len(new.payload),
        extras=kept,
        waits=None,
    )
    if new.on_conflict is OnConflict.DEBOUNCE:
        until = now + (new.delay_ms or 0)
        if new.debounce_max_ms is not None:
            until = min(until, job.created_at + new.debounce_max_ms)
        changed = changed if until <= now and job.state is READY else _at(changed, max(until, now), now)
    if expires_in_ms is None:
        return changed
    return replace(changed, extras=_until(changed.extras, max(changed.ready_at, now), expires_in_ms))


def orphan(job: Job, now: int) -> Job:
    """The only worker that could lease the job was removed: dead, for an operator to decide."""
    if job.state is not READY or job.extras.worker is None:
        raise _wrong(job, "be orphaned", "ready, for one worker")
    return _ended(job, DEAD, WORKER_GONE, now)


def set_aside(job: Job, now: int) -> Job:
    """The job's row is unreadable: dead, for an operator to decide, with what could be read. Never leased like this."""
    bounded = replace(
        job,
        priority=min(max(job.priority, 0), PRIORITY_MAX),
        attempt=_count(job.attempt) + 1,
        failures=_count(job.failures),
        crashes=_count(job.crashes),
        max_attempts=max(1, _count(job.max_attempts)),
        size=_moment(job.size),
        created_at=_moment(job.created_at),
        ready_at=_moment(job.ready_at),
        extras=_decided(job.extras),
    )
    return _ended(bounded, DEAD, UNREADABLE, now)


def adopt(job: Job) -> Job:
    """Let any worker take a job that was one worker's own."""
    return replace(job, extras=replace(job.extras, worker=None))


def hold(job: Job) -> Job:
    """Keep a ready job back until its group has a place."""
    return replace(job, held=True)


def admit(job: Job) -> Job:
    """Give a held job a place in its group."""
    return replace(job, held=False)


def stand_aside(job: Job, account: str) -> Job:
    """Keep a ready job back until an account of a budget can pay for it."""
    return replace(job, waits=account)


def let_in(job: Job) -> Job:
    """Let a job that stood aside into its queue's line."""
    return replace(job, waits=None)


def may_be_deleted(job: Job) -> None:
    """Raise unless the job can be removed: anything but a leased one."""
    if job.state is LEASED:
        raise _wrong(job, "be deleted", "anything but leased")


def _held(job: Job, ref: LeaseRef, now: int) -> Lease:
    if job.lease is None or job.lease.until <= now or not job.is_held_by(ref):
        raise LeaseLost(
            f"The lease on job {ref.job}, attempt {ref.attempt}, is not held any more.", job_id=ref.job, attempt=ref.attempt
        )
    return job.lease


def _until(extras: Extras, ready_at: int, expires_in_ms: int) -> Extras:
    if extras.expires_at is not None:
        return extras
    return replace(extras, expires_at=min(ready_at + expires_in_ms, INSTANT_MAX))


def _again(job: Job, now: int, delay_ms: int) -> Job:
    if job.extras.expires_at is not None and job.extras.expires_at <= now:
        return _ended(job, State.CANCELLED, EXPIRED, now)
    return _at(replace(job, lease=None), now + delay_ms, now)


def _at(job: Job, ready_at: int, now: int) -> Job:
    state = READY if ready_at <= now else SCHEDULED
    is_ready = state is READY
    return replace(job, state=state, ready_at=ready_at, held=job.held and is_ready, waits=job.waits if is_ready else None)


def _ended(job: Job, state: State, reason: str, now: int) -> Job:
    return replace(job, state=state, lease=None, held=False, waits=None, ended_at=now, reason=reason)


def _decided(extras: Extras) -> Extras:
    """An operator has decided about the job: its readable fields are its fields from now on."""
    return extras if extras.unreadable is None else replace(extras, unreadable=None)


def _count(number: int) -> int:
    return min(max(number, 0), _COUNT_MAX - 1)


def _moment(number: int) -> int:
    return min(max(number, 0), ID_MAX)


def _wrong(job: Job, verb: str, wanted: str) -> WrongState:
    return WrongState(
        f"Job {job.id} is {job.state.value}; to {verb} it must be {wanted}.", job_id=job.id, state=job.state.value
    )
