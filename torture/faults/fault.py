"""A fault: a name, the reason why this machine can't do it (if any), a place for the store, and its effect on a trial."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torture.trial import Trial


class Fault(Protocol):
    """One way to break a server."""

    name: str
    about: str

    def unavailable(self) -> str | None:
        """Why this machine can't do it; None if it can."""
        ...

    def place(self, work: Path) -> AbstractAsyncContextManager[Path]:
        """An async context that provides the directory for the store."""
        ...

    async def torment(self, trial: Trial) -> None:
        """Inject the fault into the running server `trial.plan.rounds` times, under load."""
        ...


class Anywhere:
    """For faults that every machine can do, on a store in the work directory."""

    def unavailable(self) -> str | None:
        """Nothing is needed."""
        return None

    @asynccontextmanager
    async def place(self, work: Path) -> AsyncIterator[Path]:
        """A plain directory."""
        home = work / "store"
        home.mkdir()
        yield home
