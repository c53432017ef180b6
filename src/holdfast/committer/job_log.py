"""What happened to jobs between their attempts: they waited for their group or a budget, were released, or were retried or promoted by hand.

No row has it: it is held in memory on the store's side, as the history of queues is, and begins with the server. Bounded: the `JOBS_LOGGED` jobs
to which something happened last, each with its `JOB_EVENTS_LOGGED` last events.

    commit ─▶ committed() ─▶ an event begins, or the one that was open ends
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from holdfast.job.job import DEAD, LEASED, READY, SCHEDULED, UNFINISHED, Job, State
from holdfast.limits import JOB_EVENTS_LOGGED, JOBS_LOGGED
from holdfast.messages.views import Between
from holdfast.stores.store import Change

Blocked = Callable[[str], bool]
"""Whether an account is blocked now."""


class JobLog:
    """The log of one node. `now` is the store's time everywhere."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[int, list[Between]] = OrderedDict()

    def of(self, job_id: int) -> list[Between]:
        """What happened to a job, the oldest first."""
        return list(self._jobs.get(job_id, ()))

    def committed(self, changes: Iterable[Change], now: int, blocked: Blocked) -> None:
        """Take note of what one commit changed."""
        for change in changes:
            before, after = change.before, change.after
            if after is None:
                if before is not None:
                    self._jobs.pop(before.id, None)
                continue
            stood = before is not None and (before.held or before.waits is not None)
            usual = before is None or before.state is READY or after.state not in UNFINISHED  # it was put, leased, or has ended
            if usual and not (stood or after.held or after.waits is not None):
                continue
            self._changed(before, after, now, blocked)

    def _changed(self, before: Job | None, after: Job, now: int, blocked: Blocked) -> None:
        if before is not None:
            self._by_hand_or_released(before, after, now)
        was, is_ = _stands(before), _stands(after)
        if was != is_:
            if was is not None and before is not None:
                self._end(before, was, now)
            if is_ is not None:
                what, of_it = is_
                if what == "waits_for_budget" and blocked(of_it):
                    what = "blocked"
                self._note(after.id, Between(what, of_it, now, None, after.attempt))

    def _by_hand_or_released(self, before: Job, after: Job, now: int) -> None:
        lease = before.lease
        if lease is not None:
            ended = after.lease is None or after.lease.fence != lease.fence
            spent = after.failures + after.crashes > before.failures + before.crashes
            if ended and not spent and after.state in UNFINISHED:
                self._note(after.id, Between("released", lease.worker, lease.leased_at, now, before.attempt))
        elif before.state in (DEAD, State.CANCELLED) and after.state in UNFINISHED:
            self._note(after.id, Between("retried", "", now, now, before.attempt))
        elif before.state is SCHEDULED and before.ready_at > now and after.state in (READY, LEASED):
            self._note(after.id, Between("promoted", "", now, now, before.attempt))

    def _end(self, before: Job, stood: tuple[str, str], now: int) -> None:
        """The wait that is open ends; one that began before the server did has no beginning."""
        kept = self._jobs.get(before.id)
        if kept and kept[-1].ended_at is None:
            last = kept.pop()
            self._note(before.id, Between(last.what, last.of, last.began_at, now, last.attempt))
        else:
            self._note(before.id, Between(*stood, None, now, before.attempt))

    def _note(self, job_id: int, event: Between) -> None:
        kept = self._jobs.setdefault(job_id, [])
        kept.append(event)
        del kept[:-JOB_EVENTS_LOGGED]
        self._jobs.move_to_end(job_id)
        if len(self._jobs) > JOBS_LOGGED:
            self._jobs.popitem(last=False)


def _stands(job: Job | None) -> tuple[str, str] | None:
    """What keeps a ready job out of its queue's line: its group, or an account of a budget."""
    if job is None:
        return None
    if job.waits is not None:
        return "waits_for_budget", job.waits
    return ("held", job.extras.group_key or "") if job.held else None
