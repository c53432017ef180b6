"""Why a job is not running, in sentences: pure functions of the facts that the store tells."""

from holdfast import limits
from holdfast.job.job import ENDED, State
from holdfast.messages.budget_views import WaitFacts
from holdfast.messages.fair_views import TurnFacts
from holdfast.messages.views import JobFacts
from holdfast.units import counted, is_or_are


def reasons(facts: JobFacts) -> list[tuple[str, str]]:
    """Why the job is not running, as (code, sentence); for a job that runs or has ended, its state."""
    job, now = facts.job, facts.now
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
    return [*_waiting(facts), *_deadline(facts)]


def _waiting(facts: JobFacts) -> list[tuple[str, str]]:
    """Why a scheduled or ready job is not running."""
    job, queue, now = facts.job, facts.queue, facts.now
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


def _deadline(facts: JobFacts) -> list[tuple[str, str]]:
    if facts.job.deadline is None:
        return []
    return [("expires", f"It ends as expired in {max(0, facts.job.deadline - facts.now)} ms, unless a worker has it by then.")]


def _keeps(facts: JobFacts, wait: WaitFacts) -> bool:
    """Whether this account keeps the job from starting: it stands in its line, or the account could not pay either."""
    name = "" if wait.budget is None else wait.budget.name
    return (
        facts.job.waits == f"{name}/{wait.account.key}"
        or wait.account.blocked_until > facts.now
        or wait.account.left < wait.cost
    )


def _for_budget(facts: JobFacts, wait: WaitFacts) -> str:
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


_ENDED = {
    "failed": "failed permanently",
    "attempts_exhausted": "all attempts failed",
    "crashed": "its workers crashed too often",
    "worker_gone": "the only worker that could run it was removed",
    "buried": "buried by a beanstalkd client",
    "unreadable": "its row in the store can't be read",
    "refused": "it could not be enqueued when it was taken in; its errors say why",
    "expired": "its deadline passed before a worker had it",
}


def _because(reason: str | None) -> str:
    if not reason or reason == State.CANCELLED.value:
        return ""
    return f": {_ENDED[reason]}" if reason in _ENDED else f" ({reason.removeprefix(f'{State.CANCELLED.value}: ')})"


def _in_line(facts: JobFacts) -> list[tuple[str, str]]:
    """What a ready job waits for in its queue."""
    paused = [("type_paused", f"Jobs of {_of_type(facts)} are paused.")] if facts.type in facts.queue.paused_types else []
    return paused + (_held_back(facts) or [*_ahead(facts), *_without_worker(facts)])


def _of_type(facts: JobFacts) -> str:
    return f"the type {facts.type!r} in queue {facts.queue.name}"


def _held_back(facts: JobFacts) -> list[tuple[str, str]]:
    """Why it is not in the order of its queue."""
    extras = facts.job.extras
    if facts.job.waits is not None:
        return [("waits_for_budget", _for_budget(facts, wait)) for wait in facts.waits if _keeps(facts, wait)]
    if facts.job.held:
        holders = ", ".join(str(holder) for holder in facts.group_holders)
        return [("group_held", f"Group limit reached: group {extras.group_key!r} is held by job {holders}.")]
    if extras.worker is not None:
        return [("one_worker", f"Only worker {extras.worker} may run it, and it is not asking for a job.")]
    return []


def _ahead(facts: JobFacts) -> list[tuple[str, str]]:
    if facts.turn is not None and facts.turn.ahead:
        return [("waits_for_turn", _turn(facts.turn))]
    if facts.ahead:
        more = facts.ahead >= limits.POSITION_COUNTED
        many = f"{facts.ahead} or more jobs" if more else counted(facts.ahead, "job")
        return [("in_line", f"{many} of its queue {is_or_are(facts.ahead)} ahead of it.")]
    return []


def _turn(turn: TurnFacts) -> str:
    many = f"{turn.ahead} or more jobs" if turn.ahead >= limits.POSITION_COUNTED else counted(turn.ahead, "job")
    own = f", {turn.own} of them of its own fair key" if turn.own else ""
    return f"{counted(turn.keys, 'fair key')} share the queue, in turns: about {many} {is_or_are(turn.ahead)} ahead of it{own}."


def _without_worker(facts: JobFacts) -> list[tuple[str, str]]:
    """That nobody is known who could run it."""
    on_queue = facts.workers_on_queue
    if facts.workers and not facts.workers_on_queue:
        none = f"None of the {facts.workers} registered workers takes jobs"
        whom = "The one registered worker does not take jobs" if facts.workers == 1 else none
        return [("no_worker", f"{whom} from {facts.queue.name}.")]
    if on_queue and not facts.workers_on_type:
        whom = "The one registered worker does" if on_queue == 1 else f"The {on_queue} registered workers do"
        return [("no_worker_for_type", f"{whom} not take jobs of {_of_type(facts)}.")]
    if on_queue and facts.silent >= on_queue:
        whom = "The one registered worker" if facts.silent == 1 else f"All {facts.silent} registered workers"
        has, seconds = ("has" if facts.silent == 1 else "have"), limits.WORKER_SILENT_MS // 1_000
        return [("no_worker", f"{whom} of {facts.queue.name} {has} sent no heartbeat for more than {seconds} s.")]
    return []
