"""PostgreSQL as a store to measure on: a primary and its streaming standbys on this machine, one group for all cases of a run.

Standbys share the cores and the disk with the primary and with the load: figures with two of them are of three servers on one machine. Flushing is on,
on all of them. Settings are the ones that `docs/postgresql.md` advises, as far as they fit the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.processes import is_running, tree
from cluster.replicated import Replicated

SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "autovacuum_naptime": "5s",
    "wal_compression": "off",
}
# Copies of a waiting job: the store enqueues the first, and this multiplies it.
COPIED = """
WITH one AS (SELECT j.*, r.ready_at FROM holdfast.job j JOIN holdfast.ready r ON r.job = j.id
             WHERE j.queue = (SELECT id FROM holdfast.queue WHERE name = %(queue)s) LIMIT 1),
ids AS (SELECT last.id + g AS id FROM (SELECT pg_sequence_last_value('holdfast.job_id') AS id) last, generate_series(1, %(count)s) g),
jobs AS (INSERT INTO holdfast.job(id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload)
         SELECT ids.id, queue, priority, max_attempts, size, created_at, type, extras, content_type, payload FROM ids, one),
line AS (INSERT INTO holdfast.ready(queue, priority, job, ready_at, attempt, failures, crashes)
         SELECT queue, priority, ids.id, ready_at, 0, 0, 0 FROM ids, one),
tally AS (UPDATE holdfast.queue SET ready = ready + %(count)s, bytes = bytes + %(count)s * (SELECT size FROM one)
          WHERE name = %(queue)s)
SELECT setval('holdfast.job_id', (SELECT max(id) FROM ids))
"""


class Database:
    """A group of servers; every case finds the database empty."""

    def __init__(self, folder: Path, standbys: int, needed: int) -> None:
        """`needed` standbys have flushed before an answer: K."""
        self.standbys, self.needed = standbys, needed
        self.name = f"{standbys} standbys, K={needed}" if standbys != 1 else f"1 standby, K={needed}"
        self._group = Replicated(folder, standbys=standbys, needed=needed, settings=SETTINGS)

    def start(self) -> None:
        """Start all servers, and wait until the standbys stream."""
        self._group.start()

    def close(self) -> None:
        """End all servers."""
        self._group.close()

    @property
    def url(self) -> str:
        """As `--store` takes it."""
        return self._group.url

    @property
    def version(self) -> str:
        """Of PostgreSQL."""
        return self._group.primary.programs.version

    def empty(self) -> None:
        """Discard the data of the previous case, and write out what it left in caches."""
        primary = self._group.primary
        primary.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast", timeout_s=60)
        primary.sql("CHECKPOINT", timeout_s=60)

    def fill(self, queue: str, count: int) -> None:
        """Make that many copies of a waiting job, faster than a client could push them."""
        with self.session() as connection:
            connection.execute("SET synchronous_commit = off")
            connection.execute(COPIED, {"queue": queue, "count": count})
            connection.execute("VACUUM (ANALYZE) holdfast.job, holdfast.ready")  # as jobs enqueued one by one would have been
            connection.execute("CHECKPOINT")

    def session(self) -> psycopg.Connection[Any]:
        """A superuser's connection to the primary."""
        return self._group.primary.connect(database="holdfast")

    @contextmanager
    def old_snapshot(self, table: str = "holdfast.queue") -> Iterator[None]:
        """A transaction with an old snapshot, which keeps every dead row from being vacuumed."""
        with self.session() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            connection.execute(f"SELECT count(*) FROM {table}".encode())
            yield
            connection.execute("COMMIT")

    def roles(self) -> dict[int, str]:
        """Every process of the servers by its server."""
        found = {}
        for server in self._group.servers:
            if server.running:
                role = "primary" if server is self._group.primary else "standby"
                found |= {pid: role for pid in tree(server.pid) if is_running(pid)}
        return found
