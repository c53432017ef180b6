"""Reads on one snapshot of the primary, in PostgreSQL's words."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import asyncpg

from holdfast.stores.list_statements import Dialect
from holdfast.stores.postgres.misplaced import misplaced
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.rows import Row, ready_floors_of, size_of

T = TypeVar("T")

_HEX, _DIGIT = "[0-9a-fA-F]", "[1-9a-fA-F]"
_CHARACTER = (
    rf'[^"\\\u0001-\u001f]|\\["\\/bfnrt]|\\u([1-9a-cA-CeEfF]{_HEX}{{3}}|[dD][0-7]{_HEX}{{2}}|0{_DIGIT}{_HEX}{{2}}|00{_DIGIT}{_HEX}|000{_DIGIT})'
    rf"|\\u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
)
_STRING = f'"({_CHARACTER})*"'
_PLAIN = rf"(null|true|false|-?(0|[1-9][0-9]{{0,30}})(\.[0-9]{{1,30}})?([eE][+-]?[0-9]{{1,2}})?|{_STRING})"
_FLAT = rf"({_PLAIN}|\[({_PLAIN}(, *{_PLAIN})*)?\]|\{{({_STRING} *: *{_PLAIN}(, *{_STRING} *: *{_PLAIN})*)?\}})"
_EXTRAS = rf"^\{{({_STRING} *: *{_FLAT}(, *{_STRING} *: *{_FLAT})*)?\}}$"
"""Extras as they are written: an object of plain values, and of arrays and objects of those."""

_HAS_EXTRAS = (
    "((:tag IS NULL OR j.extras::jsonb -> 'tags' ? :tag) AND (:meta IS NULL OR j.extras::jsonb -> 'meta' @> :meta::jsonb))"
)
DIALECT = Dialect(
    found="CROSS JOIN LATERAL (SELECT * FROM {table} {name} WHERE {key} OFFSET 0) {name}",
    no_bytes="''::bytea",
    has_extras=f"coalesce({_HAS_EXTRAS}, false)",
    is_seen=(
        "s.queue IN (SELECT q.id FROM jsonb_array_elements_text(:names::jsonb) n(value) JOIN queue q ON q.name = n.value UNION ALL"
        " SELECT q.id FROM jsonb_array_elements_text(:prefixes::jsonb) p(value) JOIN queue q"
        """ ON q.name >= p.value COLLATE "C" AND q.name < (p.value || chr(127)) COLLATE "C")"""
    ),
    payload_has_text="position(convert_to(:text, 'UTF8') IN j.payload) > 0",
    payload_has_fields="payload_has(j.payload, :field::json)",
    reason_has_text="strpos(e.reason, :text) > 0",
    reason_has_error="strpos(e.reason, :error) > 0",
    ids="(SELECT v::bigint AS value FROM jsonb_array_elements_text(:ids::jsonb) v) i",
)
_HAS_EXTRAS_ANYHOW = f"coalesce(CASE WHEN j.extras ~ '{_EXTRAS}' THEN {_HAS_EXTRAS} END, false)"
"""The same of extras of which some are no JSON."""
_NO_JSON = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
"""What a cast of extras raises that are none; it ends the whole statement."""
_NAMED = re.compile(r"(?<!:):([a-z]\w*)")
_ROWS_AT_ONCE = 16  # of a page: each may be as large as a payload
_TEXTS = frozenset(("type", "tag", "text", "meta", "names", "prefixes", "error", "ids", "worker", "field", "ended_by"))


class PostgresSnapshot:
    """See `stores.reading.Snapshot`; within a transaction that the caller has begun."""

    dialect = DIALECT

    def __init__(self, connection: Any) -> None:
        self._db = connection
        self._spoiled = False

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """Ask one of the statements."""
        if statement == "misplaced_job":
            return await misplaced(self._asked, *values)
        return await self._asked(statement, *values)

    async def _asked(self, statement: str, *values: Any) -> Sequence[Row]:
        found: Sequence[Row] = await self._db.fetch(SQL[statement], *map(_clean, values))
        return found

    async def listed(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """Ask for a part of a listing."""

        async def ask(sql: str) -> Sequence[Row]:
            numbered, names = numbered_parameters(sql)
            found: Sequence[Row] = await self._db.fetch(numbered, *[_clean(values[name]) for name in names])
            return found

        return await self._anyhow(sql, values, ask)

    async def within(
        self, most_bytes: int, asked: str | tuple[str, Mapping[str, Any]], *values: Any
    ) -> tuple[Sequence[Row], bool]:
        """Some rows at a time, so that not many more than that are read."""
        if isinstance(asked, str):
            return await self._up_to(most_bytes, SQL[asked], [*map(_clean, values)])
        sql, named = asked

        async def ask(sql: str) -> tuple[Sequence[Row], bool]:
            numbered, names = numbered_parameters(sql)
            return await self._up_to(most_bytes, numbered, [_clean(named[name]) for name in names])

        return await self._anyhow(sql, named, ask)

    async def _anyhow(self, sql: str, values: Mapping[str, Any], ask: Callable[[str], Awaitable[T]]) -> T:
        """The rows of a search; by tag or meta, if some row's extras are not JSON, with a slower statement that skips those rows."""
        if (values.get("tag") is None and values.get("meta") is None) or DIALECT.has_extras not in sql:
            return await ask(sql)
        if not self._spoiled:
            await self._db.execute("SAVEPOINT sound")
            try:
                return await ask(sql)
            except _NO_JSON:
                await self._db.execute("ROLLBACK TO sound")
                self._spoiled = True
        return await ask(sql.replace(DIALECT.has_extras, _HAS_EXTRAS_ANYHOW))

    async def _up_to(self, most_bytes: int, sql: str, given: Sequence[Any]) -> tuple[Sequence[Row], bool]:
        found: list[Row] = []
        size = 0
        async for row in self._db.cursor(sql, *given, prefetch=_ROWS_AT_ONCE):
            size += size_of(tuple(row))
            if found and size > most_bytes:
                return found, True
            found.append(row)
        return found, False

    async def pause(self) -> bool:
        """A read here does not block others."""
        return False

    async def inbox_of(self, job_id: int) -> str | None:
        """Read in the same snapshot in which there is no such job."""
        found = await self.fetch("inbox_of", job_id)
        return found[0][0] if found else None

    async def oldest_ready(self, names: Sequence[str]) -> dict[str, int]:
        """Searched from where each queue's order begins, as for a lease: an old snapshot keeps all dead rows in front of it."""
        called: dict[int, str] = {}
        ages: dict[str, int | None] = {}
        bounds: list[tuple[int, int, int]] = []
        for number, name, column in await self.fetch("ready_floors_of", list(names)):
            called[number] = name
            floors = ready_floors_of(column, name)
            if floors is None:
                ((ages[name],),) = await self.fetch("oldest_ready_of_all", number)
            else:
                bounds += [(number, priority, floor) for priority, floor in floors.items()]
        if bounds:
            for number, ready_at in await self.fetch("oldest_ready", *map(list, zip(*bounds, strict=True))):
                ages[called[number]] = ready_at
        return {name: ready_at for name, ready_at in ages.items() if ready_at is not None}


@cache
def numbered_parameters(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1::bigint` and so on in place of `:limit`, and the names of the parameters in order."""
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))

    def numbered(found: re.Match[str]) -> str:
        name = found[1]
        kind = "text" if name in _TEXTS or (name[0] in "kb" and name.endswith("t")) else "int" if name == "queue" else "bigint"
        return f"${names.index(name) + 1}::{kind}"

    return _NAMED.sub(numbered, sql), names


def _clean(value: Any) -> Any:
    """PostgreSQL takes no NUL in a text; a name or filter with one matches nothing, and this does neither."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
