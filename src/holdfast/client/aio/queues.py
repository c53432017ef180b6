"""Queues, and which events they want."""

from collections.abc import AsyncIterator, Iterable
from typing import Any, Unpack

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.retry import path
from holdfast.client.types import Interest, Interests, Purged, Queue, QueuePage, QueueSettings, Reached
from holdfast.errors import QueueNotFound


class Queues(AsyncCaller):
    """Queues: `queues`, `queue`, `set_queue`, `change_queue`, `delete_queue`, `pause`, `resume`, `purge`. Interests: `interests`, `interest`,
    `set_interest`, `delete_interest`, `who_wants`.
    """

    async def queues(self, *, page: int = 200) -> AsyncIterator[Queue]:
        """All queues by name, page after page."""
        cursor: str | None = None
        while True:
            got = await self._get(QueuePage, path("/v1/queues", limit=page, cursor=cursor))
            for queue in got.queues:
                yield queue
            cursor = got.next_cursor
            if cursor is None:
                return

    async def queue(self, name: str) -> Queue:
        """One queue: what it holds, and its settings."""
        return await self._get(Queue, path("/v1/queues/{}", name))

    async def set_queue(self, name: str, /, **settings: Unpack[QueueSettings]) -> Queue:
        """Make a queue, or set all of its settings: what is left out goes back to the server's default."""
        return await self._send(Queue, "PUT", path("/v1/queues/{}", name), settings)

    async def change_queue(self, name: str, /, **settings: Unpack[QueueSettings]) -> Queue:
        """Change some settings of a queue that is there."""
        return await self._send(Queue, "PATCH", path("/v1/queues/{}", name), settings)

    async def delete_queue(self, name: str) -> None:
        """Remove a queue that has no unfinished and no dead jobs."""
        await self._delete(path("/v1/queues/{}", name), QueueNotFound)

    async def pause(self, queue: str) -> Queue:
        """Lease nothing from it; it takes new jobs all the same."""
        return await self._post(Queue, path("/v1/queues/{}/pause", queue))

    async def resume(self, queue: str) -> Queue:
        """Lease from it again."""
        return await self._post(Queue, path("/v1/queues/{}/resume", queue))

    async def purge(self, queue: str, states: Iterable[str] = ("scheduled", "ready")) -> int:
        """Remove jobs in these states, any but leased; how many were removed. After a lost answer it goes on where it was, and counts anew."""
        return (await self._post(Purged, path("/v1/queues/{}/purge", queue), {"states": list(states)})).purged

    async def interests(self) -> list[Interest]:
        """Which events each queue wants."""
        return (await self._get(Interests, "/v1/interests")).interests

    async def interest(self, queue: str) -> Interest:
        """Which events one queue wants."""
        return await self._get(Interest, path("/v1/interests/{}", queue))

    async def set_interest(self, queue: str, match: str | dict[str, str] = "*") -> Interest:
        """Say which events a queue wants: "*" for all, or pairs of regular expressions for field and value."""
        return await self._send(Interest, "PUT", path("/v1/interests/{}", queue), {"match": match})

    async def delete_interest(self, queue: str) -> None:
        """The queue wants nothing more."""
        await self._delete(path("/v1/interests/{}", queue), QueueNotFound)

    async def who_wants(self, data: Any) -> list[str]:
        """Where an event would go. Nothing is put."""
        return (await self._post(Reached, "/v1/interests/test", {"data": data})).queues
