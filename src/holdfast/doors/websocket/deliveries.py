"""Which of the jobs that were sent are known to have come. For a worker that keeps its jobs when the connection breaks.

Each message with jobs has a number; the worker says up to which one it has them. What was on its way when the connection broke is nobody's: it
goes back at once, or it would wait for the end of its lease, and count as a crash of a job that never ran.
"""

from collections.abc import Iterator

from holdfast.engine import checks
from holdfast.limits import CHANNEL_UNANSWERED


class Deliveries:
    """The deliveries of one channel."""

    __slots__ = ("_last", "_open")

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[int, list[int]] = {}  # fences of jobs by the number of their delivery, in its order

    def sent(self, fences: list[int]) -> int:
        """The number of this delivery."""
        self._last += 1
        self._open[self._last] = fences
        return self._last

    @property
    def too_many(self) -> bool:
        """Whether to send no more before something is heard of them."""
        return len(self._open) >= CHANNEL_UNANSWERED

    def got(self, number: int) -> None:
        """All have come up to this one."""
        checks.number("delivery", number, 1, self._last)
        for known in [known for known in self._open if known <= number]:
            del self._open[known]

    def on_their_way(self) -> Iterator[int]:
        """The fences of jobs that may not have come."""
        for fences in self._open.values():
            yield from fences
