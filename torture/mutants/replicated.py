"""Mutants of a node on PostgreSQL: each is a mistake that is easily made in a queue on PostgreSQL. See `catalog.py` for what a
mutant is.
"""

# ruff: noqa: SLF001 (a mutation changes private parts)
from __future__ import annotations

from types import ModuleType
from typing import Any

from torture.mutants.catalog import Mutant, mutant
from torture.mutants.catalog import no_token_check as token_check

Server = Any
ALL: dict[str, Mutant] = {}


@mutant("stores.postgres.replication", "C12", faults=("freeze-standbys",), into=ALL)
def answer_before_the_proof(module: ModuleType) -> None:
    """Answers are sent once the primary alone has flushed: asynchronous replication, a common default."""

    async def committed(_self: Server, connection: Server, _voters: list[str]) -> None:
        await connection.execute("SET LOCAL synchronous_commit = 'local'; COMMIT")

    module.Replication._committed = committed


@mutant("stores.postgres.replication", "C12", "C1", "C7", faults=("cancel-storm",), into=ALL)
def warnings_are_ignored(module: ModuleType) -> None:
    """Trusts PostgreSQL's success, which a cancelled wait also reports, with a warning."""

    async def committed(_self: Server, connection: Server, _voters: list[str]) -> None:
        try:
            await connection.execute("COMMIT")
        except (module.asyncpg.PostgresError, module.asyncpg.InterfaceError, OSError) as error:
            raise module.OutcomeLost(str(error)) from error

    module.Replication._committed = committed


@mutant("stores.postgres.replication", "C12", "C1", "C7", faults=("names-emptied",), into=ALL)
def settings_are_trusted(module: ModuleType) -> None:
    """Waits for COMMIT and checks warnings, but not the standbys: emptying the names silently releases all waits."""

    async def prove(_self: Server, _connection: Server, _voters: list[str]) -> None:
        return

    module.Replication._prove = prove


@mutant("stores.postgres.replication", "C12", "C1", "C7", faults=("freeze-standbys",), into=ALL)
def a_timeout_on_commit(module: ModuleType) -> None:
    """A commit is abandoned after a while with a CancelRequest, as drivers do, and the reply is `COMMIT`."""
    short_s = 0.3

    async def committed(_self: Server, connection: Server, _voters: list[str]) -> None:
        commit = module.asyncio.ensure_future(connection.execute("COMMIT"))
        done, _ = await module.asyncio.wait({commit}, timeout=short_s)
        if not done:
            canceller = await module.asyncpg.connect(**_same(connection))
            await canceller.execute("SELECT pg_cancel_backend($1)", connection.get_server_pid())
            await canceller.close()
        await commit

    module.Replication._committed = committed


@mutant("stores.postgres.transaction", "C12", "C1", "C7", faults=("cancel-storm",), into=ALL)
def replays_write_nothing(module: ModuleType) -> None:
    """A repeated request finds its job and is answered at once, as with ON CONFLICT DO NOTHING: the job may be on the primary
    alone.
    """
    honest = module.PostgresTransaction.commit

    async def commit(self: Server) -> None:
        await self._settle()
        if self._wrote or self._rows:
            await honest(self)
            return
        await self._db.execute("ROLLBACK")
        self.committed = True

    module.PostgresTransaction.commit = commit


@mutant("stores.postgres.replication", "C12", "C1", "C7", faults=("names-emptied",), into=ALL)
def an_older_position_is_proven(module: ModuleType) -> None:
    """The primary's position is read before the COMMIT, not after: standbys have flushed up to it, but none has the commit
    itself.
    """
    honest = module.Replication._committed

    async def committed(self: Server, connection: Server, voters: list[str]) -> None:
        (flushed,) = await connection.fetch(module.SQL["flushed_to"], voters)

        async def prove(_connection: Server, _voters: list[str]) -> None:
            kept = flushed["kept"]
            while kept < self.needed:
                kept = await connection.fetchval(module.SQL["standbys_past"], flushed["lsn"], voters)

        self._prove = prove
        await honest(self, connection, voters)

    module.Replication._committed = committed


@mutant("stores.postgres.store", "C1", "C7", faults=("freeze-standbys", "lost-commits"), into=ALL)
def unknown_is_told_as_failed(module: ModuleType) -> None:
    """A commit with an unknown outcome is answered as certainly not done, but the job may exist."""
    honest = module.PostgresStore._undone

    async def undone(self: Server, *args: Server) -> BaseException:
        failure = await honest(self, *args)
        return module.StoreUnavailable("It did not work.") if isinstance(failure, module.OutcomeLost) else failure

    module.PostgresStore._undone = undone


@mutant("stores.postgres.sql", "C6", "C9", "C10", faults=("calm",), into=ALL)
def queues_are_not_locked(module: ModuleType) -> None:
    """The queue's row is not locked: two batches see the same room in a queue, and both use it."""
    module.SQL["lock_queues"] = module.SQL["lock_queues"].replace(" FOR UPDATE", "")


ALL["no-token-check"] = Mutant("no-token-check", "holdfast.committer.conclude", token_check, frozenset({"C2"}), ("calm",))


def _same(connection: Server) -> dict[str, Any]:
    """The address of the server of a connection."""
    host, port = connection._addr
    return {"host": host, "port": port, "user": connection._params.user, "database": connection._params.database}
