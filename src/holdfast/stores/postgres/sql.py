"""The statements, one file each under `statements/`, loaded by name: what runs is what can be read.

A batch writes many kinds of rows. `together` puts several writing statements into one, each as a part of a `WITH`, so that they cost one
round trip; each part counts the rows that it touched.
"""

import re
from functools import cache
from importlib.resources import files

_FOLDER = files(__package__) / "statements"
_PARAMETER = re.compile(r"\$(\d+)")
SQL: dict[str, str] = {
    entry.name.removesuffix(".sql"): entry.read_text() for entry in _FOLDER.iterdir() if entry.name.endswith(".sql")
}


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
