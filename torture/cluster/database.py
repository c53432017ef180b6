"""The PostgreSQL side of a trial: faults of its servers, and their repair. Nothing here reacts by itself.

All methods block; they run in threads, so that the load and the links continue.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from time import sleep

import psycopg

from cluster.postgres import PostgresServer
from cluster.processes import wait_until
from cluster.replicated import Replicated

# A lost server is noticed in seconds and not in a minute, so that a trial is short.
SETTINGS = {"wal_sender_timeout": "3s", "wal_receiver_timeout": "3s", "shared_buffers": "32MB"}
WAITERS = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'holdfast'"
STORM_EVERY_S = 0.003
WITHIN_S = 30.0


class Database(Replicated):
    """A primary and two standbys, of which `needed` have flushed before an answer."""

    def __init__(self, folder: Path, needed: int) -> None:
        super().__init__(folder, standbys=2, needed=needed, settings=SETTINGS)

    def empty_names(self) -> None:
        """Configure the primary to wait for no standby any more."""
        self.primary.configure(synchronous_standby_names="")

    def heir(self) -> PostgresServer:
        """The standby with the K-th highest received position: with K copies of everything answered, it has all of it."""

        def received(one: PostgresServer) -> int:
            return int(one.value("SELECT coalesce(pg_last_wal_receive_lsn(), '0/0') - '0/0'::pg_lsn"))

        return sorted(self.standbys, key=received, reverse=True)[self.needed - 1]

    def fail_over(self) -> PostgresServer:
        """The primary is lost or unreachable: promote the heir. The others follow, or wait to be recreated. Returns the old
        primary.
        """
        old = self.primary
        heir = self.heir()
        others = [one for one in self.standbys if one is not heir]
        self.primary = heir
        self.require(self.needed)  # before it accepts writes, so that it never commits one without standbys
        heir.promote()
        for other in others:
            if self.needed > 1:
                other.remove()  # it may have unacknowledged commits, and so can't follow
            else:
                other.follow(heir)
        return old

    def whole(self) -> None:
        """Wait until every server runs, and every standby streams and is synchronous."""
        for server in self.servers:
            if server.running:
                server.resume()
        lost = [one for one in self.servers if one is not self.primary and not one.running]
        with ThreadPoolExecutor(len(self.servers)) as pool:
            list(pool.map(self.join, lost))
        with suppress(TimeoutError):
            self.wait_streaming()
        for server in self.standbys:
            if server.name not in self.streaming():
                self.recreate(server)
        self.wait_streaming()
        self.require(self.needed)
        wait_until(self._enough, WITHIN_S, "the standbys are not in sync")

    def _enough(self) -> bool:
        counted = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state <> 'async'"
        return bool(self.primary.value(counted) == len(self.servers) - 1)


class Storm:
    """Cancel or terminate every backend that waits for a standby, repeatedly, from a thread of its own."""

    def __init__(self, primary: PostgresServer, function: str) -> None:
        """`function` is pg_cancel_backend or pg_terminate_backend."""
        self.hits = 0
        self._primary = primary
        self._function = function
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Storm:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        with suppress(psycopg.Error), self._primary.connect() as connection:
            while not self._over.is_set():
                found = connection.execute(f"SELECT {self._function}(pid) FROM ({WAITERS}) w".encode()).fetchall()
                self.hits += len(found)
                sleep(STORM_EVERY_S)
