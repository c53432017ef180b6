"""Parts of the store protocol that only a shared store needs: with a single writing process they do nothing."""

from collections.abc import Callable, Sequence

from holdfast.job.queue import Queue


class SingleWriter:
    """A store that no other process writes to."""

    shared = False

    async def look_at(self, names: Sequence[str]) -> list[Queue]:  # noqa: ARG002
        """Not needed here: all changes are announced."""
        return []

    async def notify(self, text: str) -> None:
        """No other process listens."""

    def listen(self, listener: Callable[[str], None]) -> None:
        """Nobody will say anything."""

    async def share_beats(self, beats: dict[str, int]) -> None:
        """All heartbeats arrive here."""


class SingleWriterTransaction:
    """A transaction whose ids come from memory."""

    async def served(self) -> tuple[bool, int] | None:
        """The single process detects outages itself."""
        return None

    async def reserve(self, job_ids: int = 0, fences: int = 0) -> None:
        """There are always enough."""
