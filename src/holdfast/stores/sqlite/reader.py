"""Reads on a connection that can't write, in SQLite's words. Nothing in here waits: SQLite is called in place."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import apsw

from holdfast.errors import Overloaded
from holdfast.job.queue import QueuePolicy
from holdfast.messages.frame import A, Query
from holdfast.stores.list_statements import Dialect
from holdfast.stores.reader import Reader
from holdfast.stores.rows import Row, json_text, size_of
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.undecodable import fetch_undecodable

T = TypeVar("T")

DIALECT = Dialect(
    found="CROSS JOIN {table} {name} ON {key}",
    no_bytes="x''",
    has_extras=(
        "json_valid(j.extras) AND (:tag IS NULL OR EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(j.extras) THEN j.extras END, '$.tags')"
        " WHERE value = :tag)) AND (:meta IS NULL OR NOT EXISTS (SELECT 1 FROM json_each(:meta) m WHERE NOT EXISTS (SELECT 1 FROM"
        " json_each(CASE WHEN json_valid(j.extras) THEN j.extras END, '$.meta') e WHERE e.key = m.key AND e.value = m.value)))"
    ),
    is_seen=(
        "s.queue IN (SELECT q.id FROM json_each(:names) n JOIN queue q ON q.name = n.value UNION ALL SELECT q.id FROM json_each(:prefixes) p"
        " JOIN queue q ON q.name >= p.value AND q.name < p.value || char(127))"
    ),
    payload_has_text="instr(j.payload, CAST(:text AS BLOB))",
    payload_has_fields=(
        "json_valid(CAST(j.payload AS TEXT)) AND NOT EXISTS (SELECT 1 FROM (SELECT CAST(j.payload AS TEXT) AS text) p CROSS JOIN json_each(:field) f"
        " WHERE NOT EXISTS (SELECT 1 FROM json_each(f.value, '$.ways') w WHERE f.value ->> 'value' = CASE json_type(p.text, w.value)"
        " WHEN 'text' THEN p.text ->> w.value WHEN 'object' THEN NULL WHEN 'array' THEN NULL ELSE p.text -> w.value END))"
    ),
    reason_has_text="instr(e.reason, :text)",
    reason_has_error="instr(e.reason, :error)",
    ids="json_each(:ids) i",
)
_READ_S = 5.0  # a longer read is interrupted: it would keep the WAL from being reset
_STEPS = 4_000  # SQLite's steps between checks whether to continue; reading a payload of 1 MB, some 1 ms, is a few steps


class SqliteReader:
    """Answers queries on one connection, each on a snapshot of its own. `damaged` is called after invalid UTF-8 was read."""

    def __init__(self, connection: apsw.Connection, defaults: QueuePolicy, damaged: Callable[[], None] = lambda: None) -> None:
        self._db = connection
        self._defaults = defaults
        self._damaged = damaged
        self._deadline = 0.0
        self.stopped = False

    def answer(self, query: Query[A], now: int) -> A:
        """The answer as of now; raises a `HoldfastError` if there is none."""
        return _at_once(self._answer(query, now, SqliteSnapshot(self._db, self._damaged)))

    async def answer_in_stretches(self, query: Query[A], now: int) -> A:
        """The same on the connection that also writes: in short stretches, between which transactions go on."""
        return await self._answer(query, now, _Stretches(self._db, self._damaged, self._begin, self._end))

    async def _answer(self, query: Query[A], now: int, snapshot: "SqliteSnapshot") -> A:
        self._deadline = time.monotonic() + _READ_S
        self._begin()
        try:
            return await Reader(snapshot, self._defaults, names={}).answer(query, now)
        except apsw.InterruptError:
            raise self._too_long() from None
        finally:
            self._end()

    def _begin(self) -> None:
        if self._is_over():
            raise self._too_long()
        self._db.set_progress_handler(self._is_over, _STEPS)
        self._db.execute("BEGIN")

    def _end(self) -> None:
        self._db.set_progress_handler(None)
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _is_over(self) -> bool:
        return self.stopped or time.monotonic() > self._deadline

    @staticmethod
    def _too_long() -> Overloaded:
        return Overloaded(f"This read took longer than {_READ_S:.0f} s; narrow the filter.", retry_after_ms=1_000)

    def let_go_of_cache(self) -> None:
        """Free the pages that are kept in memory."""
        self._db.release_memory()

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()


def up_to(most_bytes: int, rows: Iterable[Row]) -> tuple[Sequence[Row], bool]:
    """The first rows, up to a size but at least one; and whether there were more."""
    found: list[Row] = []
    size = 0
    for row in rows:
        size += size_of(row)
        if found and size > most_bytes:
            return found, True
        found.append(row)
    return found, False


class SqliteSnapshot:
    """See `stores.reading.Snapshot`."""

    dialect = DIALECT

    def __init__(self, connection: apsw.Connection, damaged: Callable[[], None]) -> None:
        self._db = connection
        self._damaged = damaged

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """Ask one of the statements; it takes a list as JSON."""
        bindings = tuple(json_text(value) if isinstance(value, list) else value for value in values)
        return self._fetch(SQL[statement], bindings)

    async def listed(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """Ask for a part of a listing."""
        return self._fetch(sql, dict(values))

    async def within(
        self, most_bytes: int, asked: str | tuple[str, Mapping[str, Any]], *values: Any
    ) -> tuple[Sequence[Row], bool]:
        """Row by row, so that no more than that is read."""
        sql, given = (SQL[asked], values) if isinstance(asked, str) else (asked[0], dict(asked[1]))
        try:
            return up_to(most_bytes, self._db.execute(sql, given))
        except UnicodeDecodeError:
            return up_to(most_bytes, self._fetch(sql, given))

    def _fetch(self, sql: str, given: tuple[Any, ...] | dict[str, Any]) -> list[Row]:
        try:
            return list(self._db.execute(sql, given).fetchall())
        except UnicodeDecodeError:
            self._damaged()
            return fetch_undecodable(self._db, sql, given)

    async def pause(self) -> bool:
        """A read on a connection of its own does not block others."""
        return False

    async def inbox_of(self, job_id: int) -> str | None:  # noqa: ARG002
        """A file has no inbox."""
        return None

    async def oldest_ready(self, names: Sequence[str]) -> dict[str, int]:
        """One queue after the other."""
        found = {name: await self.fetch("oldest_ready", name) for name in names}
        return {name: ready_at for name, ((ready_at,),) in found.items() if ready_at is not None}


class _Stretches(SqliteSnapshot):
    """Several snapshots, one after the other: what is committed between them may be seen."""

    def __init__(
        self, connection: apsw.Connection, damaged: Callable[[], None], begin: Callable[[], None], end: Callable[[], None]
    ) -> None:
        super().__init__(connection, damaged)
        self._begin = begin
        self._end = end

    async def pause(self) -> bool:
        """Let go of the connection for a turn of the loop."""
        self._end()
        await asyncio.sleep(0)
        self._begin()
        return True


def _at_once(read: Coroutine[Any, Any, T]) -> T:
    """Run a read to its end: none of its steps waits for anything."""
    try:
        read.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    read.close()
    raise RuntimeError("a read of SQLite waited for something")
