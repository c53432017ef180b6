"""Maintenance of a database: check that all its data is consistent. Reads one snapshot, beside running nodes."""

import time
from importlib.resources import files
from typing import Any

import asyncpg

from holdfast.errors import StoreUnavailable
from holdfast.stores.check import (
    CONTENTS,
    CONTENTS_PAGE,
    FAR_MS,
    MOMENTS,
    OTHERS,
    PAGE,
    TOLD,
    idle,
    moment_of,
    spoiled,
    unreadable,
    unreadable_others,
)
from holdfast.stores.postgres.connect import ALWAYS, GONE, connect
from holdfast.stores.postgres.hosts import described
from holdfast.stores.postgres.migrate import demand
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.rows import schedule_of

_CHECKS = files(__package__) / "checks"
_SETTINGS = ALWAYS | {  # and planned freely
    "application_name": "holdfast-check",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
}


async def check(url: str) -> list[str]:
    """The problems of the database's jobs, as sentences; empty if there are none. Raises `StoreUnavailable`."""
    connection = await connect(url, _SETTINGS)
    try:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await demand(connection)
        problems = await problems_of(connection) + await _idle(connection) + await _far(connection)
        await connection.execute("COMMIT")  # dead rows can be cleaned away while much is read
        return problems + await _spoiled(connection)
    except (*GONE, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"The database can't be checked: {described(error)}.") from error
    finally:
        connection.terminate()


async def waiting(url: str) -> int:
    """How many jobs in the inbox no node has taken in yet. Raises `StoreUnavailable`."""
    connection = await connect(url, _SETTINGS)
    try:
        count: int = await connection.fetchval("SELECT count(*) FROM inbox")
    except (*GONE, asyncpg.PostgresError) as error:
        raise StoreUnavailable(f"The database can't be checked: {described(error)}.") from error
    else:
        return count
    finally:
        connection.terminate()


async def problems_of(connection: Any) -> list[str]:
    """The same, of what a connection sees in the transaction that it is in."""
    problems = await _unreadable(connection)
    undecoded = bool(problems)
    problems += unreadable_others(*[await connection.fetch(statement) for statement in OTHERS])
    for entry in sorted(_CHECKS.iterdir(), key=lambda entry: entry.name):
        name, statement = entry.name.removesuffix(".sql").replace("_", " "), entry.read_text()
        if undecoded and "extras" in statement:
            problems.append(f"{name}: can't be checked before all extras can be read")
        else:
            problems += [f"{name}: {' '.join(map(str, row))}" for row in await connection.fetch(statement)]
    return problems


async def _idle(connection: Any) -> list[str]:
    problems: list[str] = []
    after = ""
    while len(problems) < TOLD and (page := await connection.fetch(SQL["schedules_after"], after, PAGE)):
        problems += idle([schedule_of(*row) for row in page], time.time_ns() // 1_000_000)
        after = page[-1]["name"]
    return problems[:TOLD]


async def _far(connection: Any) -> list[str]:
    now = await connection.fetchval("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    found = [(sentence, await connection.fetch(statement, now + FAR_MS)) for sentence, statement in MOMENTS]
    return [moment_of(sentence, row) for sentence, page in found for row in page]


async def _spoiled(connection: Any) -> list[str]:
    """The stored contents and results of jobs."""
    problems: list[str] = []
    for kind, decode, statement in CONTENTS:
        found: list[str] = []
        after = 0
        while len(found) < TOLD and (page := await connection.fetch(statement, after, CONTENTS_PAGE)):
            found += spoiled(kind, decode, page)
            after = page[-1][0]
        problems += found[:TOLD]
    return problems


async def _unreadable(connection: Any) -> list[str]:
    problems: list[str] = []
    after = 0
    while len(problems) < TOLD and (page := await connection.fetch(SQL["extras_after"], after, PAGE)):
        problems += unreadable(page)
        after = page[-1]["id"]
    return problems[:TOLD]
