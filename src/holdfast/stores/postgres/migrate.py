"""The schema's steps, in pairs, so that a version of Holdfast and the release before it can serve the same database.

    NNN_name.pre.sql    adds what this version needs; nodes of the release before continue beside it
    NNN_name.post.sql   takes away what only the release before needed; may be missing

A node brings the schema to the newest `pre` that it knows, and does the `post` of each step that the release before knows
(`releases.py`). So while a rolling restart brings in a version, nodes of the release before keep serving; older ones are refused,
because they do not know `min_compatible`. `holdfast upgrade --finish` does the newest `post`, too, and refuses the release before.
A `pre` after which no older node can serve sets `min_compatible` itself.

    the schema       version 12   the highest step of which `pre` was done        every node up to 12 has what it needs
                     min_compatible 9   a node that does not know step 9 must not serve

**Nothing is taken away from a node that serves.** Each node holds a shared advisory lock with the number of the newest step that
it knows, from before it reads `min_compatible` until it disconnects. Whoever raises `min_compatible` takes those of all lower
numbers in the same transaction: while one is held, the step is not done, and the newer node waits.

**Nobody waits for long.** A step is one transaction. It waits for a table for half as long as a batch waits for a queue, then it is
undone, and tried again later: those who queue behind it go on. Nodes that start together take turns. If there is nothing to do no lock but the node's own is
taken, so a node that reconnects after a failover does not wait for other nodes or for a stopped server.
"""

import time
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files
from typing import Any

import asyncpg
import msgspec

from holdfast import __version__
from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.stores.postgres import by_name
from holdfast.stores.releases import of_schema, releases
from holdfast.stores.steps import Step

log = structlog.get_logger(__name__)
_FOLDER = files(__package__) / "migrations"
_LOCK = 0x486F6C64  # "Hold": who changes the schema
_NODES = 0x486F6C65  # with the newest step that a node knows: held by the node
ASK_S = 5.0  # a server that stops after it accepted the connection neither answers nor closes it
_TURN_S = 10.0  # longer than the connection's own lock timeout, which the server reports
STEP_S = 300.0  # a step may scan a large table. One that times out here continues in the server, and is found done later
_WAIT_MS = 500  # for a table: half of what a node's batch waits behind it
_OURS = "SET lock_timeout = '5s'; SET idle_session_timeout = '10s'"  # a node that stops between two steps releases the lock
_AS_BEFORE = "RESET lock_timeout; RESET idle_session_timeout"
_CONVERSIONS: dict[int, Callable[[Any], Awaitable[None]]] = {4: by_name.convert}
"""What a `pre` of this number has this program do after its script, in the same transaction."""
_CHANGING = " is changing the database's schema."
_META = """
CREATE SCHEMA IF NOT EXISTS holdfast;
CREATE TABLE IF NOT EXISTS holdfast.schema_version(
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version int NOT NULL,                     -- the highest step of which `pre` was done
  min_compatible int NOT NULL               -- a node that does not know this step must not serve
);
INSERT INTO holdfast.schema_version(version, min_compatible) VALUES (0, 0) ON CONFLICT DO NOTHING;
"""
_HOLDERS = """
SELECT objid::int AS knows, count(*)::int AS nodes FROM pg_locks
WHERE locktype = 'advisory' AND classid = $1 AND objsubid = 2 AND mode = 'ShareLock' AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid <> pg_backend_pid()
GROUP BY 1 ORDER BY 1
"""
_IN_THE_WAY = """
SELECT DISTINCT a.pid, a.application_name AS program, a.xact_start FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'holdfast'::regnamespace) AND l.granted AND l.pid <> pg_backend_pid()
ORDER BY a.xact_start LIMIT 3
"""


class OlderNodes(StoreUnavailable):
    """Nodes are connected that can't serve beside what is to be done."""


class At(msgspec.Struct, frozen=True):
    """Where a database's schema is; `made_by` is the version that brought it there, "" if that was not recorded."""

    version: int = 0
    oldest: int = 0
    made_by: str = ""


