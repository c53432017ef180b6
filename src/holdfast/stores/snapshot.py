"""What the reader of a store asks of its database."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from holdfast.stores.list_statements import Dialect
from holdfast.stores.rows import Row


class Snapshot(Protocol):
    """One snapshot of a store on a connection that can't write, for as long as it takes to answer."""

    @property
    def dialect(self) -> Dialect:
        """The database's own words."""
        ...

    async def fetch(self, statement: str, *values: Any) -> Sequence[Row]:
        """The rows of one of the store's statements, by its name. A list of values is for a statement that takes several at once."""
        ...

    async def listed(self, sql: str, values: Mapping[str, Any]) -> Sequence[Row]:
        """The rows of a composed listing statement."""
        ...

    async def within(
        self, most_bytes: int, asked: str | tuple[str, Mapping[str, Any]], *values: Any
    ) -> tuple[Sequence[Row], bool]:
        """The rows of a statement or of a section of a listing up to a size, but at least one; and whether there were more."""
        ...

    async def pause(self) -> bool:
        """Called between the stretches of a long read, to yield to others. Returns False if the read blocks no others."""
        ...

    async def inbox_of(self, job_id: int) -> str | None:
        """The queue of a job that was enqueued in a transaction of an application and is not taken in yet; None if there is none with this id."""
        ...

    async def oldest_ready(self, names: Sequence[str]) -> dict[str, int]:
        """By queue, when the first of its ready jobs became ready: the earliest of the first ones of its priorities."""
        ...
