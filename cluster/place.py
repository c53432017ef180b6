"""The ports and passwords of a cluster on this machine, stored in its folder for the next start.

All data is in the folder: after a restart every job is there. To remove the cluster, delete the folder while nothing runs.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.ports import free_ports

NODES = (1, 2, 3)
ROLES = ("postgres", "replicator", "holdfast")

# The port of each program, counted from the first port.
OFFSETS = {"proxy": 0, "primary": 10}
OFFSETS |= {f"h{n}": n for n in NODES}  # Holdfast
OFFSETS |= {f"n{n}": 10 + n for n in NODES}  # PostgreSQL
OFFSETS |= {f"patroni{n}": 20 + n for n in NODES}
OFFSETS |= {f"etcd{n}": 30 + n for n in NODES}
OFFSETS |= {f"peer{n}": 40 + n for n in NODES}  # etcd, between its members


class PortTaken(RuntimeError):
    """Another program listens on a port of the cluster."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cluster's folder, ports by program (`OFFSETS`) and passwords by role (`ROLES`)."""

    folder: Path
    ports: dict[str, int]
    passwords: dict[str, str]

    @property
    def file(self) -> Path:
        """The file with ports and passwords."""
        return self.folder / "cluster.json"

    @property
    def control(self) -> Path:
        """The socket of the running cluster."""
        return self.folder / "control"

    def address(self, name: str) -> str:
        """Host and port of a program."""
        return f"127.0.0.1:{self.ports[name]}"

    @property
    def proxy_url(self) -> str:
        """The URL of Holdfast, for any node."""
        return f"http://{self.address('proxy')}"

    @property
    def store(self) -> str:
        """The store's URL of a Holdfast node."""
        hosts = ",".join(self.address(f"n{n}") for n in NODES)
        return f"postgresql://holdfast:{self.passwords['holdfast']}@{hosts}/holdfast?target_session_attrs=read-write"

    def save(self) -> None:
        """Save it for the next start; it has passwords, so other users must not read it."""
        with os.fdopen(os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({**asdict(self), "folder": str(self.folder)}, file, indent=2)


def read(folder: Path) -> Place | None:
    """The cluster that was started in this folder before."""
    file = folder / "cluster.json"
    if not file.exists():
        return None
    kept = json.loads(file.read_text())
    return Place(folder.resolve(), kept["ports"], kept["passwords"])


def take(folder: Path, first_port: int) -> Place:
    """The cluster in the folder, or a new one with ports from this one on; 0 uses free ports."""
    folder.mkdir(parents=True, exist_ok=True)
    place = read(folder)
    if place is None:
        if first_port:
            ports = {name: first_port + offset for name, offset in OFFSETS.items()}
        else:
            ports = dict(zip(OFFSETS, free_ports(len(OFFSETS)), strict=True))
        place = Place(folder.resolve(), ports, {role: secrets.token_hex(16) for role in ROLES})
    for name, port in place.ports.items():
        _check_free(name, port)
    place.save()
    return place


def _check_free(name: str, port: int) -> None:
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTaken(
                f"{name} would listen on 127.0.0.1:{port}, and another program does. Choose others: --port"
            ) from error