@cache
def _scripts() -> list[Step]:
    named = [(entry.name.split("."), entry) for entry in _FOLDER.iterdir() if entry.name.endswith(".sql")]
    return sorted((Step(int(name[0][:3]), entry.read_text(), name[1]) for name, entry in named), key=lambda step: step.number)


def steps(kind: str) -> dict[int, Step]:
    """The scripts of one kind by number, oldest first."""
    return {step.number: step for step in _scripts() if step.kind == kind}


NEWEST = max(steps("pre"))


def beside(known: int = NEWEST) -> int:
    """The newest step of the release before: its nodes may serve beside this version. Before the first release, this version's own."""
    return min(releases()[-1].postgresql, known) if releases() else known


async def migrate(connection: Any, known: int = NEWEST, finish: bool = False) -> None:
    """Bring the schema to the version that this Holdfast knows, and hold the node's lock on it, for as long as the connection is open.

    Raises `StoreUnavailable` if the schema is too new, or can't be brought forward now. `finish`: nodes of the release before are not waited for
    any longer.
    """
    await _enter(connection, known)
    goal = known if finish else beside(known)
    if _complete(await _admitted(connection, known), known, goal):
        return
    await connection.execute(_OURS, timeout=ASK_S)
    taken = False
    try:
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=_TURN_S)
        except asyncpg.LockNotAvailableError:
            raise StoreUnavailable(f"Another Holdfast{_CHANGING}", retry_after_ms=1_000) from None
        taken = True
        if await at(connection) is None:
            await connection.execute(f"BEGIN; {_META} COMMIT", timeout=STEP_S)
        if not _complete(await _admitted(connection, known), known, goal):
            await _go(connection, known, goal)
    finally:
        if not connection.is_closed():  # else it has released it, or will when its step is done
            undo = "ROLLBACK; " if connection.is_in_transaction() else ""
            release = f"SELECT pg_advisory_unlock({_LOCK}); " if taken else ""
            await connection.execute(f"{undo}{release}{_AS_BEFORE}", timeout=ASK_S)


async def at(connection: Any) -> At | None:
    """Where the schema is; None if there is none."""
    if await connection.fetchval("SELECT to_regclass('holdfast.schema_version')", timeout=ASK_S) is None:
        return None
    row = await connection.fetchrow(
        "SELECT version, min_compatible, coalesce(to_jsonb(s)->>'made_by', '') FROM holdfast.schema_version s", timeout=ASK_S
    )
    return At(*row)


async def nodes(connection: Any) -> dict[int, int]:
    """How many nodes are connected, by the newest step that they know."""
    return dict(await connection.fetch(_HOLDERS, _NODES, timeout=ASK_S))


async def demand(connection: Any) -> None:
    """Raise `StoreUnavailable` unless the database has a store of the very schema that this Holdfast knows: for who only reads."""
    found = await at(connection)
    if found is None or not found.version:
        raise StoreUnavailable("There is no store of Holdfast in this database.")
    if found.version > NEWEST:
        raise StoreUnavailable(too_new(found, NEWEST))
    if found.version < NEWEST:
        raise StoreUnavailable(
            f"The database has schema {found.version} and not {NEWEST}: use the Holdfast that serves it, or start this one on it once."
        )


def too_new(found: At, known: int) -> str:
    """Why this Holdfast can't use a database, and the way back."""
    made_by = f", which Holdfast {found.made_by} made" if found.made_by else ""
    serves = f"It serves nodes that know schema {found.oldest} on; t" if found.oldest > known else "T"
    return (
        f"The database has schema {found.version}{made_by}. {serves}his is Holdfast {__version__}, which knows up to {known}. Use the newer Holdfast. "
        "To go back, have that one write it out (`holdfast export`), and import it with this one into a new database (`holdfast import`)."
    )


async def _enter(connection: Any, known: int) -> None:
    """Take the node's lock, before anything is read: from then on nothing is taken away from it."""
    try:
        await connection.execute("SELECT pg_advisory_lock_shared($1, $2)", _NODES, known, timeout=ASK_S)
    except asyncpg.LockNotAvailableError:
        raise StoreUnavailable(f"A newer Holdfast{_CHANGING}", retry_after_ms=1_000) from None


