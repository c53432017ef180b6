"""Who listens to single jobs: event streams, and calls that wait for one job to end.

The backing sends job events only while somebody listens. A listener that is too slow loses events, is told how many, and never slows the
server down.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from holdfast.engine.events import Committed, JobEvent
from holdfast.errors import Overloaded
from holdfast.job.job import ENDED
from holdfast.limits import STREAM_BACKLOG, STREAMS


class Subscription:
    """One reader's backlog of events."""

    def __init__(self, queue: str | None) -> None:
        self.queue = queue
        self.missed = 0
        self._events: deque[JobEvent] = deque()
        self._some = asyncio.Event()
        self.ended = False

    def offer(self, event: JobEvent) -> None:
        """Add an event unless the backlog is full."""
        if self.queue is not None and event.queue != self.queue:
            return
        if len(self._events) >= STREAM_BACKLOG:
            self.missed += 1
            return
        self._events.append(event)
        self._some.set()

    async def next(self, seconds: float) -> list[JobEvent]:
        """All events that have come, waiting for the first up to `seconds`; empty when none came or the server drains."""
        if not self._events and not self.ended:
            try:
                async with asyncio.timeout(seconds):
                    await self._some.wait()
            except TimeoutError:
                pass  # nothing came: the caller sends a sign of life
        self._some.clear()
        events = list(self._events)
        self._events.clear()
        return events

    def end(self) -> None:
        """No more will come."""
        self.ended = True
        self._some.set()


class Hub:
    """Hands job events to those who listen."""

    def __init__(self, want: Callable[[bool], None]) -> None:
        self._want = want
        self._wanted = False
        self._subscriptions: set[Subscription] = set()
        self._endings: dict[int, set[asyncio.Future[None]]] = {}

    def take(self, news: Committed) -> None:
        """Hand on the events of one commit."""
        for event in news.jobs:
            for subscription in self._subscriptions:
                subscription.offer(event)
            if self._endings and (event.state is None or event.state in ENDED):
                for future in self._endings.pop(event.id, ()):
                    if not future.done():
                        future.set_result(None)

    def subscribe(self, queue: str | None) -> Subscription:
        """Begin to listen; `unsubscribe` ends it."""
        if len(self._subscriptions) >= STREAMS:
            raise Overloaded(f"There are {STREAMS} event streams already.", retry_after_ms=5_000)
        subscription = Subscription(queue)
        self._listen(lambda: self._subscriptions.add(subscription))
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop listening."""
        self._stop(lambda: self._subscriptions.discard(subscription))

    def watch(self, job_id: int) -> "asyncio.Future[None]":
        """A future that is done when the job has ended; `unwatch` lets go of it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listen(lambda: self._endings.setdefault(job_id, set()).add(future))
        return future

    def unwatch(self, job_id: int, future: "asyncio.Future[None]") -> None:
        """Stop watching."""

        def remove() -> None:
            watchers = self._endings.get(job_id)
            if watchers is not None:
                watchers.discard(future)
                if not watchers:
                    del self._endings[job_id]

        self._stop(remove)

    def drain(self) -> None:
        """Send everyone home."""
        for subscription in self._subscriptions:
            subscription.end()
        for watchers in self._endings.values():
            for future in watchers:
                if not future.done():
                    future.set_result(None)

    @property
    def streams(self) -> int:
        """How many event streams are open."""
        return len(self._subscriptions)

    @property
    def watchers(self) -> int:
        """How many calls wait for a job to end."""
        return sum(map(len, self._endings.values()))

    def _listen(self, add: Callable[[], None]) -> None:
        add()
        self._say_whether_wanted()

    def _stop(self, remove: Callable[[], None]) -> None:
        remove()
        self._say_whether_wanted()

    def _say_whether_wanted(self) -> None:
        if self._busy() != self._wanted:
            self._wanted = not self._wanted
            self._want(self._wanted)

    def _busy(self) -> bool:
        return bool(self._subscriptions or self._endings)
