"""Problems, each with a link to its fix: the first thing that an operator sees. Pure: numbers in, sentences out, the worst first."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from holdfast.doors.web import formats
from holdfast.messages.budget_views import BudgetInfo
from holdfast.messages.inbox import InboxState
from holdfast.messages.views import HeldQueue, QueueStats, SilentWorker, StoreStats
from holdfast.units import counted, is_or_are

NEARLY_FULL = 80.0  # per cent of a bound
NOBODY_MS = 30_000  # a ready job that waits longer while nothing is leased has no worker
_ALONE = 3  # queues with the same kind of problem that have a line each; of more only so many
_WORST = 2
KINDS = {
    "full": "are full and refuse new jobs",
    "nearly_full": f"are more than {NEARLY_FULL:.0f} % full",
    "paused_types": "give out no jobs of paused types",
    "paused": "are paused",
    "no_worker": "have ready jobs and no active worker",
    "failing": "have failures",
}
"""What several queues have in common."""
_BLOCKED_MS = 60_000  # a block that ends sooner needs nobody
_INBOX_WAITS_MS = 10_000  # what was enqueued by SQL is taken in within a tenth of a second
_TYPES_TOLD = 5  # paused types that are named
FAILING = 0.2  # share of attempts that go wrong
FAILING_RATE = 0.05  # per second: one odd failure is no trend
FAILURES = 3  # since the server started: nor is it just after a start, when rates are those of few seconds


@dataclass(frozen=True)
class Problem:
    """One problem to look at. `level` is bad or warn; `path` and `query` lead to where it can be fixed."""

    level: str
    subject: str
    text: str
    mend: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    harm: float = 0.0  # jobs that it concerns × seconds that the oldest of them waits
    kind: str = ""  # of a queue: several queues with the same are one line
    jobs: int = 0
    oldest_ms: int = 0


def problems(
    store: StoreStats,
    queues: Iterable[QueueStats],
    dead: int,
    died_lately: int,
    silent: Sequence[SilentWorker] = (),
    budgets: Iterable[BudgetInfo] = (),
) -> list[Problem]:
    """All problems, the most harmful first: the store, then by jobs and how long they wait."""
    found = of_store(store) + of_time(store)
    queues = list(queues)
    for queue in queues:
        found += of_queue(queue)
    found = folded(found) + of_workers(silent) + of_budgets(budgets)
    if dead:
        lately = f"; {formats.number(died_lately)} died in the last hour" if died_lately else ""
        found.append(
            Problem(
                "bad" if died_lately else "warn",
                counted(dead, "dead job"),
                f"{'waits' if dead == 1 else 'wait'} for a decision: retry or delete{lately}.",
                "Show failures",
                "/failures",
                harm=dead,
            )
        )
    return sorted(found, key=lambda problem: (problem.level != "bad", -problem.harm, problem.subject))


def kinds_of(queue: QueueStats) -> set[str]:
    """The kinds of problems that a queue has."""
    return {problem.kind for problem in of_queue(queue)}


def folded(found: list[Problem]) -> list[Problem]:
    """The same kind of problem of more than `_ALONE` queues in one line, with the jobs of all and the longest wait: the worst stand by themselves."""
    kept: list[Problem] = []
    same: dict[str, list[Problem]] = defaultdict(list)
    for problem in found:
        (same[problem.kind] if problem.kind else kept).append(problem)
    for kind, some in same.items():
        some.sort(key=lambda problem: -problem.harm)
        alone = _WORST if len(some) > _ALONE else len(some)
        kept += some[:alone]
        if rest := some[alone:]:
            jobs, oldest = sum(one.jobs for one in rest), max(one.oldest_ms for one in rest)
            waits = f"; the oldest has waited {formats.duration(oldest)}" if oldest else ""
            text = f"{KINDS[kind]}: {counted(jobs, 'unfinished job')}{waits}."
            harm = sum(one.harm for one in rest)
            kept.append(
                Problem(
                    rest[0].level,
                    f"{formats.number(len(rest))} other queues",
                    text,
                    "Show them",
                    "",
                    {"only": kind, "sort": "oldest"},
                    harm,
                    kind,
                )
            )
    return kept


def of_memory(level: str, environment: str, tone: str) -> list[Problem]:
    """Jobs that are only in memory, in an environment with a name that means production."""
    if level != "memory" or tone != "red":
        return []
    text = f"are kept in memory only, in an environment named {environment}: all are lost when the server stops."
    return [Problem("bad", "Jobs", text, "Start the server with a store on disk", "/store", harm=math.inf)]


def of_workers(silent: Sequence[SilentWorker]) -> list[Problem]:
    """Workers that hold jobs and send no heartbeats: what they hold waits until its leases end, or are taken back."""
    alone = _WORST if len(silent) > _ALONE else len(silent)
    found = []
    for worker in silent[:alone]:
        name = f"The worker {worker.name or worker.id}"
        text = f"has sent no heartbeat for {formats.duration(worker.silent_ms)}, and holds {counted(worker.jobs, 'job')}."
        back = {"way": "release", "holder": worker.id}
        found.append(Problem("bad", name, text, "Take them back…", "/bulk", back, harm=_harm(worker)))
    if rest := silent[alone:]:
        text = f"send no heartbeats, and hold {counted(sum(worker.jobs for worker in rest), 'job')}."
        harm = sum(map(_harm, rest))
        found.append(Problem("bad", f"{formats.number(len(rest))} other workers", text, "Show them", "/workers", harm=harm))
    return found


def _harm(worker: SilentWorker) -> float:
    return worker.jobs * worker.silent_ms / 1_000


def of_budgets(budgets: Iterable[BudgetInfo]) -> list[Problem]:
    """Budgets that are blocked for some time yet, while jobs wait for them."""
    blocked = [info for info in budgets if info.waiting and info.budget.blocked_until - info.now > _BLOCKED_MS]
    blocked.sort(key=lambda info: -info.waiting)
    alone = _WORST if len(blocked) > _ALONE else len(blocked)
    found = []
    for info in blocked[:alone]:
        text = f"is blocked for {formats.duration(info.budget.blocked_until - info.now)} more: {_wait(info.waiting)} for it."
        name = info.budget.name
        found.append(
            Problem("warn", f"The budget {name}", text, "See who waits, unblock it", "/budgets", {"name": name}, info.waiting)
        )
    if rest := blocked[alone:]:
        waiting = sum(info.waiting for info in rest)
        text = f"are blocked: {_wait(waiting)} for them."
        found.append(Problem("warn", f"{formats.number(len(rest))} other budgets", text, "Show them", "/budgets", harm=waiting))
    return found


def _wait(jobs: int) -> str:
    return f"{counted(jobs, 'job')} {'waits' if jobs == 1 else 'wait'}"


def of_certificate(warning: str | None, expires: str) -> list[Problem]:
    """The TLS certificate near its end, or past it."""
    if warning is None:
        return []
    expired = warning == "tls_certificate_expired"
    text = f"{'expired' if expired else 'expires'} on {expires}: from then on no client that verifies it connects."
    return [Problem("bad" if expired else "warn", "The TLS certificate", text, "Renew it: it is reloaded by itself", "/store")]


def of_store(store: StoreStats) -> list[Problem]:
    """Problems of how jobs are stored."""
    return [*_of_keeping(store), *_of_rows(store), *_of_held(store), *_of_inbox(store.inbox)]


def _of_inbox(inbox: InboxState | None) -> list[Problem]:
    """Jobs that applications enqueued by SQL, and that no node takes in."""
    if inbox is None or inbox.oldest_ms < _INBOX_WAITS_MS:
        return []
    text = (
        f"enqueued by SQL {is_or_are(inbox.rows)} not taken in; the first has waited for {formats.duration(inbox.oldest_ms)}."
    )
    return [Problem("bad", counted(inbox.rows, "job"), text, "Look into the logs of the nodes", "/store")]


def _of_held(store: StoreStats) -> list[Problem]:
    """Queues whose rows other programs lock: each is blocked alone, until that program's transaction ends."""
    held = store.held_queues
    if not held:
        return []
    if len(held) == 1:
        text = f"is blocked, because its row in the database is locked by {holder(held[0])}. Other queues are not affected."
        return [Problem("bad", f"The queue {held[0].name}", text, how_to_end(held[0]), "/store")]
    text = "are blocked, because other programs lock their rows in the database. Other queues are not affected."
    return [Problem("bad", f"{formats.number(len(held))} queues", text, "Show the locks, and end them", "/store")]


