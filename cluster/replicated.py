"""A primary with streaming standbys, controlled by the caller alone: no Patroni, nothing that reacts by itself.

    with replicated(folder, standbys=2, needed=1) as group:     # ANY 1 (n2, n3)
        group.url                                               # all hosts, whichever is the primary
        group.primary.kill()
        group.promote(group.standbys[0])                        # the others follow it
        group.recreate(group.lost[0])                           # a fresh, empty server in its place

The caller decides about every repair, so a test knows its exact state.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

from cluster.postgres import PostgresServer
from cluster.processes import wait_until

STREAMING_S = 30
COUNTED: LiteralString = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'quorum'"


class Replicated:
    """Servers n1 … nN, of which one is the primary. `needed` is K: how many standbys must flush before a commit answers."""

    def __init__(self, folder: Path, *, standbys: int = 2, needed: int = 1, **options: Any) -> None:
        """Options are those of `PostgresServer`, for all of them."""
        self.servers = [PostgresServer(folder / f"n{n}", name=f"n{n}", **options) for n in range(1, standbys + 2)]
        self.primary = self.servers[0]
        self.needed = needed

    @property
    def standbys(self) -> list[PostgresServer]:
        """All running servers except the primary."""
        return [one for one in self.servers if one is not self.primary and one.running]

    @property
    def lost(self) -> list[PostgresServer]:
        """All servers that do not run."""
        return [one for one in self.servers if not one.running]

    @property
    def url(self) -> str:
        """All hosts in one URL, for Holdfast's `--store`."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.servers)
        return f"postgresql://holdfast@{hosts}/holdfast?target_session_attrs=read-write"

    def start(self) -> None:
        """Create and start all of them, and wait until every standby streams; only then commits wait for standbys."""
        self.primary.create()
        self.primary.start()
        standbys = self.servers[1:]
        if standbys:
            with ThreadPoolExecutor(len(standbys)) as pool:
                list(pool.map(self.join, standbys))
        self.wait_streaming()
        self.require(self.needed)
        if self.needed:  # the primary applies the names some time after the reload
            wait_until(lambda: self.primary.value(COUNTED) == len(standbys), STREAMING_S, "the standbys are not waited for")

    def join(self, standby: PostgresServer) -> None:
        """Make it a fresh copy of the primary, and start it, without waiting until it streams."""
        standby.clone(self.primary)
        standby.start()

    def require(self, needed: int) -> None:
        """Set `synchronous_standby_names` on the primary to ANY `needed` of the others; 0 empties it."""
        self.needed = needed
        names = ", ".join(one.name for one in self.servers if one is not self.primary)
        self.primary.configure(synchronous_standby_names=f"ANY {needed} ({names})" if needed else "")

    def streaming(self) -> set[str]:
        """The names of the standbys that stream."""
        rows = self.primary.sql("SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'")
        return {name for (name,) in rows}

    def wait_streaming(self, *names: str) -> None:
        """Wait for these standbys; without a name, for all that run."""
        wanted = set(names) or {one.name for one in self.standbys}
        wait_until(lambda: wanted <= self.streaming(), STREAMING_S, f"{', '.join(sorted(wanted))} do not stream")

    def wait_replayed(self) -> None:
        """Wait until every running standby has replayed all commits up to now (a commit waits for less: the flush)."""
        position = self.primary.value("SELECT pg_current_wal_lsn()")
        seen = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        wait_until(lambda: all(one.value(seen, (position,)) for one in self.standbys), STREAMING_S, "not all is replayed")

    def promote(self, standby: PostgresServer) -> None:
        """Promote this standby; all other running servers follow it, and it waits for as many standbys as before.

        The caller has stopped the old primary. To keep every acknowledged commit, choose `most_advanced()`.
        """
        self.primary = standby
        self.require(self.needed)  # before it accepts writes, so that it never commits one without them
        standby.promote()
        for other in self.standbys:
            other.follow(standby)

    def most_advanced(self) -> PostgresServer:
        """The standby that has flushed the most: with ANY K, promoting another one may lose commits."""
        position = "SELECT pg_last_wal_receive_lsn() - '0/0'::pg_lsn"
        return max(self.standbys, key=lambda one: one.value(position))

    def recreate(self, server: PostgresServer) -> None:
        """Replace a lost server with an empty one of the same name, and wait until it streams."""
        server.close()
        self.join(server)
        self.wait_streaming(server.name)

    def close(self) -> None:
        """Kill all of them."""
        for one in self.servers:
            one.close()


@contextmanager
def replicated(folder: Path, **options: Any) -> Iterator[Replicated]:
    """A primary with streaming standbys, for the length of a `with`. Options are those of `Replicated`."""
    group = Replicated(folder, **options)
    try:
        group.start()
        yield group
    finally:
        group.close()
