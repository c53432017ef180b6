"""What a store that several nodes share has to do, and one with a single writing process has not: nobody else is there."""

from collections.abc import Callable, Sequence

from holdfast.job.queue import Queue


class SingleWriter:
    """A store that no other process writes to."""

    shared = False

    async def look_at(self, names: Sequence[str]) -> list[Queue]:  # noqa: ARG002
        """Of no use here: whatever happens is told."""
        return []

    async def notify(self, text: str) -> None:
        """No other process listens."""

    def listen(self, listener: Callable[[str], None]) -> None:
        """Nobody will say anything."""

    async def share_beats(self, beats: dict[str, int]) -> None:
        """All beats come here."""


class SingleWriterTransaction:
    """A transaction whose numbers come from memory."""

    async def served(self) -> tuple[bool, int] | None:
        """The one process that serves knows by itself when it did not."""
        return None

    async def reserve_job_ids(self, count: int) -> None:
        """There are always enough."""
