"""The statements, one file each under `statements/`, loaded by name: what runs is what can be read.

A batch writes many kinds of rows. `together` combines several writing statements into one, each as a part of a `WITH`, so that
they take one round trip; each part counts the rows that it touched. Columns of numbers and texts are sent in PostgreSQL's array
syntax: the driver takes six times as long for a list, because it checks each entry for nested lists.
"""

import re
from collections.abc import Callable, Collection, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from holdfast.stores.rows import Row
from holdfast.stores.writer import ORDER

STATEMENTS_KEPT = 256  # prepared, by each connection: some 4 kB here and 80 kB in PostgreSQL each
_FOLDER = files(__package__) / "statements"
_PARAMETER = re.compile(r"\$(\d+)")
_WRITTEN = re.compile(r"(\$(\d+))::((bigint|int|boolean|text)\[\])")
_BETWEEN = '","'
_json = msgspec.json.Encoder()
SQL: dict[str, str] = {
    entry.name.removesuffix(".sql"): entry.read_text() for entry in _FOLDER.iterdir() if entry.name.endswith(".sql")
}

_ORDER = (
    *ORDER,
    "update_ready_floors",
    "update_queue",
    "update_queue_types",
    "delete_fair_line",
    "insert_fair_line",
    "insert_fair_clock",
    "insert_job_batch",
    "update_job_batch",
    "insert_closing_job",
    "delete_closing_job",
    "owe_closing_job",
    "insert_kept_answer",
)
_WRITES_TO = {
    "insert_job": "job",
    "insert_ready_typed": "ready",
    "insert_ready_fair": "ready",
    "insert_ready_fair_typed": "ready",
    "update_job": "job",
    "update_content": "job",
    "delete_job": "job",
    "insert_error": "job_error",
    "delete_errors": "job_error",
    "save_progress": "progress",
    "delete_progress": "progress",
    "insert_unique": "unique_key",
    "delete_unique": "unique_key",
    "insert_kept_answer": "kept_answer",
    "update_queue": "queue",
    "update_queue_types": "queue",
    "insert_closing_job": "job_batch_closing",
    "delete_closing_job": "job_batch_closing",
    "owe_closing_job": "job_batch_closing",
    "update_ready_floors": "queue",
}
"""Where a statement's name does not say which table it writes to."""


@cache
def width(name: str) -> int:
    """How many parameters a statement takes."""
    return max((int(number) for number in _PARAMETER.findall(SQL[name])), default=0)


@cache
def _ways(name: str) -> tuple[Callable[[Sequence[Any]], str | list[Any]], ...]:
    """For each parameter of a statement, what makes it out of a column."""
    kinds = {int(match[2]): match[4] for match in _WRITTEN.finditer(SQL[name])}
    return tuple(
        list if number not in kinds else texts if kinds[number] == "text" else numbers for number in range(1, width(name) + 1)
    )


def columns(name: str, rows: Sequence[Row]) -> list[str | list[Any]]:
    """Rows as the parameters of their statement within `together`, column by column.

    `unnest` pads shorter arrays with NULL, so a column with NULLs only need not be sent.
    """
    return [
        way(() if column[0] is None and column.count(None) == len(column) else column)
        for way, column in zip(_ways(name), zip(*rows, strict=True), strict=True)
    ]


def numbers(values: Sequence[int | None]) -> str:
    """Numbers or booleans in array syntax: JSON with other brackets."""
    return f"{{{_json.encode(values)[1:-1].decode()}}}"


def texts(values: Sequence[str | None]) -> str:
    """Texts as an array: each in quotation marks, with those within it and its backslashes behind a backslash."""
    if None not in values:
        joined = _BETWEEN.join(values)  # type: ignore[arg-type]  # there is no None among them
        if values and "\\" not in joined and joined.count('"') == _BETWEEN.count('"') * (len(values) - 1):
            return f'{{"{joined}"}}'
    return f"{{{','.join(map(_quoted, values))}}}"


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@lru_cache(STATEMENTS_KEPT)  # there may be thousands of combinations, and a connection keeps no more prepared
def together(names: tuple[str, ...]) -> str:
    """One statement out of several: their parameters one after the other, and one column for each with the number of rows touched.

    An insert has none: it writes all its rows or fails, and counting them would cost a copy.
    """
    parts, counts, taken = [], [], 0
    for name in names:
        shifted = _PARAMETER.sub(lambda found, by=taken: f"${int(found[1]) + by}", SQL[name])  # type: ignore[misc]
        statement = _WRITTEN.sub(r"\1::text::\3", shifted)
        counted = not name.startswith("insert_")
        parts.append(f"{name} AS ({statement}{' RETURNING 1' if counted else ''})")
        counts.append(f"(SELECT count(*) FROM {name})" if counted else "NULL")
        taken += width(name)
    return f"WITH {', '.join(parts)} SELECT {', '.join(counts)}"


def in_steps(names: Collection[str]) -> list[tuple[str, ...]]:
    """These statements in their order, in as few steps as may be.

    The parts of one step see the same snapshot and run in no certain order, so that no two of them may touch one table.
    """
    steps: list[list[str]] = []
    touched: set[str] = set()
    for name in _ORDER:
        if name in names:
            table = _WRITES_TO.get(name) or name.split("_", 1)[1]
            if not steps or table in touched:
                steps.append([])
                touched = set()
            steps[-1].append(name)
            touched.add(table)
    return [tuple(step) for step in steps]
