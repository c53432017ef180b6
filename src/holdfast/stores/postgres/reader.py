"""Reads on one snapshot of the primary, in PostgreSQL's words."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from holdfast.stores.list_statements import Dialect
from holdfast.stores.postgres.misplaced import misplaced
from holdfast.stores.postgres.ready_floor import ready_floors_of
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.rows import Row, size_of

DIALECT = Dialect(
    join="JOIN",
    no_bytes="''::bytea",
    has_tag="coalesce(j.extras::jsonb->6 ? :tag, false)",
    payload_has_text="position(convert_to(:text, 'UTF8') IN j.payload) > 0",
    reason_has_text="strpos(e.reason, :text) > 0",
)
_NAMED = re.compile(r"(?<!:):([a-z]\w*)")
_ROWS_AT_ONCE = 16  # of a page: each may be as large as a payload
_TEXTS = frozenset(("type", "tag", "text"))


class PostgresSnapshot:
    """See `stores.reading.Snapshot`; within a transaction that the caller has begun."""

    dialect = DIALECT

    def __init__(self, connection: Any) -> None:
        self._db = connection

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
        numbered, names = numbered_parameters(sql)
        found: Sequence[Row] = await self._db.fetch(numbered, *[_clean(values[name]) for name in names])
        return found

    async def within(
        self, most_bytes: int, asked: str | tuple[str, Mapping[str, Any]], *values: Any
    ) -> tuple[Sequence[Row], bool]:
        """Some rows at a time, so that not many more than that are read."""
        found: list[Row] = []
        size = 0
        if isinstance(asked, str):
            sql, given = SQL[asked], [*map(_clean, values)]
        else:
            sql, names = numbered_parameters(asked[0])
            given = [_clean(asked[1][name]) for name in names]
        async for row in self._db.cursor(sql, *given, prefetch=_ROWS_AT_ONCE):
            size += size_of(tuple(row))
            if found and size > most_bytes:
                return found, True
            found.append(row)
        return found, False

    async def pause(self) -> bool:
        """A read here holds nobody up."""
        return False

    async def oldest_ready(self, names: Sequence[str]) -> dict[str, int]:
        """Looked for from where each line begins, as for a lease: an old snapshot keeps all dead rows in front of it."""
        called: dict[int, str] = {}
        ages: dict[str, int | None] = {}
        bounds: list[tuple[int, int, int]] = []
        for number, name, blob in await self.fetch("lows_of", list(names)):
            called[number] = name
            lows = ready_floors_of(blob, name)
            if lows is None:
                ((ages[name],),) = await self.fetch("oldest_ready_of_all", number)
            else:
                bounds += [(number, priority, low) for priority, low in lows.items()]
        if bounds:
            for number, ready_at in await self.fetch("oldest_ready", *map(list, zip(*bounds, strict=True))):
                ages[called[number]] = ready_at
        return {name: ready_at for name, ready_at in ages.items() if ready_at is not None}


@cache
def numbered_parameters(sql: str) -> tuple[str, tuple[str, ...]]:
    """The statement with `$1::bigint` and so on in the place of `:limit`, and the names of the parameters in their order."""
    names = tuple(dict.fromkeys(_NAMED.findall(sql)))

    def numbered(found: re.Match[str]) -> str:
        name = found[1]
        kind = "text" if name in _TEXTS or (name[0] in "kb" and name.endswith("t")) else "int" if name == "queue" else "bigint"
        return f"${names.index(name) + 1}::{kind}"

    return _NAMED.sub(numbered, sql), names


def _clean(value: Any) -> Any:
    """PostgreSQL takes no NUL in a text; a name or filter with one matches nothing, and this does neither."""
    return value.replace("\0", "\ufffd") if isinstance(value, str) else value
