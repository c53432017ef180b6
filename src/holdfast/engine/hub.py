"""Subscribers to job events: event streams, and calls that wait for one job to end.

The backend sends job events only while there is a subscriber. A subscriber that is too slow loses events, gets their number,
and never slows down the server.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from holdfast.auth.caller import Caller
from holdfast.auth.keys import Ability
from holdfast.errors import Forbidden, HoldfastError, Overloaded
from holdfast.job.job import ENDED
from holdfast.limits import STREAM_BACKLOG, STREAMS
from holdfast.messages.events import Committed, JobEvent

_FEW = 250  # events encoded as one text


class Heard:
    """Events of one commit, shared by all subscribers: `text` is encoded once and serves every reader."""

    __slots__ = ("events", "text")

    def __init__(self, events: Sequence[JobEvent]) -> None:
        self.events = events
        self.text: bytes | None = None


class JobEnd:
    """The end of a job that callers wait for; the read by the first of them serves them all."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: asyncio.Future[Any] | None = None


class Subscription:
    """One reader's backlog of events."""

    def __init__(self, queue: str | None, caller: Caller | None = None) -> None:
        self.queue = queue
        self.caller = caller
        self.end_code = ""  # why it ended, unless the server ended
        self.missed = 0
        self._heard: deque[Heard] = deque()
        self._count = 0
        self._some = asyncio.Event()
        self.ended = False

    def offer(self, heard: Heard) -> None:
        """Add events, as far as the backlog has room: those of queues that the reader may see."""
        self.look_at_key()
        if self.ended:
            return
        if self.caller is not None and self.caller.scope is not None and self.queue is None:
            heard = Heard([event for event in heard.events if self.caller.sees(event.queue)])
            if not heard.events:
                return
        room = STREAM_BACKLOG - self._count
        count = len(heard.events)
        if count > room:
            self.missed += count - max(0, room)
            if room <= 0:
                return
            heard, count = Heard(heard.events[:room]), room
        self._heard.append(heard)
        self._count += count
        self._some.set()

    def look_at_key(self) -> None:
        """A reader whose key may not read any more, or not of this queue, is sent away."""
        caller = self.caller
        if caller is not None and not (Ability.READ in caller.abilities and (self.queue is None or caller.sees(self.queue))):
            self.lose_access(Forbidden())

    async def next(self, seconds: float) -> list[JobEvent]:
        """All queued events, waiting for the first up to `seconds`; empty if none came or the server drains."""
        first = await self.heard(seconds)
        found = [] if first is None else list(first.events)
        while self._heard:
            found += self._pop().events
        return found

    async def heard(self, seconds: float) -> Heard | None:
        """The next few events, waiting for them up to `seconds`; None if none came or the server drains.

        A reader with a long backlog yields to the others after every few events.
        """
        if self._heard:
            await asyncio.sleep(0)
        elif not self.ended:
            self._some.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._some.wait()
            except TimeoutError:
                pass  # none came: the caller sends a keepalive
        return self._pop() if self._heard else None

    def _pop(self) -> Heard:
        heard = self._heard.popleft()
        self._count -= len(heard.events)
        return heard

    def lose_access(self, error: HoldfastError) -> None:
        """The subscriber's key was revoked or has expired."""
        self.end_code = error.code
        self._heard.clear()
        self._count = 0
        self.end()

    def end(self) -> None:
        """There will be no more events."""
        self.ended = True
        self._some.set()


class Hub:
    """Delivers job events to subscribers."""

    def __init__(self, want: Callable[[bool], None]) -> None:
        self._want = want
        self._wanted = False
        self._subscriptions: dict[str | None, set[Subscription]] = {}
        self.streams = 0
        self._endings: dict[int, set[asyncio.Future[JobEnd | None]]] = {}

    def take(self, news: Committed) -> None:
        """Deliver the events of one commit. The cost is proportional to events plus readers, not to their product."""
        if self._subscriptions:
            self._tell_streams(news.jobs)
        if self._endings:
            for event in news.jobs:
                if event.state is None or event.state in ENDED:
                    self._tell_waiters(event.id)

    def _tell_streams(self, events: Sequence[JobEvent]) -> None:
        by_queue: dict[str | None, list[JobEvent]] = {None: list(events)}
        if len(self._subscriptions) > (None in self._subscriptions):
            for event in events:
                by_queue.setdefault(event.queue, []).append(event)
        for queue in self._subscriptions.keys() & by_queue.keys():
            for start in range(0, len(by_queue[queue]), _FEW):
                heard = Heard(by_queue[queue][start : start + _FEW])
                for subscription in self._subscriptions[queue]:
                    subscription.offer(heard)

    def _tell_waiters(self, job_id: int) -> None:
        ending = JobEnd()
        for future in self._endings.pop(job_id, ()):
            if not future.done():
                future.set_result(ending)

    def subscribe(self, queue: str | None, caller: Caller | None = None) -> Subscription:
        """Subscribe; `unsubscribe` ends it. `caller`: the key that permits it, if keys are in force."""
        if self.streams >= STREAMS:
            raise Overloaded(f"There are {STREAMS} event streams already.", retry_after_ms=5_000)
        subscription = Subscription(queue, caller)
        if caller is not None:
            caller.opened(subscription, subscription.lose_access)
        self.streams += 1
        self._listen(lambda: self._subscriptions.setdefault(queue, set()).add(subscription))
        return subscription

    def end_anonymous(self, error: HoldfastError) -> None:
        """End the streams that began before there was an access key."""
        for readers in self._subscriptions.values():
            for subscription in readers:
                if subscription.caller is None:
                    subscription.lose_access(error)

    def look_at_keys(self) -> None:
        """End the streams whose keys do not let read them any more."""
        for readers in self._subscriptions.values():
            for subscription in readers:
                subscription.look_at_key()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Unsubscribe."""
        if subscription.caller is not None:
            subscription.caller.closed(subscription)

        def remove() -> None:
            readers = self._subscriptions.get(subscription.queue, set())
            if subscription in readers:
                self.streams -= 1
                readers.discard(subscription)
                if not readers:
                    del self._subscriptions[subscription.queue]

        self._stop(remove)

    def watch(self, job_id: int) -> "asyncio.Future[JobEnd | None]":
        """A future that is done when the job has ended; `unwatch` releases it."""
        future: asyncio.Future[JobEnd | None] = asyncio.get_running_loop().create_future()
        self._listen(lambda: self._endings.setdefault(job_id, set()).add(future))
        return future

    def unwatch(self, job_id: int, future: "asyncio.Future[JobEnd | None]") -> None:
        """Stop watching."""

        def remove() -> None:
            watchers = self._endings.get(job_id)
            if watchers is not None:
                watchers.discard(future)
                if not watchers:
                    del self._endings[job_id]

        self._stop(remove)

    def drain(self) -> None:
        """End all streams and waits."""
        for readers in self._subscriptions.values():
            for subscription in readers:
                subscription.end()
        for watchers in self._endings.values():
            for future in watchers:
                if not future.done():
                    future.set_result(None)

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
