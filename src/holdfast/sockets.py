"""Listening, and how many connections this machine allows."""

import contextlib
import resource
import socket
from ipaddress import ip_address
from typing import Any

BACKLOG = 4_096
UNREAD_BYTES = 256 << 10  # that have come of one connection, in the kernel (which counts them twice): 10 MB/s at 25 ms


def raise_file_limit() -> None:
    """Every connection is an open file: take as many as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def file_limit() -> int:
    """How many files this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def listen(address: tuple[str, int]) -> socket.socket:
    """A listening socket at this host and port; raises `OSError`."""
    family, place = _resolved(*address)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # What has come and is not read yet is held by the kernel, which would let it grow to many megabytes for each connection; where that is too
    # much in all, it throws away what comes, of everybody. Connections have this from the one that listens.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
    listener.bind(place)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def address_of(host: str) -> str:
    """The address that is listened on for a host, however it is written (`127.1`, a name of this machine); "" where there is none."""
    return next(iter(addresses_of(host)), "")


def addresses_of(host: str) -> list[str]:
    """All addresses of a host: which of them comes first, and is listened on, may differ from one time to the next. None where it is not known."""
    try:
        return [str(place[0]).partition("%")[0] for _, place in _resolved(host, 0)]
    except (OSError, UnicodeError):
        return []


def is_loopback(name: str) -> bool:
    """Whether a host name or an address is this machine's own, and in reach of nobody else."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback
    except ValueError:
        return False


def _resolved(host: str, port: int) -> list[tuple[int, tuple[Any, ...]]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [(info[0], info[4]) for info in socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)]


def place_of(listener: socket.socket) -> str:
    """Host and port that a socket listens on, as they stand in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
