"""The whole content of a store as one stream of rows, to move it between any two stores.

Both stores have the same narrow tables; differences (how booleans are stored, what is only a cache) stay inside each store. So
the neutral form is a row of a table with the columns named here, in the order of the key. A store offers it as a `Source` and
accepts it as a `Target`, and neither knows the other. A target can be read like a source before it is final: `reconcile` reads
both from the beginning and compares row by row, so its result does not depend on how the rows were copied.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import msgspec

from holdfast.units import counted

PAGE_ROWS = 500
PAGE_BYTES = 8 << 20  # of payloads and results in one page, or one row if that is larger
NAMED = 20  # differences of one table that are named

Row = tuple[Any, ...]

_LINE = ("ready_at", "attempt", "failures", "crashes")


class Table(msgspec.Struct, frozen=True):
    """A table in its neutral form. The first `key` columns are its key; `truths` are stored as 0 and 1; `heavy` may be
    megabytes.
    """

    name: str
    columns: tuple[str, ...]
    key: int = 1
    truths: tuple[str, ...] = ()
    heavy: str | None = None


TABLES = (
    Table(
        "queue",
        ("id", "name", "settings", "paused", "created_at", "scheduled", "ready", "leased", "concluded", "dead", "cancelled", "bytes", "history_bytes", "paused_types", "sharing"),
    ),
    Table(
        "job",
        ("id", "queue", "priority", "max_attempts", "size", "created_at", "type", "extras", "content_type", "payload"),
        heavy="payload",
    ),
    Table("ready", ("queue", "priority", "job", *_LINE, "fair"), key=3),
    Table("fair_line", ("queue", "fair", "priority", "turn", "waiting", "first", "last", "weight"), key=3),
    Table("fair_clock", ("queue", "priority", "now", "most", "low", "lines"), key=2),
    Table("fair_weight", ("queue", "fair", "weight"), key=2),
    Table("held", ("queue", "group_key", "job", "priority", *_LINE), key=3),
    Table("ready_for", ("worker", "queue", "priority", "job", *_LINE), key=4),
    Table("waiting", ("account", "job", "queue", "priority", *_LINE), key=2),
    Table("budget", ("name", "units", "per_ms", "burst", "blocked_until", "created_at", "changed_at")),
    Table(
        "budget_account",
        (
            "account", "budget", "jobs", "waiting", "next_jobs", "next_units", "running", "owed", "owed_at", "per_ms", "blocked_until",
            "first_job", "first_cost", "by_queue", "wake_at",
        ),
    ),
    Table("group_place", ("queue", "group_key", "job"), key=3),
    Table(
        "leased",
        (
            "fence", "job", "queue", "priority", "until", "leased_at", "ready_at", "attempt", "failures", "crashes", "cancel", "secret",
            "worker", "request", "extended",
        ),
        truths=("cancel", "extended"),
    ),
    Table("scheduled", ("job", "queue", "ready_at", "priority", "attempt", "failures", "crashes")),
    Table(
        "ended",
        (
            "job", "queue", "state", "priority", "ended_at", "ready_at", "leased_at", "attempt", "failures", "crashes", "reason", "fence",
            "secret", "worker", "result", "followers",
        ),
        heavy="result",
    ),
    Table("job_error", ("job", "attempt", "at", "worker", "kind", "reason", "secret", "leased_at", "class", "message", "traceback", "place"), key=2),
    Table("progress", ("job", "value")),
    Table("unique_key", ("queue", "key", "job"), key=2),
    Table("job_expiry", ("job", "queue", "at")),
    Table("kept_answer", ("scope", "key", "digest", "receipts", "first_job", "last_job", "at"), key=2),
    Table("interest", ("queue", "match")),
    Table("worker", ("id", "name", "queues", "state", "registered_at", "types", "host", "pid", "version")),
    Table("access_key", ("id", "name", "value", "used_at")),
    Table("operation", ("id", "state", "ended_at", "value")),
    Table("schedule", ("name", "try_at", "paused", "state"), truths=("paused",)),
    Table(
        "job_batch",
        (
            "id", "name", "created_at", "queues", "level", "closed", "pending", "concluded", "dead", "cancelled", "success", "finish", "failure",
            "ended_at",
        ),
        truths=("closed",),
    ),
    Table("job_batch_closing", ("job_batch", "due", "queue", "member_of", "owed", "refusal", "job"), key=2, truths=("owed",)),
    Table("job_batch_member", ("job_batch", "job"), key=2),
    Table(
        "audit",
        (
            "id", "at", "action", "queue", "target", "note", "outcome", "done", "refused", "who", "address", "door", "run", "size",
        ),
    ),
)  # fmt: skip

SUMS = """
SELECT q.name, s.state, count(*), CAST(sum(j.size) AS bigint) FROM (
  SELECT queue, job, 'ready' AS state FROM ready UNION ALL SELECT queue, job, 'held' FROM held UNION ALL SELECT queue, job, 'ready_for' FROM ready_for
  UNION ALL SELECT queue, job, 'waiting' FROM waiting
  UNION ALL SELECT queue, job, 'scheduled' FROM scheduled UNION ALL SELECT queue, job, 'leased' FROM leased UNION ALL SELECT queue, job, state FROM ended
) s JOIN queue q ON q.id = s.queue JOIN job j ON j.id = s.job GROUP BY q.name, s.state
"""
"""Jobs and bytes of payload by queue and state; `held`, `ready_for` and `waiting` are ready jobs in a line of their own. Every store understands it."""


SETTLE_AUDIT = """
INSERT INTO audit_tally(only_row, last, removed, kept, bytes)
SELECT {row}, {last}, {removed}, count(*), CAST(coalesce(sum(size), 0) AS bigint) FROM audit WHERE true
ON CONFLICT (only_row) DO UPDATE SET last = excluded.last, removed = excluded.removed, kept = excluded.kept, bytes = excluded.bytes
"""
"""Count the entries of the audit log that have come; its places are its key, the last number and how many were removed."""


class Counters(msgspec.Struct, frozen=True):
    """The last ids of jobs, leases and audit log entries, the versions of the interests and the access keys, and how many
    entries were removed. They never go back, not even in a move.
    """

    job: int
    fence: int
    interests: int
    keys: int
    audit: int = 0
    audit_removed: int = 0


class CantMove(Exception):
    """The move can't be made; nothing was changed."""


