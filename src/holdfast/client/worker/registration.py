"""A worker's place in the server's list of workers."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence

from holdfast.client.aio.client import AsyncClient
from holdfast.client.sync.client import Client
from holdfast.client.worker.connectivity import Reach
from holdfast.client.worker.known_types import KnownTypes, is_about_types
from holdfast.client.worker_types import RegisteredWorker
from holdfast.errors import HoldfastError, WorkerNotFound

_PAUSE_S = 1.0  # after a registration that failed, before the next
_FOR_GOOD = frozenset({400, 401, 403, 404, 405})


class Registration:
    """`worker` is what the worker calls itself: its name, or the id that it got by registering."""

    def __init__(self, queues: Sequence[str], name: str, types: KnownTypes | None = None, version: str | None = None) -> None:
        self.worker = name
        self._types = types or KnownTypes(lambda: (None,))
        self._queues = queues
        self._name = name
        self._version = version
        self._id: str | None = None

    async def begin(self, client: AsyncClient, stopped: asyncio.Event, reach: Reach) -> None:
        """Register; while no server answers, retry until one does or the worker is stopped. Raises a permanent refusal."""
        stopping = asyncio.create_task(stopped.wait())
        try:
            while not stopped.is_set():
                trying = asyncio.create_task(self._try(client, reach))
                try:
                    await asyncio.wait({trying, stopping}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    trying.cancel()  # harmless if it was removed already
                    await asyncio.gather(trying, return_exceptions=True)
                if not trying.cancelled() and (worker := trying.result()) is not None:
                    self._id = self.worker = worker.id
                    return
        finally:
            stopping.cancel()

    async def _try(self, client: AsyncClient, reach: Reach) -> RegisteredWorker | None:
        try:
            try:
                return await client.register_worker(self._queues, self._name, self._types.names(), self._version)
            except HoldfastError as error:
                if not is_about_types(error):
                    raise
                return await client.register_worker(self._queues, self._name, version=self._version)
        except HoldfastError as error:
            if error.status in _FOR_GOOD:
                raise
            reach.hindered("the worker could not be registered", error)
        await asyncio.sleep(_PAUSE_S)
        return None

    def beat(self, client: Client, heed: Callable[[str], None]) -> None:
        """Send a heartbeat; the answer says whether to take no more jobs, or to end. A worker that the server has removed registers again."""
        assert self._id is not None, "only who is registered beats"
        try:
            heed(client.beat(self._id).state)
        except WorkerNotFound:
            self._id = self.worker = self._again(client)

    def _again(self, client: Client) -> str:
        try:
            return client.register_worker(self._queues, self._name, self._types.names(), self._version).id
        except HoldfastError as error:
            if not is_about_types(error):
                raise
            return client.register_worker(self._queues, self._name, version=self._version).id

    def end(self, client: Client) -> None:
        """Unregister, and close the connections of the lease extender's thread."""
        if self._id is not None:
            with contextlib.suppress(HoldfastError):  # then it is removed after its silence
                client.remove_worker(self._id)
        client.close()
