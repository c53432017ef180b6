"""Proof of replication: a commit is answered only after K standbys are proven to have flushed it.

    BEGIN; SET LOCAL synchronous_commit = 'on'          a role's or a database's own setting does not count
    …                                                   enough standbys in sync before anything is done, or it is refused: `NotReplicated`
    COMMIT                                              nothing can cancel it; no timeout of the driver is ever set
    a warning meanwhile?                                the wait was cancelled, or the server is going down: outcome unknown
    flush position here, and on the standbys            at least K that count have passed it, or the outcome is unknown

PostgreSQL reports a cancelled wait for its standbys as success, and when `synchronous_standby_names` is emptied it silently
releases all waiting commits. So Holdfast does not rely on the reply but on the standbys' positions. A position covers
everything before it, so a later proof also covers every earlier commit on the server; that is why a batch that only repeats an
earlier answer writes something too.
"""

import asyncio
import time
from collections.abc import Iterable

import asyncpg

from holdfast.errors import NotReplicated
from holdfast.logs import structlog
from holdfast.stores.postgres.connect import UncancellableConnection
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.store import OutcomeLost
from holdfast.units import counted, is_or_are

log = structlog.get_logger(__name__)
_POLL_S = 0.001
_POLL_MOST_S = 0.05


class Replication:
    """How many standbys an answer needs, which count, and what became of the commits so far."""

    def __init__(self, needed: int, named: Iterable[str] = (), timeout_s: float = 10.0) -> None:
        self.needed = needed
        self._named = frozenset(named)
        self._timeout_s = timeout_s
        self.in_sync: int | None = None
        self.lag_bytes = 0
        self.unknown = 0
        self.proofs = 0
        self.proof_seconds = 0.0

    @property
    def doubtful(self) -> bool:
        """Whether too few standbys were in sync at the last check."""
        return self.in_sync is not None and self.in_sync < self.needed

    def voters(self, standbys: list[str] | None, names: str | None) -> list[str]:
        """The synchronous standbys that stream. `*` names none: any program that copies the log could match."""
        present = set(standbys or ())
        if self._named:
            present &= self._named
        elif names is not None and "*" in names:
            present = set()
        return sorted(present)

    def admit(self, standbys: list[str] | None, names: str | None) -> list[str]:
        """Before a batch: the standbys that will prove it; raises `NotReplicated` if there are too few."""
        if not self.needed:
            return []
        voters = self.voters(standbys, names)
        self.in_sync = len(voters)
        if len(voters) < self.needed:
            raise NotReplicated(
                f"{counted(len(voters), 'standby')} {is_or_are(len(voters))} in sync and {self.needed} {is_or_are(self.needed)} needed: nothing is accepted until they are back.",
                in_sync=len(voters),
                needed=self.needed,
                retry_after_ms=1_000,
            )
        return voters

    async def commit(self, connection: UncancellableConnection, voters: list[str]) -> None:
        """Commit and prove it. Raises `OutcomeLost` if that takes too long; the connection is then closed."""
        task = asyncio.create_task(self._committed(connection, voters))
        done = False
        try:
            finished, _ = await asyncio.wait({task}, timeout=self._timeout_s)
            done = bool(finished)
        finally:
            if not done:  # too long, or we have to stop: leave without a CancelRequest, so that the server keeps waiting
                connection.terminate()
                task.add_done_callback(_seen)
        if not done:
            self.unknown += 1
            raise OutcomeLost(f"the standbys did not confirm within {self._timeout_s:g} s")
        try:
            task.result()
        except OutcomeLost:
            self.unknown += 1
            connection.terminate()
            raise

    async def _committed(self, connection: UncancellableConnection, voters: list[str]) -> None:
        connection.warnings.clear()
        try:
            status = await connection.execute("COMMIT")
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise OutcomeLost(f"the connection broke while committing ({described(error)})") from error
        if status != "COMMIT":
            raise RuntimeError(f"the transaction was undone: COMMIT was answered with {status}")
        if connection.warnings:
            raise OutcomeLost(f"the server warned while committing ({connection.warnings[0]})")
        if self.needed:
            await self._prove(connection, voters)

    async def _prove(self, connection: UncancellableConnection, voters: list[str]) -> None:
        started = time.perf_counter()
        pause = _POLL_S
        try:
            (flushed,) = await connection.fetch(SQL["flushed_to"], voters)
            position, kept = flushed["lsn"], flushed["kept"]
            while kept < self.needed:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _POLL_MOST_S)
                kept = await connection.fetchval(SQL["standbys_past"], position, voters)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            raise OutcomeLost(f"the commit could not be proven ({described(error)})") from error
        if connection.warnings:
            raise OutcomeLost(f"the server warned while the commit was proven ({connection.warnings[0]})")
        self.proofs += 1
        self.proof_seconds += time.perf_counter() - started


def _seen(task: "asyncio.Task[None]") -> None:
    if not task.cancelled():
        task.exception()  # whatever the outcome: no caller waits for it any more
