"""`holdfast.AsyncClient` on Python's own event loop."""

from holdfast import AsyncClient


class Coroutines:
    """`AsyncClient.enqueue`, which sends an idempotency key of its own."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        self._client, self._queue, self._fill = AsyncClient(address), queue, "x" * payload_bytes

    async def opened(self) -> None:
        pass

    async def turn(self, n: int) -> None:
        await self._client.enqueue(self._queue, {"n": n, "fill": self._fill})
