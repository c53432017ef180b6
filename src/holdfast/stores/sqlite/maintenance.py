"""Verify a store file, also while it is in use."""

import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import apsw

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
from holdfast.stores.rows import schedule_of
from holdfast.stores.sqlite.connect import APPLICATION_ID, migrations, open_reader, too_new
from holdfast.stores.sqlite.files import UnfitPlace, check_regular
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.undecodable import fetch_undecodable, is_text
from holdfast.stores.unreadable import shown

_CHECKS = files(__package__) / "checks"
_DECODED = {("job", "extras"), ("queue", "settings"), ("interest", "match"), ("worker", "queues")}


def check(path: Path) -> list[str]:
    """The problems of a store file, as sentences; empty if there are none. Reads one snapshot, beside a running server."""
    return problems_in(
        path,
        lambda connection: (
            problems_of(connection) + _idle(connection) + _far(connection) + _undecodable(connection) + _spoiled(connection)
        ),
    )


def problems_in(path: Path, look: Callable[[apsw.Connection], list[str]]) -> list[str]:
    """What one of the checks finds in a file."""
    connection = open_store(path)
    try:
        connection.execute("BEGIN")
        return look(connection)
    except apsw.Error as error:
        raise UnfitPlace(f"{path} can't be read: {error}") from None
    finally:
        connection.close()


def problems_of(connection: apsw.Connection) -> list[str]:
    """The same, of what a connection sees in the transaction that it is in."""
    problems = [f"integrity: {row[0]}" for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    undecoded = _unreadable(connection)
    problems += undecoded
    problems += unreadable_others(*(connection.execute(statement) for statement in OTHERS))
    for entry in sorted(_CHECKS.iterdir(), key=lambda entry: entry.name):
        name, statement = entry.name.removesuffix(".sql").replace("_", " "), entry.read_text()
        if undecoded and "extras" in statement:
            problems.append(f"{name}: can't be checked before all extras can be read")
        else:
            found = fetch_undecodable(connection, statement, (), of_jobs=False)
            problems += [f"{name}: {' '.join(map(str, row))}" for row in found]
    return problems


def _unreadable(connection: apsw.Connection) -> list[str]:
    problems: list[str] = []
    after: Any = 0
    while len(problems) < TOLD and (page := fetch_undecodable(connection, SQL["extras_after"], (after, PAGE))):
        problems += unreadable(page)
        after = page[-1][0]
    return problems[:TOLD]


def _idle(connection: apsw.Connection) -> list[str]:
    problems: list[str] = []
    after: Any = ""
    while len(problems) < TOLD and (page := fetch_undecodable(connection, SQL["schedules_after"], (after, PAGE))):
        problems += idle([schedule_of(str(name), *rest) for name, *rest in page], time.time_ns() // 1_000_000)
        if len(page) < PAGE or page[-1][0] == after:  # a name that is not text is stored elsewhere than its shown form would be
            break
        after = page[-1][0]
    return problems[:TOLD]


def _undecodable(connection: apsw.Connection) -> list[str]:
    """Invalid UTF-8 in any text column, except those that are decoded for other checks."""
    connection.create_scalar_function("is_text", _is_text, 1, deterministic=True)
    problems: list[str] = []
    for (table,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall():
        columns = {name: kind for _, name, kind, *_ in connection.execute(f"PRAGMA table_info({table})")}
        key = next((name for name in ("job", "id") if name in columns), next(iter(columns)))
        for column in [name for name, kind in columns.items() if kind == "TEXT" and (table, name) not in _DECODED]:
            found = connection.execute(
                f"SELECT CAST({key} AS BLOB), CAST({column} AS BLOB) FROM {table}"  # noqa: S608  (the schema's own names)
                f" WHERE {column} <> '' AND NOT is_text(CAST({column} AS BLOB)) LIMIT {TOLD}"
            )
            problems += [
                f"text can be read: {table} {bytes(of).decode(errors='replace')} has the {column} {shown(bytes(text))}"
                for of, text in found
            ]
    return problems


def _is_text(*values: Any) -> bool:
    return is_text(values[0])


def _far(connection: apsw.Connection) -> list[str]:
    far = time.time_ns() // 1_000_000 + FAR_MS
    return [
        moment_of(sentence, row) for sentence, statement in MOMENTS for row in fetch_undecodable(connection, statement, (far,))
    ]


def _spoiled(connection: apsw.Connection) -> list[str]:
    """The stored contents and results of jobs: read after the snapshot, so that the WAL can be reset during a long read."""
    connection.execute("ROLLBACK")
    problems: list[str] = []
    for kind, decode, statement in CONTENTS:
        found: list[str] = []
        after: Any = 0
        while len(found) < TOLD and (page := connection.execute(statement, (after, CONTENTS_PAGE)).fetchall()):
            found += spoiled(kind, decode, page)
            after = page[-1][0]
        problems += found[:TOLD]
    return problems


def open_any(path: Path) -> apsw.Connection:
    """A store file of any schema to be read; raises `UnfitPlace` if it is not one."""
    check_regular(path)
    try:
        connection = open_reader(path)
    except apsw.Error as error:
        raise UnfitPlace(f"{path} can't be opened: {error}") from None
    try:
        owner = connection.pragma("application_id")
        connection.pragma("user_version")  # which callers read next
    except apsw.Error as error:
        connection.close()
        raise UnfitPlace(f"{path} can't be opened: {error}") from None
    if owner != APPLICATION_ID:
        connection.close()
        raise UnfitPlace(f"{path} is not a store of Holdfast.")
    return connection


def open_store(path: Path, *, older: bool = False) -> apsw.Connection:
    """A store file to be read; raises `UnfitPlace` if it has not the schema of this version. `older`: an older one will do."""
    connection = open_any(path)
    version, newest = connection.pragma("user_version"), migrations()[-1][0]
    if version > newest:
        said = too_new(connection, version)
    elif version < newest and not older:
        said = f"{path} has schema {version} and not {newest}: use the Holdfast that wrote it, or start this one on it once."
    else:
        return connection
    connection.close()
    raise UnfitPlace(said)