async def _admitted(connection: Any, known: int) -> At:
    found = await at(connection) or At()
    if found.oldest > known:
        raise StoreUnavailable(too_new(found, known))
    return found


def _complete(found: At, known: int, goal: int) -> bool:
    """Whether nothing is left to do."""
    return found.version >= known and found.oldest >= goal


async def _go(connection: Any, known: int, goal: int) -> None:
    before = await at(connection) or At()
    if not before.version:
        goal = known  # no node of the release before has ever served it
    if before.version:
        jobs = await connection.fetchval(
            "SELECT greatest(0, reltuples)::bigint FROM pg_class WHERE oid = 'holdfast.job'::regclass"
        )
        log.info("the database goes to a newer schema", schema=known, before=before.version, jobs=jobs)
    begun = time.monotonic()
    for number, step in steps("pre").items():
        if before.version < number <= known:
            made_by = f", made_by = '{__version__}'" if number == NEWEST else ""
            without = max(goal, number if step.ends_older_nodes else 0)
            await _do(connection, step, f"version = {number}{made_by}", without)
    reached = await at(connection) or At()
    for number, step in steps("post").items():
        if reached.oldest < number <= goal:
            await _do(connection, step, f"min_compatible = {number}", goal)
    if goal > reached.oldest:
        await _do(connection, Step(goal, "", "post"), f"min_compatible = {goal}", goal)
    if before.version:
        log.info("the database has the newer schema", schema=known, seconds=round(time.monotonic() - begun, 1))


async def _do(connection: Any, step: Step, change: str, without: int) -> None:
    """One step, while no node is connected that does not know the step `without`. It is one call, so that a server whose node has gone finishes it."""
    log.info("a step of the database's schema", step=change)
    alone = f"PERFORM pg_advisory_xact_lock({_NODES}, k) FROM generate_series(1, {without - 1}) k"
    begin = f"BEGIN; SET LOCAL search_path = holdfast, pg_temp; SET LOCAL lock_timeout = '{_WAIT_MS}ms'; DO $$ BEGIN {alone}; END $$; {step.script};"
    end = f"UPDATE holdfast.schema_version SET {change}; COMMIT"
    convert = _CONVERSIONS.get(step.number) if step.kind == "pre" else None
    try:
        if convert is None:
            await connection.execute(f"{begin} {end}", timeout=STEP_S)
            return
        await connection.execute(begin, timeout=STEP_S)
        await convert(connection)
        await connection.execute(end, timeout=STEP_S)
    except asyncpg.LockNotAvailableError:
        await connection.execute("ROLLBACK", timeout=ASK_S)
        older = {knows: count for knows, count in (await nodes(connection)).items() if knows < without}
        if older:
            raise OlderNodes(still_there(older), retry_after_ms=1_000) from None
        raise StoreUnavailable(await _who_is_in_the_way(connection, step), retry_after_ms=1_000) from None


def still_there(older: dict[int, int]) -> str:
    """Which nodes are in the way, and what to do."""
    told = ", ".join(f"{count} of {_named(knows)}" for knows, count in older.items())
    return (
        f"Older nodes are connected to the database ({told}), and can't serve beside what Holdfast {__version__} does to its schema. "
        "Stop them, or first upgrade them to the release before this one (docs/upgrading.md). Nothing was changed."
    )


def _named(knows: int) -> str:
    return f"Holdfast {versions}" if (versions := of_schema(knows)) else f"a Holdfast that knows schema {knows}"


async def held_by(connection: Any) -> str:
    """Who has locks on the tables of the store, to say why somebody waits."""
    found = await connection.fetch(_IN_THE_WAY, timeout=ASK_S)
    who = ", ".join(f"process {row['pid']} ({row['program'] or 'no name'})" for row in found) or "a transaction"
    return f"for tables that others use: {who}"


async def _who_is_in_the_way(connection: Any, step: Step) -> str:
    return (
        f"Step {step.number} of the database's schema waits {await held_by(connection)}. It gave up after {_WAIT_MS} ms, so that nobody waits behind "
        "it, and is tried again. A dump, a check or a console in a transaction is waited for until it ends."
    )