class Source(Protocol):
    """A store in exclusive use, read at one snapshot."""

    def pages(self, table: Table) -> AsyncIterator[list[Row]]:
        """All rows in the order of their key, some at a time."""
        ...

    async def sums(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Jobs and bytes by queue and state."""
        ...

    async def counters(self) -> Counters:
        """The last ids used."""
        ...

    async def problems(self) -> list[str]:
        """Inconsistencies within the store, as `holdfast check` reports them."""
        ...


class Target(Source, Protocol):
    """An empty store. What it gets is stored by `commit`, all of it or nothing."""

    async def take(self, table: Table, rows: list[Row]) -> None:
        """Add rows."""
        ...

    async def settle(self, counters: Counters) -> None:
        """All rows are written: set the counters, and compute what only this store caches."""
        ...

    async def commit(self) -> None:
        """Make it final, and return when it is flushed."""
        ...


class Compared(msgspec.Struct):
    """One table on both sides: rows, and a checksum over all of them."""

    table: str
    rows_from: int = 0
    rows_to: int = 0
    sha256_from: str = ""
    sha256_to: str = ""


class Report(msgspec.Struct):
    """The result of the comparison. `differences` is empty if and only if both hold the same."""

    tables: list[Compared]
    queues: list[dict[str, Any]]
    counters_from: Counters
    counters_to: Counters
    differences: list[str]


async def demand_sound(source: Source) -> None:
    """Raises `CantMove` where the target would not be sound: that is found out before anything is copied."""
    problems = await source.problems()
    if problems:
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise CantMove(
            f"The source is not sound: {problems[0].rstrip('.')}{more}. `holdfast check` names all of it, and nothing was moved."
        )


async def copy(source: Source, target: Target, tell: Callable[[str, int], None]) -> None:
    """Copy everything from one into the other; `tell` is called with the number of rows of each table so far."""
    for table in TABLES:
        count = 0
        async for rows in source.pages(table):
            await target.take(table, rows)
            count += len(rows)
            tell(table.name, count)
    await target.settle(await source.counters())


async def reconcile(source: Source, target: Target, tell: Callable[[str, int], None]) -> Report:
    """Read both sides from the beginning and say where they differ."""
    differences: list[str] = []
    tables = [await _compare(table, source, target, differences, tell) for table in TABLES]
    before, after = await source.sums(), await target.sums()
    queues = []
    for queue, state in sorted(before.keys() | after.keys()):
        here, there = before.get((queue, state), (0, 0)), after.get((queue, state), (0, 0))
        queues.append(
            {
                "queue": queue,
                "state": state,
                "jobs_from": here[0],
                "bytes_from": here[1],
                "jobs_to": there[0],
                "bytes_to": there[1],
            }
        )
        if here != there:
            differences.append(
                f"queue {queue}: {counted(here[0], 'job')} ({here[1]} bytes) {state} became {there[0]} ({there[1]} bytes)"
            )
    numbers_from, numbers_to = await source.counters(), await target.counters()
    pairs = [(name, getattr(numbers_from, name), getattr(numbers_to, name)) for name in Counters.__struct_fields__]
    differences += [f"counter {name} is {there} and was {here}" for name, here, there in pairs if there < here]
    differences += [f"the target is not sound: {problem}" for problem in await target.problems()]
    return Report(tables, queues, numbers_from, numbers_to, differences)


class _Side:
    """The rows of one table on one side, one at a time, counted and hashed as they pass."""

    def __init__(self, pages: AsyncIterator[list[Row]]) -> None:
        self._pages = pages
        self._page: list[Row] = []
        self._at = 0
        self._hash = hashlib.sha256()
        self._encoder = msgspec.msgpack.Encoder()
        self.count = 0

    async def next(self) -> Row | None:
        """The next row; None at the end."""
        while self._at >= len(self._page):
            page = await anext(self._pages, None)
            if page is None:
                return None
            self._page, self._at = page, 0
        row = self._page[self._at]
        self._at += 1
        self.count += 1
        self._hash.update(self._encoder.encode(row))
        return row

    @property
    def digest(self) -> str:
        """The checksum of the rows so far."""
        return self._hash.hexdigest()


async def _compare(
    table: Table, source: Source, target: Target, differences: list[str], tell: Callable[[str, int], None]
) -> Compared:
    left, right = _Side(source.pages(table)), _Side(target.pages(table))
    found: list[str] = []
    one, other = await left.next(), await right.next()
    while one is not None or other is not None:
        key, other_key = one and one[: table.key], other and other[: table.key]
        if other_key is None or (key is not None and key < other_key):
            found.append(f"{table.name} {_named(key)} is missing in the target")
            one = await left.next()
        elif key is None or other_key < key:
            found.append(f"{table.name} {_named(other_key)} is only in the target")
            other = await right.next()
        else:
            if one != other:
                columns = [name for name, a, b in zip(table.columns, one or (), other or (), strict=True) if a != b]
                found.append(f"{table.name} {_named(key)} differs in {', '.join(columns)}")
            one, other = await left.next(), await right.next()
        if left.count % 10_000 == 0:
            tell(table.name, left.count)
    differences += found[:NAMED]
    if len(found) > NAMED:
        differences.append(f"{table.name}: {counted(len(found) - NAMED, 'more difference')}")
    return Compared(table.name, left.count, right.count, left.digest, right.digest)


def _named(key: Sequence[Any] | None) -> str:
    return " ".join(map(str, key or ()))
