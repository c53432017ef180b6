"""What a queue is: its settings, its contents, and whether it accepts and grants jobs.

Settings that a queue does not set follow the server's defaults, also when those change later: "unset" is distinct from any
value.
"""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET, UnsetType

from holdfast import limits
from holdfast.job.budget import Charge
from holdfast.job.by_type import Typed
from holdfast.job.fair import Sharing
from holdfast.job.job import CONCLUDED, DEAD, LEASED, READY, SCHEDULED, Job, State
from holdfast.job.retry import RetryPolicy


class QueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What an operator sets for one queue. Null means: without a bound; absent means: the server's default."""

    capacity_jobs: int | UnsetType = UNSET
    capacity_bytes: int | UnsetType = UNSET
    lease_ms: int | UnsetType = UNSET
    max_attempts: int | UnsetType = UNSET
    max_crashes: int | UnsetType = UNSET
    max_running: int | UnsetType | None = UNSET
    retention_ms: int | UnsetType | None = UNSET
    retry: RetryPolicy | UnsetType = UNSET
    retention_jobs: int | UnsetType | None = UNSET
    retention_bytes: int | UnsetType | None = UNSET
    expires_in_ms: int | UnsetType | None = UNSET
    budgets: tuple[Charge, ...] | UnsetType = UNSET
    fair: bool | UnsetType = UNSET


class QueuePolicy(msgspec.Struct, frozen=True):
    """The settings in force for one queue. Times in milliseconds, sizes in bytes; None is "no bound"."""

    capacity_jobs: int = limits.CAPACITY_JOBS_DEFAULT
    capacity_bytes: int = limits.CAPACITY_BYTES_DEFAULT
    lease_ms: int = limits.LEASE_MS_DEFAULT
    max_attempts: int = limits.ATTEMPTS_DEFAULT
    max_crashes: int = limits.CRASHES_DEFAULT
    max_running: int | None = None
    retention_ms: int | None = limits.RETENTION_MS_DEFAULT
    retry: RetryPolicy = RetryPolicy()
    retention_jobs: int | None = limits.RETENTION_JOBS_DEFAULT
    retention_bytes: int | None = limits.RETENTION_BYTES_DEFAULT
    expires_in_ms: int | None = None
    budgets: tuple[Charge, ...] = ()
    fair: bool = False

    def with_settings(self, settings: QueueSettings) -> "QueuePolicy":
        """This policy, overridden by `settings`."""
        chosen = {name: value for name in settings.__struct_fields__ if (value := getattr(settings, name)) is not UNSET}
        return msgspec.structs.replace(self, **chosen) if chosen else self


class Tally(msgspec.Struct, array_like=True):
    """How many jobs of a queue are in each state, the bytes of its unfinished payloads, and those of the payloads and results of
    its history. Exact.
    """

    scheduled: int = 0
    ready: int = 0
    leased: int = 0
    concluded: int = 0
    dead: int = 0
    cancelled: int = 0
    bytes: int = 0
    history_bytes: int = 0

    @property
    def unfinished(self) -> int:
        """Jobs that count against the capacity."""
        return self.scheduled + self.ready + self.leased

    @property
    def history(self) -> int:
        """Jobs that are kept although they are done or cancelled."""
        return self.concluded + self.cancelled

    def move(self, before: State | None, after: State | None, size: int, result_size: int = 0) -> None:
        """Count one job from one state into another; None is "not there". `result_size` is that of a job which ends, or has ended."""
        if before is READY and after is LEASED:  # the transitions of most jobs
            self.ready -= 1
            self.leased += 1
        elif before is LEASED and after is CONCLUDED:
            self.leased -= 1
            self.concluded += 1
            self.bytes -= size
            self.history_bytes += size + result_size
        elif before is None and after is READY:
            self.ready += 1
            self.bytes += size
        else:
            if before is not None:
                self._add(before, -1, size, result_size)
            if after is not None:
                self._add(after, 1, size, result_size)

    def _add(self, state: State, n: int, size: int, result_size: int) -> None:
        if state is READY:
            self.ready += n
        elif state is LEASED:
            self.leased += n
        elif state is CONCLUDED:
            self.concluded += n
            self.history_bytes += n * (size + result_size)
            return
        elif state is SCHEDULED:
            self.scheduled += n
        elif state is DEAD:
            self.dead += n
            return
        else:
            self.cancelled += n
            self.history_bytes += n * (size + result_size)
            return
        self.bytes += n * size


class Queue(msgspec.Struct):
    """A queue while the committer works on a batch. `tally` changes with each decision.

    `paused_until` is the time at which a pause ends by itself; 0 if it is not paused, or has no end. `unreadable` has the
    stored settings and pause, if the settings can't be read: the queue is paused then, until they are set again. Jobs of
    `paused_types` are not given out; `typed`: see `job/by_type.py`; `sharing`: see `job/fair.py`.
    """

    id: int
    name: str
    settings: QueueSettings
    policy: QueuePolicy
    paused: bool
    created_at: int
    tally: Tally
    paused_until: int = 0
    unreadable: tuple[str, int] | None = None
    paused_types: tuple[str, ...] = ()
    typed: Typed | None = None
    sharing: Sharing | None = None

    def has_room(self, jobs: int, size: int) -> bool:
        """Whether `jobs` more jobs with `size` bytes of payload in all fit in. What adds nothing always does."""
        tally, policy = self.tally, self.policy
        jobs_fit = jobs <= 0 or tally.unfinished + jobs <= policy.capacity_jobs
        return jobs_fit and (size <= 0 or tally.bytes + size <= policy.capacity_bytes)

    def has_surplus(self) -> bool:
        """Whether the history has more jobs or bytes than the queue is to keep."""
        policy, tally = self.policy, self.tally
        too_many = policy.retention_jobs is not None and tally.history > policy.retention_jobs
        return too_many or (policy.retention_bytes is not None and tally.history_bytes > policy.retention_bytes)

    def outlived(self, oldest: Sequence[Job], now: int) -> list[Job]:
        """Of the oldest jobs of the history, in order, those that are to be forgotten: kept for long enough, or more than fit."""
        policy, tally = self.policy, self.tally
        ended_before = 0 if policy.retention_ms is None else now - policy.retention_ms
        too_many = 0 if policy.retention_jobs is None else tally.history - policy.retention_jobs
        too_large = 0 if policy.retention_bytes is None else tally.history_bytes - policy.retention_bytes
        gone = []
        for job in oldest:
            if (job.ended_at or 0) >= ended_before and too_many <= 0 and too_large <= 0:
                break
            gone.append(job)
            too_many -= 1
            too_large -= job.stored_bytes
        return gone

    def may_lease(self) -> int:
        """How many jobs may be leased now, of those that are ready."""
        if self.paused:
            return 0
        if self.policy.max_running is None:
            return self.tally.ready
        return max(0, min(self.tally.ready, self.policy.max_running - self.tally.leased))

    def may_lease_at(self, now: int) -> int:
        """The same at a later time: a pause may have ended by then."""
        if self.paused and 0 < self.paused_until <= now:
            return msgspec.structs.replace(self, paused=False).may_lease()
        return self.may_lease()
