"""Which of the sent jobs are acknowledged. For a worker that keeps its jobs when the connection breaks.

Each message with jobs has a number; the worker acknowledges deliveries up to a number. Jobs not acknowledged when the
connection broke are released at once: otherwise they would wait for the end of their leases, and count as crashes of jobs that
never ran. Unless the worker has extended them elsewhere: a server may learn of the break long after its worker.
"""

from collections.abc import Iterator

from holdfast.engine import checks
from holdfast.job.job import LeaseRef
from holdfast.limits import CHANNEL_UNANSWERED


class Deliveries:
    """The deliveries of one channel."""

    __slots__ = ("_last", "_open")

    def __init__(self) -> None:
        self._last = 0
        self._open: dict[
            int, list[tuple[LeaseRef, int]]
        ] = {}  # leases and when they end, by the number of their delivery, in its order

    def sent(self, leases: list[tuple[LeaseRef, int]]) -> int:
        """The number of this delivery."""
        self._last += 1
        self._open[self._last] = leases
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

    def on_their_way(self) -> Iterator[tuple[LeaseRef, int]]:
        """The leases that may not have arrived, and when they ended as they were granted."""
        for leases in self._open.values():
            yield from leases
