"""Kills the programs of a worker that has died: `kill -9`, a second signal, a crash.

A process of its own, because nothing else survives a `kill -9`; one for the whole worker, started as `python -I -S
orphan_reaper.py SECONDS`, so it imports nothing of Holdfast. Its standard input is a pipe from the worker: `+GROUP` when a
program has begun, `-GROUP` when it has ended. When the pipe closes, the worker is gone: remaining programs get SIGTERM and, so
many seconds later, SIGKILL. A lease lasts longer than that, so the next attempt does not begin while the previous one still
runs.
"""

import contextlib
import os
import signal
import sys
import time


def main() -> None:
    """Read until the worker is gone, and kill what it has left."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are meant for the worker
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        (groups.add if line[0] == "+" else groups.discard)(group)
    _tell(groups, signal.SIGTERM)
    until = time.monotonic() + float(sys.argv[1])
    while groups and time.monotonic() < until:
        time.sleep(0.05)
        _tell(groups, 0)
    _tell(groups, signal.SIGKILL)


def _tell(groups: set[int], number: int) -> None:
    """Send it to each group, and drop those that are gone."""
    for group in list(groups):
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            groups.discard(group)
        except PermissionError:
            with contextlib.suppress(KeyError):  # a program that became another user
                groups.remove(group)


if __name__ == "__main__":
    main()
