"""C12: no answer says that something is stored while too few standbys could have stored it.

The harness knows without asking a server when a standby can't write: it has stopped, killed or disconnected it. Such a period
is an event `copies` with how many standbys are `able` and how many are `needed`. A request sent after its beginning and
answered as done before its end cannot be on that many: the server did not wait for them. The same holds for a repeated answer,
because its job may be on the primary alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

from torture.checkers.violation import Violation
from torture.history import Call, History

TELLING = {
    "submit",
    "conclude",
    "fail",
    "release",
    "extend",
    "cancel",
    "promote",
    "retry",
    "delete",
    "set_queue",
    "batch",
    "cancel_batch",
}


def what_is_answered_is_on_enough_standbys(history: History) -> list[Violation]:
    """C12, for every period with too few standbys."""
    spells = list(too_few(history))
    found = []
    for call in history.calls:
        if not call.done or not _tells(call):
            continue
        for begun, ended, able, needed in spells:
            if begun <= call.begun and call.ended <= ended:
                text = f"{call.verb} was answered as done while {able} standbys could write and {needed} were needed"
                found.append(Violation.of("C12", "too few copies", text, call))
    return found


def too_few(history: History) -> Iterator[tuple[float, float, int, int]]:
    """From when to when, how many were able, how many needed."""
    since: tuple[float, int, int] | None = None
    for event in history.named("copies"):
        able, needed = event.details["able"], event.details["needed"]
        if since is not None:
            yield since[0], event.at, since[1], since[2]
        since = (event.at, able, needed) if able < needed else None
    if since is not None:
        yield since[0], inf, since[1], since[2]


def _tells(call: Call) -> bool:
    return call.verb in TELLING or (call.verb == "claim" and bool(call.answer.get("jobs")))
