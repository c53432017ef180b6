"""Publishing: one event, a copy to every queue that wants it, in one transaction or not at all.

Events are matched here, before the committer, with the interests as they were last read. The command carries their version, and the
committer refuses it if they have changed since; then they are read anew and the event is routed again. So an interest counts from the
moment that its registration is answered, on every front and every node, and matching never holds up a commit.
"""

from collections.abc import Awaitable, Callable

from holdfast.engine.commands import Enqueued
from holdfast.engine.events import Committed
from holdfast.engine.reading import Reading
from holdfast.errors import NoInterest, Overloaded, StaleInterests
from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.routing.interests import Interests

_TRIES = 10  # interests that change faster than this are changed by a program gone wrong

Enqueue = Callable[[list[NewJob], IdempotencyKey | None, int, bool], Awaitable[Enqueued]]


class Publishing:
    """Routes events by the interests of the moment."""

    def __init__(self, reading: Reading, enqueue: Enqueue) -> None:
        self._reading = reading
        self._enqueue = enqueue
        self._interests: Interests | None = None

    def take(self, news: Committed) -> None:
        """Forget interests that have changed."""
        if news.interests is not None and self._interests is not None and news.interests != self._interests.version:
            self._interests = None

    async def queues_for(self, data: bytes) -> list[str]:
        """The queues that would get this event."""
        return (await self._current()).queues_for(data)

    async def publish(self, event: NewJob, key: IdempotencyKey | None, require_interest: bool, to_workers: bool) -> Enqueued:
        """A copy of `event` to each queue that wants its payload, or to each worker on it; its own queue is not looked at."""
        for _ in range(_TRIES):
            interests = await self._current()
            names = interests.queues_for(event.payload) if event.content_type is None else []
            if require_interest and not names:
                raise NoInterest("No queue is interested in this event; nothing was put.")
            try:
                return await self._enqueue([_copy(event, name) for name in names], key, interests.version, to_workers)
            except StaleInterests:
                self._interests = None
        raise Overloaded("The interests change too fast to route by them.", retry_after_ms=1_000)

    async def _current(self) -> Interests:
        if self._interests is None:
            read = await self._reading.interests()
            self._interests = Interests(read.version, read.interests)
        return self._interests


def _copy(event: NewJob, queue: str) -> NewJob:
    return NewJob(
        queue,
        event.payload,
        event.type,
        event.content_type,
        event.priority,
        event.delay_ms,
        event.run_at,
        event.max_attempts,
        event.extras,
    )
