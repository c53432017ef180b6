"""Fair shares of queues: who waits, who has what, and who is to have more."""

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.fair import Share, Shares
from holdfast.client.retry import LONG_DEADLINE_S, path
from holdfast.errors import QueueNotFound


class Fair(AsyncCaller):
    """`shares`, `share`, `set_weight`, `unset_weight`."""

    async def shares(self, queue: str, *, after: str | None = None, limit: int | None = None) -> Shares:
        """Fair keys of a queue: those with most jobs waiting, or, with `after`, in the order of the keys. Raises `QueueNotFound`."""
        return await self._get(Shares, path("/v1/queues/{}/fair", queue, after=after, limit=limit), deadline_s=LONG_DEADLINE_S)

    async def share(self, queue: str, key: str) -> Share:
        """One fair key of a queue."""
        return await self._get(Share, path("/v1/queues/{}/fair/{}", queue, key))

    async def set_weight(self, queue: str, key: str | None, weight: int) -> Share:
        """Give a fair key (None: jobs without one) so many times the share of a key with weight 1, from its next start on."""
        where = path("/v1/queues/{}/fair", queue) if key is None else path("/v1/queues/{}/fair/{}", queue, key)
        return await self._send(Share, "PUT", where, {"weight": weight})

    async def unset_weight(self, queue: str, key: str) -> None:
        """Give a fair key its usual weight, 1."""
        await self._delete(path("/v1/queues/{}/fair/{}", queue, key), QueueNotFound)