def holder(held: HeldQueue) -> str:
    """Who locks a queue, in words."""
    if not held.pid:
        return held.program
    state = f", {held.state}" if held.state else ""
    return f"{held.program} (process {held.pid}{state}) since {formats.duration(held.held_ms)}"


def how_to_end(held: HeldQueue) -> str:
    """What ends the lock."""
    if held.pid:
        return f"Commit there, or SELECT pg_terminate_backend({held.pid})"
    return "Commit there; holdfast doctor may name the process"


def _of_rows(store: StoreStats) -> list[Problem]:
    """Unreadable rows: set aside until somebody repairs or removes them."""
    count = sum(store.unreadable.values())
    if not count:
        return []
    tables = ", ".join(sorted(store.unreadable))
    text = f"of the store could not be read since the server started ({tables}) and {is_or_are(count)} set aside."
    return [Problem("bad", counted(count, "row"), text, "Show them", "/store")]


def _of_keeping(store: StoreStats) -> list[Problem]:
    kept = store.replication
    if kept is not None and kept.in_sync < kept.needed:
        text = f"are in sync: {kept.in_sync} of {kept.needed} needed. New jobs are refused until enough are back."
        return [Problem("bad", "Too few standbys", text, "Check the missing standbys", "/store", harm=math.inf)]
    if store.accepting:
        return []
    if store.reason in (None, "storage_full"):
        text = f"is nearly full ({formats.size(store.disk_free_bytes)} free): new jobs are refused."
        return [Problem("bad", "The disk", text, "Free disk space, or purge ended jobs", "/store", harm=math.inf)]
    return [
        Problem("bad", "The store", f"accepts no new jobs: {store.reason}.", "See the server's log", "/store", harm=math.inf)
    ]


