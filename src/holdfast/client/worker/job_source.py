"""How a worker gets jobs and ends leases: one small interface, and long polls as its simplest form.

The live channel (websocket_source.py) is another; the session knows only this interface.
"""

import contextlib
import secrets
from collections.abc import Callable, Sequence
from typing import Protocol

from holdfast.client.aio.client import AsyncClient
from holdfast.client.outcomes import Ended, Entry
from holdfast.client.types import Job
from holdfast.client.worker.known_types import KnownTypes
from holdfast.errors import HoldfastError


class JobSource(Protocol):
    """What a session needs of a transport."""

    async def take(self, most: int) -> list[Job]:
        """Up to `most` jobs, once there is one; perhaps none, after a while."""
        ...

    async def end(self, entries: Sequence[Entry]) -> list[Ended]:
        """End leases; one outcome for each."""
        ...

    async def stop(self) -> list[Job]:
        """Take no more jobs. Returns those granted meanwhile, to be released."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class LongPollSource:
    """Long polls over HTTP, one at a time. A poll keeps its request id until it is answered, so no grant is lost in transit."""

    def __init__(
        self,
        client: AsyncClient,
        queues: Sequence[str],
        worker: Callable[[], str],
        lease_ms: int | None,
        wait_ms: int,
        order: str,
        types: KnownTypes,
    ) -> None:
        self._types = types
        self._client = client
        self._queues = list(queues)
        self._worker = worker
        self._lease_ms = lease_ms
        self._wait_ms = wait_ms
        self._order = order
        self._open: str | None = None

    async def take(self, most: int) -> list[Job]:
        """One long poll; when an earlier one was not answered, that one again."""
        self._open = self._open or secrets.token_hex(16)
        return await self._poll(most, self._wait_ms)

    async def _poll(self, most: int, wait_ms: int) -> list[Job]:
        try:
            jobs = await self._client.lease(
                self._queues,
                max=most,
                lease_ms=self._lease_ms,
                wait_ms=wait_ms,
                worker=self._worker(),
                order=self._order,
                request_id=self._open,
                types=self._types.names(),
            )
        except HoldfastError as error:
            if self._types.is_refused(error):
                return await self._poll(most, wait_ms)
            if not error.repeated and error.code not in ("outcome_unknown", "internal_error"):
                self._open = None
            raise
        self._open = None
        return jobs

    async def end(self, entries: Sequence[Entry]) -> list[Ended]:
        """One batch."""
        return await self._client.batch(entries)

    async def stop(self) -> list[Job]:
        """A poll that was cut off may have been granted jobs: repeating it with its request id ends it, and returns them."""
        jobs: list[Job] = []
        if self._open is not None:
            with contextlib.suppress(HoldfastError):  # then their leases end by themselves
                jobs = await self._poll(1, 0)
        return jobs

    async def close(self) -> None:
        """Nothing: the client, which is the worker's, may be that of other sources, too."""
