"""Which versions were released, and which steps of the schemas each of them knows: `releases.toml`, to which `make freeze` adds a row.

A node serves beside those of the release before its own, so the last row says from which step on other nodes are expected. What is released
has no row in its own tree: the row names the commit, so it comes in a later one.
"""

import tomllib
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec


class Release(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A version that was released. `sqlite` and `postgresql` are the newest steps of the schemas that it knows."""

    version: str
    commit: str
    date: date
    sqlite: int
    postgresql: int


@cache
def releases() -> tuple[Release, ...]:
    """All before this version, the oldest first."""
    text = (files(__package__) / "releases.toml").read_text(encoding="utf-8")
    return tuple(msgspec.convert(tomllib.loads(text).get("release", []), list[Release]))


def of_schema(step: int) -> str:
    """The versions whose newest step of PostgreSQL's schema this is, for a message; "" if none was released with it."""
    return ", ".join(release.version for release in releases() if release.postgresql == step)
