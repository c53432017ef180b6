"""Leases by type: which types a call wants, and how far a queue keeps its ready jobs by their types.

A call that names types takes only jobs of these; a type that is paused in a queue is given to nobody. Most calls name none, and most queues
have none paused. While all that is first in a queue fits, nothing more is kept for it either: only when other jobs are in front of what a call
wants does the queue become `typed`. Then what is ready is given its type bit by bit, and what becomes ready brings it along.

    plain ── a call finds too little among the first jobs ──▶ typed, up to a place ──▶ typed ── nothing is ready any more ──▶ plain
"""

from collections.abc import Collection
from typing import Annotated

import msgspec

from holdfast.limits import ID_MAX

TypeNames = frozenset[str]
_Place = Annotated[int, msgspec.Meta(ge=-1, le=ID_MAX)]


class Typed(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Of a queue: what is ready is also kept by type, of those at or before the place `upto` (priority and id of a job); None: of all."""

    upto: tuple[_Place, _Place] | None = None


NOTHING_YET = Typed((-1, 0))
"""Of a queue that has just become typed."""


class Types(msgspec.Struct, frozen=True):
    """Jobs of these types, or of all but these."""

    names: TypeNames
    only: bool = True

    def fit(self, job_type: str) -> bool:
        """Whether a job of this type is wanted."""
        return (job_type in self.names) is self.only


def to_give(named: Collection[str] | None, paused: Collection[str]) -> Types | None:
    """What a call that names these types, or none, may get from a queue where some are paused; None: everything."""
    if named is None:
        return Types(frozenset(paused), False) if paused else None
    return Types(frozenset(named).difference(paused))


def in_both(one: tuple[str, ...] | None, other: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The types that are in both; None has all."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(name for name in one if name in other)
