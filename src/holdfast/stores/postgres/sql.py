"""The statements, one file each under `statements/`, loaded by name: what runs is what can be read.

A batch writes many kinds of rows. `together` puts several writing statements into one, each as a part of a `WITH`, so that they cost one
round trip; each part counts the rows that it touched.
"""

import re
from collections.abc import Collection
from functools import cache
from importlib.resources import files

from holdfast.stores.writing import ORDER

_FOLDER = files(__package__) / "statements"
_PARAMETER = re.compile(r"\$(\d+)")
SQL: dict[str, str] = {
    entry.name.removesuffix(".sql"): entry.read_text() for entry in _FOLDER.iterdir() if entry.name.endswith(".sql")
}

_ORDER = (*ORDER, "update_lows", "update_queue", "insert_kept_answer")
_WRITES_TO = {
    "insert_job": "job",
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
    "update_lows": "queue",
}
"""Where a statement's name does not say which table it writes to."""


@cache
def width(name: str) -> int:
    """How many parameters a statement takes."""
    return max((int(number) for number in _PARAMETER.findall(SQL[name])), default=0)


@cache
def together(names: tuple[str, ...]) -> str:
    """One statement out of several: their parameters one after the other, and one column for each with the number of rows touched."""
    parts, taken = [], 0
    for name in names:
        shifted = _PARAMETER.sub(lambda found, by=taken: f"${int(found[1]) + by}", SQL[name])  # type: ignore[misc]
        parts.append(f"{name} AS ({shifted} RETURNING 1)")
        taken += width(name)
    counts = ", ".join(f"(SELECT count(*) FROM {name})" for name in names)
    return f"WITH {', '.join(parts)} SELECT {counts}"


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
