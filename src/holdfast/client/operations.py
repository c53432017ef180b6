"""Operations, as the client returns them."""

from datetime import datetime
from typing import Any

import msgspec


class Skipped(msgspec.Struct):
    """How many jobs were skipped for one reason, and the ids of the first."""

    reason: str
    count: int
    jobs: list[int] = []


class Waits(msgspec.Struct):
    """Why an operation can't go on just now."""

    reason: str
    detail: str
    next_at: datetime | None = None


class Operation(msgspec.Struct, kw_only=True):
    """One thing that the server does to many jobs, and how far it is; of a dry run only what it would be about, with `counts` by state, made at `counted_at`.

    `state` is `running`, `paused`, `done` or `cancelled`. `total`: the jobs that matched when it began (`at_least`: so many or more).
    """

    do: str
    states: list[str]
    total: int
    at_least: bool = False
    id: int = 0
    filter: dict[str, Any] = {}
    jobs: list[int] = []
    to: str | None = None
    per_s: float | None = None
    limit: int | None = None
    state: str = ""
    counts: dict[str, int] = {}
    counted_at: datetime | None = None
    done: int = 0
    skipped: list[Skipped] = []
    left: int = 0
    waits: Waits | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None
    who: str | None = None
    dry_run: bool = False
    duplicate: bool = False

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.ended_at is not None


class OperationPage(msgspec.Struct):
    """A page of operations, the newest first."""

    operations: list[Operation]
    next_cursor: str | None = None
