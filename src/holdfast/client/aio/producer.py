"""Enqueueing jobs. Every call sends one idempotency key over all its tries, so a repeated try never enqueues a second job."""

from collections.abc import Iterable
from typing import Any, Unpack

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.bodies import chunks, event_body, job_body, raw_query
from holdfast.client.retry import LONG_DEADLINE_S, jobs_path, new_key, path
from holdfast.client.types import Enqueued, EnqueuedMany, NewJob, Published, PublishOptions, PutOptions, Receipt
from holdfast.errors import HoldfastError


class Producer(AsyncCaller):
    """`enqueue`, `enqueue_many`, `publish`."""

    async def enqueue(
        self,
        queue: str,
        payload: Any = None,
        *,
        content_type: str | None = None,
        idempotency_key: str | None = None,
        wait_ms: int | None = None,
        lease: str | None = None,
        **options: Unpack[PutOptions],
    ) -> Enqueued:
        """Enqueue one job. When this returns, the job is stored as `durability` of the result says.

        `payload` is anything that JSON can represent (also dataclasses, `msgspec.Struct`s and datetimes), or bytes, which are stored unchanged
        with their `content_type`. `wait_ms`: how long to wait for capacity in a full queue, before it raises `QueueFull`.
        `lease`: the token of a running job, which adds to its own batch even if that is closed.
        """
        if content_type is None and not isinstance(payload, bytes | bytearray | memoryview):
            where = jobs_path(queue) if wait_ms is None else path("/v1/queues/{}/jobs", queue, wait_ms=wait_ms)
            return await self._create(Enqueued, where, job_body(payload, options), idempotency_key, wait_ms or 0, lease=lease)
        body = payload.encode() if isinstance(payload, str) else bytes(payload)
        where = path("/v1/queues/{}/jobs", queue, wait_ms=wait_ms, **raw_query(options))
        kind = content_type or "application/octet-stream"
        return await self._create(Enqueued, where, body, idempotency_key, wait_ms or 0, kind, lease=lease)

    async def enqueue_many(
        self,
        jobs: Iterable[NewJob],
        *,
        idempotency_key: str | None = None,
        wait_ms: int | None = None,
        lease: str | None = None,
    ) -> list[Receipt]:
        """Enqueue jobs to any queues in chunks of up to 1,000. Each chunk is enqueued as a whole or not at all, **but not all chunks together**.

        If a chunk is refused, the error's field `enqueued` has the receipts of the chunks before it, which are stored.
        """
        key = idempotency_key or new_key()
        receipts: list[Receipt] = []
        for number, body in enumerate(chunks(jobs)):
            try:
                where = path("/v1/jobs", wait_ms=wait_ms)
                done = await self._create(
                    EnqueuedMany, where, body, f"{key}.{number}", wait_ms or 0, deadline_s=LONG_DEADLINE_S, lease=lease
                )
            except HoldfastError as error:
                error.fields["enqueued"] = receipts
                raise
            receipts += done.jobs
        return receipts

    async def publish(
        self,
        data: Any,
        *,
        scope: str = "any",
        require_interest: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[PublishOptions],
    ) -> Published:
        """Enqueue one copy of an event to each subscribed queue, all or none. `scope="all"`: one for each registered worker of these queues."""
        body = event_body(data, scope, require_interest, options)
        return await self._create(Published, "/v1/publish", body, idempotency_key)
