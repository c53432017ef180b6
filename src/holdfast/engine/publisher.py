"""Publishing: one event, a copy to every queue that wants it, in one transaction or not at all.

Events are matched here, before the committer, with a copy of the interests: read once, then updated by the news of each change
(`routing/router.py`). The command carries their version. If they have changed since, the committer refuses the command and the
event is routed again. So an interest takes effect when its registration is answered, on every front and every node, and
matching never delays a commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from holdfast.engine.reader import Reader
from holdfast.errors import HoldfastError, NoInterest, Overloaded, StaleInterests, breach
from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.limits import FAN_OUT, IN_FLIGHT_COMMANDS
from holdfast.logs import structlog
from holdfast.messages.answers import Enqueued
from holdfast.messages.commands import Enqueue
from holdfast.messages.events import Committed
from holdfast.messages.views import InterestList
from holdfast.routing import fan_out
from holdfast.routing.interests import Match, Share, check
from holdfast.routing.router import Router

log = structlog.get_logger(__name__)
_TRIES = 10  # only a program with a defect changes interests faster than this


class Publisher:
    """Routes events by the current interests."""

    def __init__(self, reading: Reader, enqueue: Callable[[Enqueue], Awaitable[Enqueued]]) -> None:
        self._reading = reading
        self._enqueue = enqueue
        self._router = Router(self._read)
        self._coming = Share()

    def take(self, news: Committed) -> None:
        """Apply a change of interests."""
        if news.interests is not None:
            self._router.take(news.interests)

    async def _read(self) -> InterestList:
        return await self._reading.all_interests()

    async def queues_for(self, data: bytes) -> list[str]:
        """The queues that would get this event."""
        return (await self._router.route(data))[1]

    async def publish(
        self, event: NewJob, key: IdempotencyKey | None, require_interest: bool, to_workers: bool, skip_held: bool
    ) -> Enqueued:
        """A copy of `event` to each queue that wants its payload, or to each worker on it; its own queue is ignored."""
        for _ in range(_TRIES):
            version, names = await self._router.route(event.payload if event.content_type is None else None)
            if require_interest and not names:
                raise NoInterest("No queue subscribes to this event; nothing was enqueued.")
            if len(names) > FAN_OUT:
                raise breach("data", f"may reach at most {FAN_OUT} queues; {len(names)} subscribe to it")
            fan_out.check_bytes("data", len(event.payload), len(names))
            try:
                copies = [replace(event, queue=name) for name in names]
                return await self._enqueue(Enqueue(copies, key, version, to_workers, skip_held))
            except StaleInterests:
                self._router.forget(version)  # the news of the change has not arrived yet
        raise Overloaded("The subscriptions change too fast to route this event.", retry_after_ms=1_000)

    async def reserve(self, queue: str, match: Match) -> Share:
        """Check an interest, and reserve its share of the bound on all queues' interests until `let_go`."""
        if isinstance(match, str):
            return check(match)
        share = await self._router.in_thread(lambda: check(match))  # it compiles them
        await self._router.check_room(queue, share, lambda: self._coming)
        self._coming = self._coming.plus(share)  # no await since the check
        return share

    def let_go(self, share: Share) -> None:
        """Release the reservation: the interest has been written or refused."""
        self._coming = self._coming.minus(share)


class Unwaited:
    """Events published without waiting: bounded in number, and counted by outcome."""

    def __init__(self) -> None:
        self.kept = 0
        self.lost = 0
        self._tasks: set[asyncio.Task[Enqueued]] = set()

    async def begin(self, publishing: Coroutine[Any, Any, Enqueued]) -> None:
        """Start publishing. An immediate refusal is raised; a later one is counted and logged."""
        if len(self._tasks) >= IN_FLIGHT_COMMANDS:
            publishing.close()
            raise Overloaded(retry_after_ms=1_000)
        task = asyncio.create_task(publishing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.sleep(0)  # as far as the store: the checks before it have been made
        try:
            if task.done():
                task.result()
            task.add_done_callback(self._count)
        finally:
            del task  # a refusal refers to this frame by its traceback, and the task to the refusal

    def _count(self, task: "asyncio.Task[Enqueued]") -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            self.kept += 1
            return
        self.lost += 1
        if isinstance(error, HoldfastError):
            log.warning("an event was not stored after its caller had left", code=error.code, reason=error.detail)
        else:
            log.error("an event was not stored after its caller had left", exc_info=error)
