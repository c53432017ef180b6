"""How many workers a queue needs: a pure function of its load, for autoscalers."""

from math import ceil

import msgspec

from holdfast.limits import ID_MAX
from holdfast.messages.views import QueueLoad


class Need(msgspec.Struct, frozen=True):
    """What waits and runs, how fast it goes, and how many workers would do.

    `concluded_per_s`: jobs concluded a second, by the last ones, until now. `drain_ms`: in which the backlog is done at that speed; None if
    nothing is concluded. `work_ms`: how long a job is leased until it is concluded, on average; None if none is remembered.
    """

    queue: str
    paused: bool
    backlog: int
    running: int
    scheduled: int
    oldest_ready_ms: int | None
    concluded_per_s: float
    work_ms: float | None
    drain_ms: int | None
    jobs_at_once: int
    workers: int


def need(load: QueueLoad, drain_ms: int, slots: int) -> Need:
    """The need of a queue whose backlog is to be done in `drain_ms` by workers that run `slots` jobs at once."""
    tally = load.info.tally
    backlog, running = tally.ready, tally.leased
    per_s = 0.0 if load.since is None else load.concluded / max(1.0, (load.now - load.since) / 1_000)
    at_once = _at_once(load, drain_ms)
    return Need(
        queue=load.info.name,
        paused=load.info.paused,
        backlog=backlog,
        running=running,
        scheduled=tally.scheduled,
        oldest_ready_ms=None if load.oldest_ready_at is None else _span(load.now - load.oldest_ready_at),
        concluded_per_s=per_s,
        work_ms=load.work_ms,
        drain_ms=0 if not backlog else _span(ceil(backlog / per_s * 1_000)) if per_s else None,
        jobs_at_once=at_once,
        workers=ceil(at_once / slots),
    )


def _span(ms: int) -> int:
    """A span of time that a number in JSON can hold, whatever a damaged row says."""
    return min(max(0, ms), ID_MAX)


def _at_once(load: QueueLoad, drain_ms: int) -> int:
    """Jobs to run at once. Never fewer than run now, nor more than there are; one is enough to begin with, as long as nothing tells
    how long a job takes.
    """
    tally, policy = load.info.tally, load.info.policy
    if load.info.paused:  # nothing new is given out
        return tally.leased
    jobs = tally.ready + tally.leased
    wanted = ceil(jobs * load.work_ms / drain_ms) if load.work_ms is not None else 0
    wanted = min(jobs, max(wanted, tally.leased, 1))
    return wanted if policy.max_running is None else min(wanted, max(policy.max_running, tally.leased))
