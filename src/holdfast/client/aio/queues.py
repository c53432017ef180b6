"""Queues and their subscriptions (interests)."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, Unpack

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.retry import LONG_DEADLINE_S, path
from holdfast.client.types import Interest, Interests, Purged, Queue, QueuePage, QueueSettings, Reached, Scale
from holdfast.errors import QueueNotFound


class Queues(AsyncCaller):
    """Queues: `queues`, `queue`, `set_queue`, `change_queue`, `delete_queue`, `scale`, `pause`, `resume`, `pause_type`,
    `resume_type`, `purge`. Interests: `interests`, `interest`, `set_interest`, `delete_interest`, `who_wants`.
    """

    async def queues(self, *, page: int = 200) -> AsyncIterator[Queue]:
        """All queues by name, page after page."""
        cursor: str | None = None
        while True:
            got = await self._get(QueuePage, path("/v1/queues", limit=page, cursor=cursor), deadline_s=LONG_DEADLINE_S)
            for queue in got.queues:
                yield queue
            cursor = got.next_cursor
            if cursor is None:
                return

    async def queue(self, name: str) -> Queue:
        """One queue: its contents, and its settings."""
        return await self._get(Queue, path("/v1/queues/{}", name))

    async def set_queue(self, name: str, /, **settings: Unpack[QueueSettings]) -> Queue:
        """Create a queue, or replace all of its settings: those left out follow the server's defaults."""
        return await self._send(Queue, "PUT", path("/v1/queues/{}", name), settings)

    async def change_queue(self, name: str, /, **settings: Unpack[QueueSettings]) -> Queue:
        """Change some settings of an existing queue. Raises `QueueNotFound`."""
        return await self._send(Queue, "PATCH", path("/v1/queues/{}", name), settings)

    async def delete_queue(self, name: str) -> None:
        """Remove a queue that has no unfinished and no dead jobs."""
        await self._delete(path("/v1/queues/{}", name), QueueNotFound, LONG_DEADLINE_S)

    async def scale(self, queue: str, *, drain_ms: int = 60_000, concurrency: int = 1) -> Scale:
        """How many workers it needs to have done in `drain_ms` what waits now, if each runs `concurrency` jobs at once. Raises `QueueNotFound`."""
        return await self._get(Scale, path("/v1/queues/{}/scale", queue, drain_ms=drain_ms, concurrency=concurrency))

    async def pause(self, queue: str) -> Queue:
        """Stop leasing from it. Jobs can still be enqueued."""
        return await self._post(Queue, path("/v1/queues/{}/pause", queue))

    async def resume(self, queue: str) -> Queue:
        """Lease from it again."""
        return await self._post(Queue, path("/v1/queues/{}/resume", queue))

    async def pause_type(self, queue: str, type: str) -> Queue:
        """Stop leasing jobs of one type from it. They can still be enqueued."""
        return await self._send(Queue, "PUT", path("/v1/queues/{}/types/{}", queue, type), {"paused": True})

    async def resume_type(self, queue: str, type: str) -> Queue:
        """Lease jobs of this type again."""
        return await self._send(Queue, "PUT", path("/v1/queues/{}/types/{}", queue, type), {"paused": False})

    async def purge(self, queue: str, states: Iterable[str] = ("scheduled", "ready")) -> int:
        """Delete the jobs in these states (not leased ones); returns how many. After a lost answer it repeats the call, and counts only what was left."""
        where, body = path("/v1/queues/{}/purge", queue), {"states": list(states)}
        return (await self._post(Purged, where, body, deadline_s=LONG_DEADLINE_S)).purged

    async def interests(self) -> list[Interest]:
        """The subscriptions of all queues."""
        return (await self._get(Interests, "/v1/interests", deadline_s=LONG_DEADLINE_S)).interests

    async def interest(self, queue: str) -> Interest:
        """The subscription of one queue."""
        return await self._get(Interest, path("/v1/interests/{}", queue))

    async def set_interest(self, queue: str, match: str | dict[str, str] = "*") -> Interest:
        """Subscribe a queue: "*" for all events, or pairs of regular expressions for field and value."""
        return await self._send(Interest, "PUT", path("/v1/interests/{}", queue), {"match": match})

    async def delete_interest(self, queue: str) -> None:
        """Remove the queue's subscription."""
        await self._delete(path("/v1/interests/{}", queue), QueueNotFound)

    async def who_wants(self, data: Any) -> list[str]:
        """The queues that would get this event. Nothing is enqueued."""
        return (await self._post(Reached, "/v1/interests/test", {"data": data})).queues
