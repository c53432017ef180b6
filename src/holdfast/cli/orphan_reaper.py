"""Ends the programs of a worker that is gone, however it went: `kill -9`, a second signal, a crash.

A process of its own, because nothing else outlives a `kill -9`; one for the whole worker, started as `python -I -S orphan_reaper.py SECONDS`, so it
imports nothing of Holdfast. Its standard input is a pipe from the worker: `+GROUP` when a program has begun, `-GROUP` when it is over. When
the pipe closes, the worker is gone: what is left gets SIGTERM and, so many seconds later, SIGKILL. A lease lives for longer than that, so the
next attempt does not begin while the one before still runs.
"""

import contextlib
import os
import signal
import sys
import time


def main() -> None:
    """Listen until the worker is gone, and end what it has left."""
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
    """Send it to each group, and forget those that are gone."""
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
