"""Which of the sent jobs are acknowledged. For a worker that keeps its jobs when the connection breaks.

Each message with jobs has a number; the worker acknowledges deliveries up to a number. Jobs not acknowledged when the
connection broke are released at once: otherwise they would wait for the end of their leases, and count as crashes of jobs that
never ran.
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
        """Whether to send no more before an acknowledgement."""
        return len(self._open) >= CHANNEL_UNANSWERED

    def got(self, number: int) -> None:
        """All deliveries up to this one have arrived."""
        checks.number("delivery", number, 1, self._last)
        for known in [known for known in self._open if known <= number]:
            del self._open[known]

    def on_their_way(self) -> Iterator[int]:
        """The fences of jobs that may not have arrived."""
        for fences in self._open.values():
            yield from fences
