"""A signal that something was committed, for readers that only need to look again, such as open pages. Many commits are one
signal.
"""

import asyncio

from holdfast.errors import Overloaded
from holdfast.limits import STREAMS


class ChangeSignal:
    """Counts commits with news, and wakes those who wait for the next."""

    def __init__(self) -> None:
        self._number = 0
        self._changed: asyncio.Event | None = None
        self.ended = False
        self.listeners = 0

    def beat(self) -> None:
        """Something was committed."""
        self._number += 1
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def join(self) -> None:
        """Begin to listen; `leave` ends it. Raises `Overloaded` past the bound on open streams."""
        if self.listeners >= STREAMS:
            raise Overloaded(f"There are {STREAMS} open pages already.", retry_after_ms=5_000)
        self.listeners += 1

    def leave(self) -> None:
        """Stop listening."""
        self.listeners -= 1

    async def wait(self, seen: int, seconds: float) -> int:
        """Return when there is news since `seen`, when the time is up or when the server drains; returns the new `seen`."""
        if seen == self._number and not self.ended:
            if self._changed is None:
                self._changed = asyncio.Event()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                pass  # without a commit too: ages and leases change with time
        return self._number

    def end(self) -> None:
        """Wake everyone; there will be no more news."""
        self.ended = True
        self.beat()