def of_time(store: StoreStats) -> list[Problem]:
    """What is wrong with the clock, and with what happens by it."""
    found: list[Problem] = []
    if store.clock_behind_ms:
        text = (
            f"was set back by {formats.duration(store.clock_behind_ms)}. Until it catches up, no lease expires, no scheduled job gets "
            "ready, and no schedule runs."
        )
        found.append(
            Problem("bad", "The machine's clock", text, "Correct the clock and restart the server", "/store", harm=math.inf)
        )
    if store.schedules_aside:
        many = store.schedules_aside != 1
        subject = counted(store.schedules_aside, "schedule")
        text = f"can't run and {'are' if many else 'is'} set aside; all others continue."
        found.append(Problem("bad", subject, text, "Show schedules", "/schedules"))
    if store.backups is not None and store.backups.failing:
        text = f"failed: {store.backups.failing.rstrip('.')}. The server continues, and tries again."
        found.append(Problem("bad", "The backup that was due", text, "See the server's log", "/store"))
    if store.jobs_aside:
        subject = counted(store.jobs_aside, "job")
        text = "can't be made ready or released on time; all others continue."
        found.append(Problem("bad", subject, text, "Show which and why", "/store"))
    return found


def of_queue(queue: QueueStats) -> list[Problem]:
    """What is wrong with one queue."""
    info, tally = queue.info, queue.info.tally
    name, page = info.name, f"/queues/{info.name}"
    found: list[Problem] = []
    harm = tally.unfinished * (1 + (queue.oldest_ready_ms or 0) / 1_000)
    found += _of_capacity(queue, harm)
    if info.paused_types and tally.ready and not info.paused:
        names = ", ".join(info.paused_types[:_TYPES_TOLD]) + (" …" if len(info.paused_types) > _TYPES_TOLD else "")
        found.append(
            Problem(
                "warn",
                name,
                f"gives out no jobs of paused types: {names}.",
                "Resume a type",
                page,
                harm=harm,
                kind="paused_types",
            )
        )
    if info.paused:
        if tally.unfinished:
            until = f" until {formats.moment(info.paused_until)}" if info.paused_until else ""
            found.append(
                Problem(
                    "warn",
                    name,
                    f"is paused{until}, with {counted(tally.unfinished, 'unfinished job')}.",
                    "Resume the queue",
                    page,
                    harm=harm,
                    kind="paused",
                )
            )
    elif tally.ready and not tally.leased and (queue.oldest_ready_ms or 0) > NOBODY_MS and queue.rates.get("leased", 0) < 0.01:
        waiting = formats.duration(queue.oldest_ready_ms)
        found.append(
            Problem(
                "bad",
                name,
                f"has {counted(tally.ready, 'ready job')} and no active worker; the oldest has waited {waiting}.",
                "Show its workers",
                page,
                harm=harm,
                kind="no_worker",
            )
        )
    found += _failing(queue, harm)
    return [replace(one, jobs=tally.unfinished, oldest_ms=queue.oldest_ready_ms or 0) for one in found]


def _of_capacity(queue: QueueStats, harm: float) -> list[Problem]:
    """Whether it is full, or nearly."""
    tally, policy = queue.info.tally, queue.info.policy
    name, page = queue.info.name, f"/queues/{queue.info.name}"
    found: list[Problem] = []
    full = fullness(queue)
    if full >= 99.995:
        which = "jobs" if tally.unfinished >= policy.capacity_jobs else "bytes"
        found.append(
            Problem(
                "bad",
                name,
                f"is full ({which}) and refuses new jobs.",
                "Raise its capacity, or see why it does not drain",
                page,
                harm=harm,
                kind="full",
            )
        )
    elif full >= NEARLY_FULL:
        found.append(
            Problem(
                "warn",
                name,
                f"is {full:.0f} % full.",
                "Raise its capacity, or see why it does not drain",
                page,
                harm=harm,
                kind="nearly_full",
            )
        )
    return found


def _failing(queue: QueueStats, harm: float) -> list[Problem]:
    """Whether too many of its attempts fail."""
    wrong = queue.rates.get("failed", 0.0) + queue.rates.get("expired", 0.0)
    done = queue.rates.get("concluded", 0.0)
    count = queue.totals.get("failed", 0) + queue.totals.get("expired", 0)
    if count < FAILURES or wrong < FAILING_RATE or wrong / (wrong + done) < FAILING:
        return []
    share = round(100 * wrong / (wrong + done))
    text = f"has failures: {share} % of its attempts fail ({formats.rate(wrong)} per second)."
    name = queue.info.name
    return [Problem("bad", name, text, "Show failures", "/failures", {"queue": name}, harm=harm, kind="failing")]


def fullness(queue: QueueStats) -> float:
    """How full a queue is in per cent of the nearer bound, jobs or bytes."""
    tally, policy = queue.info.tally, queue.info.policy
    return max(formats.percent(tally.unfinished, policy.capacity_jobs), formats.percent(tally.bytes, policy.capacity_bytes))
