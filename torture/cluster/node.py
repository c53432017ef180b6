"""A Holdfast node under test: a server as in the rest of the harness, on PostgreSQL."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from torture.server import Server

COMMIT_TIMEOUT_MS = 1_500  # after this an outcome is unknown; short, so that this happens often


@dataclass(slots=True)
class Node(Server):
    """One of several equal nodes."""

    store: str = ""
    replicas: int = 1

    def command(self) -> list[str]:
        """The command line."""
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--store", self.store]
        kept = ["--replicas", str(self.replicas), "--commit-timeout-ms", str(COMMIT_TIMEOUT_MS)]
        return [sys.executable, "-m", "holdfast", "serve", *where, *kept, "--log-level", "warning"]
