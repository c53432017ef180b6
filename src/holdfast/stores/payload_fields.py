"""Paths into payloads as the statements of a listing take them: one JSON value, with each path in the words of both databases.

A part of digits is a place in an array or a name, as jobs have it: SQLite's paths tell the two apart, PostgreSQL's do not.
"""

import re
from typing import TypedDict

from holdfast.job.meta import Meta
from holdfast.stores.rows import json_text

_PLACE = re.compile(r"[0-9]{1,9}")


class _Wanted(TypedDict):
    path: list[str]
    ways: list[str]
    value: str


def written(fields: Meta) -> str | None:
    """What is looked for, as one parameter; None: nothing."""
    return json_text([_wanted(path.split("."), value) for path, value in fields]) if fields else None


def _wanted(path: list[str], value: str) -> _Wanted:
    ways = {"$" + "".join([_part(part, places) for part in path]) for places in (True, False)}
    return {"path": path, "ways": sorted(ways), "value": value}


def _part(name: str, places: bool) -> str:
    if places and _PLACE.fullmatch(name) is not None:
        return f"[{name}]"
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'."{quoted}"'
