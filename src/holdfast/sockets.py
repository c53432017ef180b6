"""Listening, and how many connections this machine allows."""

import contextlib
import resource
import socket
from ipaddress import ip_address
from typing import Any

BACKLOG = 4_096
UNREAD_BYTES = 256 << 10  # received on one connection, in the kernel (which counts them twice): 10 MB/s at 25 ms


def raise_file_limit() -> None:
    """Every connection is an open file: raise the limit as far as the machine allows."""
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
    # The kernel holds what is received and not read yet, up to many megabytes for each connection; if that is too much in all,
    # it drops input of every connection. Connections inherit this from the listening socket.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_BYTES)
    listener.bind(place)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def address_of(host: str) -> str:
    """The address to listen on for a host, however it is written (`127.1`, a name of this machine); "" if there is none."""
    return next(iter(addresses_of(host)), "")


def addresses_of(host: str) -> list[str]:
    """All addresses of a host: the first, to listen on, may differ from one time to the next. None if it is unknown."""
    try:
        return [str(place[0]).partition("%")[0] for _, place in _resolved(host, 0)]
    except (OSError, UnicodeError):
        return []


def is_loopback(name: str) -> bool:
    """Whether a host name or an address is loopback only."""
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
    """Host and port that a socket listens on, as in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
