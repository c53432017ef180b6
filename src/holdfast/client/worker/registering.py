"""A worker's place in the server's list of workers."""

import contextlib
from collections.abc import Callable, Sequence

from holdfast.client.aio.client import AsyncClient
from holdfast.client.sync.client import Client
from holdfast.errors import HoldfastError, WorkerNotFound


class Registration:
    """`worker` is what the worker calls itself: its name, or the id that it got by registering."""

    def __init__(self, queues: Sequence[str], name: str) -> None:
        self.worker = name
        self._queues = queues
        self._name = name
        self._id: str | None = None

    async def begin(self, client: AsyncClient) -> None:
        """Register."""
        self._id = self.worker = (await client.register_worker(self._queues, self._name)).id

    def beat(self, client: Client, quiet: Callable[[bool], None]) -> None:
        """Say that it is there, and hear whether it was sent home. One that the server has forgotten registers anew."""
        assert self._id is not None, "only who is registered beats"
        try:
            quiet(client.beat(self._id).state == "quiet")
        except WorkerNotFound:
            self._id = self.worker = client.register_worker(self._queues, self._name).id

    def end(self, client: Client) -> None:
        """Leave the list, and close the connections of the thread that kept the leases."""
        if self._id is not None:
            with contextlib.suppress(HoldfastError):  # then it is removed after its silence
                client.remove_worker(self._id)
        client.close()
