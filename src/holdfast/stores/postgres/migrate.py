"""The schema's steps, in pairs, so that a version of Holdfast and the one before it can serve the same database.

    NNN_name.pre.sql    adds what version N needs; version N-1 goes on working beside it
    NNN_name.post.sql   takes away what only version N-1 needed; may be missing

A node that knows steps up to N brings the schema there: every `pre` up to N, and every `post` up to N-1. So while a rolling
restart brings in N, nodes of N-1 keep running; those of N-2 are refused, because `min_compatible` is then N-1. Each step is one
transaction, under an advisory lock, so that nodes that start together take turns. A step after which nodes of the version
before can't run sets `min_compatible` itself. If there is nothing to do no lock is taken, so a node that reconnects after a
failover does not wait for other nodes or for a stopped server.
"""

import re
import time
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

from holdfast.errors import StoreUnavailable
from holdfast.logs import structlog
from holdfast.stores.postgres import by_name

log = structlog.get_logger(__name__)
_FOLDER = files(__package__) / "migrations"
_STEP = re.compile(r"(\d{3})_\w+\.(pre|post)\.sql\Z")
_LOCK = 0x486F6C64  # "Hold"
ASK_S = 5.0  # a server that stops after it accepted the connection neither answers nor closes it
_TURN_S = 10.0  # longer than the connection's own lock timeout, which the server reports
STEP_S = 300.0  # a step may scan a large table. One that times out here continues in the server, and is found done later
_OURS = "SET lock_timeout = '5s'; SET idle_session_timeout = '10s'"  # a node that stops between two steps releases the lock
_AS_BEFORE = "RESET lock_timeout; RESET idle_session_timeout"
_CONVERSIONS: dict[int, Callable[[Any], Awaitable[None]]] = {4: by_name.convert}
"""What a `pre` of this number has this program do after its script, in the same transaction."""
_META = """
CREATE SCHEMA IF NOT EXISTS holdfast;
CREATE TABLE IF NOT EXISTS holdfast.schema_version(
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version int NOT NULL,                     -- the highest step of which `pre` was done
  min_compatible int NOT NULL               -- a node that does not know this step must not serve
);
INSERT INTO holdfast.schema_version(version, min_compatible) VALUES (0, 0) ON CONFLICT DO NOTHING;
"""


def steps(kind: str) -> dict[int, str]:
    """The scripts of one kind by number, oldest first."""
    found = {
        int(match[1]): entry.read_text()
        for entry in _FOLDER.iterdir()
        if (match := _STEP.match(entry.name)) and match[2] == kind
    }
    return dict(sorted(found.items()))


NEWEST = max(steps("pre"))


async def migrate(connection: Any, known: int = NEWEST) -> None:
    """Bring the schema to the version that this Holdfast knows; raises `StoreUnavailable` if the schema is too new for it."""
    if await _complete(connection, known):
        return
    await connection.execute(_OURS, timeout=ASK_S)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", _LOCK, timeout=_TURN_S)
        if await _at(connection) is None:
            await connection.execute(f"BEGIN; {_META} COMMIT", timeout=STEP_S)
        if not await _complete(connection, known):
            await _go(connection, known)
    finally:
        if not connection.is_closed():  # else it has released it, or will when its step is done
            undo = "ROLLBACK; " if connection.is_in_transaction() else ""
            await connection.execute(f"{undo}SELECT pg_advisory_unlock_all(); {_AS_BEFORE}", timeout=ASK_S)


async def _complete(connection: Any, known: int) -> bool:
    """Whether nothing is left to do."""
    version, oldest = await _at(connection) or (0, 0)
    if oldest > known:
        raise StoreUnavailable(
            f"The database has moved on to schema {version}, and serves nodes from schema {oldest} on; this Holdfast knows "
            f"up to {known}. Use the newer Holdfast. To go back, have that one write it out (`holdfast export`), and import it with this one into a "
            "new database (`holdfast import`)."
        )
    return version >= known and oldest >= known - 1


async def _go(connection: Any, known: int) -> None:
    version, oldest = await _at(connection) or (0, 0)
    if 0 < version < known:
        jobs = await connection.fetchval(
            "SELECT greatest(0, reltuples)::bigint FROM pg_class WHERE oid = 'holdfast.job'::regclass"
        )
        log.info(
            "the database goes to a newer schema; a million jobs take about a minute", schema=known, before=version, jobs=jobs
        )
    begun = time.monotonic()
    for number, script in steps("pre").items():
        if version < number <= known:
            await _do(connection, script, f"version = {number}", _CONVERSIONS.get(number))
    _, oldest = await _at(connection) or (0, 0)
    for number, script in steps("post").items():
        if oldest < number < known:
            await _do(connection, script, f"min_compatible = {number}")
    if max(oldest, known - 1) > oldest:
        await _do(connection, "", f"min_compatible = {known - 1}")
    if 0 < version < known:
        log.info("the database has the newer schema", schema=known, seconds=round(time.monotonic() - begun, 1))


async def _at(connection: Any) -> tuple[int, int] | None:
    if await connection.fetchval("SELECT to_regclass('holdfast.schema_version')", timeout=ASK_S) is None:
        return None
    row = await connection.fetchrow("SELECT version, min_compatible FROM holdfast.schema_version", timeout=ASK_S)
    return row["version"], row["min_compatible"]


async def _do(connection: Any, script: str, change: str, convert: Callable[[Any], Awaitable[None]] | None = None) -> None:
    log.info("a step of the database's schema", step=change)
    begin = f"BEGIN; SET LOCAL search_path = holdfast, pg_temp; {script};"
    end = f"UPDATE holdfast.schema_version SET {change}; COMMIT"
    if convert is None:
        await connection.execute(f"{begin} {end}", timeout=STEP_S)
        return
    await connection.execute(begin, timeout=STEP_S)
    await convert(connection)
    await connection.execute(end, timeout=STEP_S)
