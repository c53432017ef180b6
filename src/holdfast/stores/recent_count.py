"""A count that is too dear to be made for each use, and that need not be exact: a bound far from what is usual depends on it."""

import time
from collections.abc import Awaitable, Callable

_RECENT_S = 10.0


class RecentCount:
    """A number that was counted not long ago, with what was added since."""

    def __init__(self) -> None:
        self._count = 0
        self._counted_at = -_RECENT_S

    async def of(self, count: Callable[[], Awaitable[int]]) -> int:
        """The number, counted anew if it is old."""
        now = time.monotonic()
        if now - self._counted_at >= _RECENT_S:
            self._count, self._counted_at = await count(), now
        return self._count

    def add(self, more: int) -> None:
        """So many have come."""
        self._count += more
