"""Ports for programs that must be told where to listen.

Ports that the system assigns to outgoing connections or on request are never among them (Linux: 32768 and above, in
`/proc/sys/net/ipv4/ip_local_port_range`); and each process has a range of its own. So a port stays free between the check and
the start, and over a restart.
"""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

STRETCH = 100
_FIRST_PORTS = range(10_000, 32_700, STRETCH)


def free_port() -> int:
    """A port without a listener, which no other process gets from here while this one runs."""
    _, ports = _own()
    for _ in range(STRETCH):
        port = next(ports)
        with socket.socket() as trial, suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection does not make the port unusable
            trial.bind(("", port))
            return port
    raise RuntimeError(f"other programs listen on every port from {port // STRETCH * STRETCH} on")


def free_ports(number: int) -> list[int]:
    """So many different ones, at most `STRETCH`."""
    return [free_port() for _ in range(number)]


@cache
def _own() -> tuple[socket.socket, Iterator[int]]:
    """Claim a range for this process; returns its ports in turn, so that a released one is not reused at once."""
    claim = socket.socket(socket.AF_UNIX)
    for first in random.sample(_FIRST_PORTS, len(_FIRST_PORTS)):
        with suppress(OSError):
            claim.bind(f"\0holdfast-ports-{first}")  # a name without a file, released with the process
            return claim, itertools.cycle(range(first, first + STRETCH))
    raise RuntimeError("other processes have claimed every range of ports")
