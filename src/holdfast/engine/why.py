"""Why a job is not running, in sentences: pure functions of the facts that the store tells."""

from holdfast import limits
from holdfast.job.job import ENDED, State
from holdfast.messages.budget_views import WaitFacts
from holdfast.messages.views import JobFacts
from holdfast.units import counted, is_or_are


def reasons(facts: JobFacts) -> list[tuple[str, str]]:
    """Why the job is not running, as (code, sentence); for a job that runs or has ended, its state."""
    job, queue, now = facts.job, facts.queue, facts.now
    if job.state is State.LEASED and job.lease is not None:
        holder = job.lease.worker or "an unnamed worker"
        left = max(0, job.lease.until - now)
        running = f"Running: attempt {job.attempt} is leased by {holder}; the lease expires in {left / 1000:.1f} s."
        if not facts.silent:
            return [("running", running)]
        seconds = limits.WORKER_SILENT_MS // 1_000
        gone = f"Its worker has sent no heartbeat for more than {seconds} s, and may be gone: the lease can be taken back."
        return [("worker_silent", gone), ("running", running)]
    if job.state in ENDED:
        return [(job.state.value, f"{job.state.value.capitalize()}{_because(job.reason)}.")]
    found: list[tuple[str, str]] = []
    if queue.paused:
        found.append(("queue_paused", f"The queue {queue.name} is paused."))
    if job.state is State.SCHEDULED:
        because = " after a failed attempt" if job.failures else ""
        return [*found, ("scheduled", f"Scheduled{because}: ready in {max(0, job.ready_at - now)} ms.")]
    most, leased = queue.policy.max_running, queue.tally.leased
    if most is not None and leased >= most:
        found.append(
            (
                "max_running",
                f"Max concurrency reached: the queue runs at most {counted(most, 'job')} at once, and {leased} {is_or_are(leased)} running.",
            )
        )
    found += _in_line(facts)
    return found or [("next", "Next in its queue: no worker is asking for a job.")]


def _keeps(facts: JobFacts, wait: WaitFacts) -> bool:
    """Whether this account keeps the job from starting: it stands in its line, or the account could not pay either."""
    name = "" if wait.budget is None else wait.budget.name
    return (
        facts.job.waits == f"{name}/{wait.account.key}"
        or wait.account.blocked_until > facts.now
        or wait.account.left < wait.cost
    )


def _waiting(facts: JobFacts, wait: WaitFacts) -> str:
    budget, account = wait.budget, wait.account
    if budget is None:
        return "Its budget was removed: it goes on in a moment."
    whose = f"the budget {budget.name}{f' (key {account.key})' if account.key else ''}"
    if account.blocked_until > facts.now:
        because = f"{whose} is blocked for {(account.blocked_until - facts.now) / 1000:.1f} s more"
    elif budget.per_ms is None:
        because = f"{account.running} of {counted(budget.limit, 'unit')} of {whose} are held by jobs that run"
    else:
        because = (
            f"of {whose}, {counted(budget.limit, 'unit')} in {budget.per_ms} ms, {account.left} {is_or_are(account.left)} left"
        )
    ahead = f", and {counted(wait.ahead, 'job')} {is_or_are(wait.ahead)} ahead of it" if wait.ahead else ""
    if account.earliest is not None:
        soon = f"in {max(0, account.earliest - facts.now) / 1000:.1f} s at the earliest"
    else:
        soon = "when a unit comes back" if budget.per_ms is None else "after those that are next"
    return f"It costs {counted(wait.cost, 'unit')}: {because}{ahead}. The first in line starts {soon}."


_DEAD = {
    "failed": "failed permanently",
    "attempts_exhausted": "all attempts failed",
    "crashed": "its workers crashed too often",
    "worker_gone": "the only worker that could run it was removed",
    "buried": "buried by a beanstalkd client",
    "unreadable": "its row in the store can't be read",
}


def _because(reason: str | None) -> str:
    if not reason or reason == State.CANCELLED.value:
        return ""
    return f": {_DEAD[reason]}" if reason in _DEAD else f" ({reason})"


def _in_line(facts: JobFacts) -> list[tuple[str, str]]:
    """What a ready job waits for in its queue."""
    extras = facts.job.extras
    if facts.job.waits is not None:
        return [("waits_for_budget", _waiting(facts, wait)) for wait in facts.waits if _keeps(facts, wait)]
    if facts.job.held:
        holders = ", ".join(str(holder) for holder in facts.group_holders)
        return [("group_held", f"Group limit reached: group {extras.group_key!r} is held by job {holders}.")]
    if extras.worker is not None:
        return [("one_worker", f"Only worker {extras.worker} may run it, and it is not asking for a job.")]
    found = []
    if facts.ahead:
        more = facts.ahead >= limits.POSITION_COUNTED
        many = f"{facts.ahead} or more jobs" if more else counted(facts.ahead, "job")
        found.append(("in_line", f"{many} of its queue {is_or_are(facts.ahead)} ahead of it."))
    if facts.workers and not facts.workers_on_queue:
        none = f"None of the {facts.workers} registered workers takes jobs"
        whom = "The one registered worker does not take jobs" if facts.workers == 1 else none
        found.append(("no_worker", f"{whom} from {facts.queue.name}."))
    elif facts.workers_on_queue and facts.silent >= facts.workers_on_queue:
        whom = "The one registered worker" if facts.silent == 1 else f"All {facts.silent} registered workers"
        has, seconds = ("has" if facts.silent == 1 else "have"), limits.WORKER_SILENT_MS // 1_000
        found.append(("no_worker", f"{whom} of {facts.queue.name} {has} sent no heartbeat for more than {seconds} s."))
    return found
