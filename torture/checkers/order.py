"""C11: no answer leaves before the sync that covers it.

Two views of one rule, because each sees what the other can't:

    alone     one client, one call at a time: a whole sync of the write-ahead log must lie between the request and the answer.
              Exact, and it covers every process in between; but it says nothing about concurrent requests.
    together  under load, traced at the keeper: nothing is written to a socket while the log has writes that were not synced.
"""

from __future__ import annotations

from collections.abc import Iterable

from torture.checkers.violation import Violation
from torture.faults.tracer import SystemCall
from torture.history import Call

LOG = "-wal"
SYNCS = {"fsync", "fdatasync"}
WRITES = {"write", "writev", "pwrite64", "pwritev"}
SENDS = {"sendto", "sendmsg", "write", "writev"}


def is_sync(call: SystemCall) -> bool:
    """A sync of the write-ahead log that succeeded."""
    return call.name in SYNCS and call.path.endswith(LOG) and call.result == 0


def is_log_write(call: SystemCall) -> bool:
    """A write into the write-ahead log."""
    return call.name in WRITES and call.path.endswith(LOG)


def is_send(call: SystemCall) -> bool:
    """A write to the other process."""
    return call.name in SENDS and (call.path.startswith(("socket:", "UNIX", "TCP", "pipe:"))) and call.result > 0


def a_sync_lies_before_each_answer(
    calls: Iterable[Call], trace: list[SystemCall], wall_minus_monotonic: float
) -> list[Violation]:
    """`calls` were made one after the other and changed something; `wall_minus_monotonic` joins the two clocks, in seconds."""
    syncs = [(call.begun - wall_minus_monotonic, call.ended - wall_minus_monotonic) for call in trace if is_sync(call)]
    return [
        Violation.of("C11", "answer before sync", f"{call.verb} was answered and no sync came before that", call)
        for call in calls
        if call.done and not any(call.begun < begun and ended < call.ended for begun, ended in syncs)
    ]


def nothing_is_sent_over_unsynced_writes(trace: list[SystemCall]) -> list[Violation]:
    """`trace` has the keeper's writes, syncs and sends, under load."""
    found = []
    dirty_since: float | None = None
    for call in sorted(trace, key=lambda call: call.begun):
        if is_log_write(call):
            dirty_since = call.begun if dirty_since is None else dirty_since
        elif is_sync(call):
            dirty_since = None
        elif is_send(call) and dirty_since is not None:
            age_ms = (call.begun - dirty_since) * 1000
            text = f"{call.name} to {call.path} with log writes {age_ms:.1f} ms old and not synced"
            found.append(Violation("C11", "answer before sync", text))
    return found
