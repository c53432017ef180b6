"""Where each reason why a job does not run is ended: the screen to go to, and what the link says. Pure."""

from collections.abc import Callable
from typing import NamedTuple

from holdfast.messages.views import JobFacts


class Cure(NamedTuple):
    """A link to what ends a reason; its path is that of a screen, perhaps with a fragment. With `action`: a button, which sends `query` as a form."""

    words: str
    path: str
    query: dict[str, str] = {}  # noqa: RUF012  (never changed)
    fragment: str = ""
    action: str = ""


def of(facts: JobFacts, code: str) -> Cure | None:
    """The cure of a reason, by its code; None where waiting is all that there is to do, or the job's own screen has it."""
    return _CURES[code](facts) if code in _CURES else None


def _queue(facts: JobFacts) -> str:
    return f"/queues/{facts.queue.name}"


def _resume(facts: JobFacts, words: str, verb: str, action: str, **fields: str) -> Cure:
    return Cure(words, f"{_queue(facts)}/{verb}", {"paused": "no", "job": f"{facts.job.id}"} | fields, action=action)


def _workers(facts: JobFacts) -> Cure:
    return Cure("Show the workers of the queue", "/workers", {"queue": facts.queue.name})


def _budget(facts: JobFacts) -> Cure:
    name, _, key = (facts.job.waits or "").partition("/")
    return Cure("Show who waits", "/budgets", {"name": name, "key": key})


def _holder(facts: JobFacts) -> Cure | None:
    return Cure("Show the job that holds it", f"/jobs/{facts.group_holders[0]}") if facts.group_holders else None


def _silent(facts: JobFacts) -> Cure | None:
    lease = facts.job.lease
    return Cure("Take back all that it holds…", "/bulk", {"way": "release", "holder": lease.worker}) if lease else None


_CURES: dict[str, Callable[[JobFacts], Cure | None]] = {
    "queue_paused": lambda facts: _resume(facts, "Resume the queue", "pause", "queue.resume"),
    "type_paused": lambda facts: _resume(facts, "Resume the type", "types", "type.resume", type=facts.type),
    "max_running": lambda facts: Cure("Raise the max concurrency", _queue(facts), fragment="settings-title"),
    "no_worker": _workers,
    "no_worker_for_type": _workers,
    "next": _workers,
    "one_worker": lambda facts: Cure("Show the worker", "/workers", {"q": facts.job.extras.worker or ""}),
    "waits_for_budget": _budget,
    "waits_for_turn": lambda facts: Cure("Show the shares", _queue(facts), fragment="shares-title"),
    "group_held": _holder,
    "in_line": lambda facts: Cure("Show what is ahead", "/jobs", {"queue": facts.queue.name, "state": "ready"}),
    "worker_silent": _silent,
}
