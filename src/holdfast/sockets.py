"""Listening, and how many connections this machine allows."""

import contextlib
import resource
import socket

BACKLOG = 4_096


def raise_file_limit() -> None:
    """Every connection is an open file: take as many as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(address: tuple[str, int]) -> socket.socket:
    """A listening socket at this host and port; raises `OSError`."""
    host, port = address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    info = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0]
    listener = socket.socket(info[0], info[1])
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(info[4])
    listener.listen(BACKLOG)
    listener.setblocking(False)
    listener.set_inheritable(True)
    return listener


def place_of(listener: socket.socket) -> str:
    """Host and port that a socket listens on, as they stand in a URL."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
