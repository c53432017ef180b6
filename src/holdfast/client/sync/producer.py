# Generated from client/aio/producer.py by `make client`. Change that one.
"""Putting jobs. Every call sends an idempotency key that is made once, so a repeated try never makes a second job."""

import secrets
from collections.abc import Iterable
from typing import Any, Unpack

from holdfast.client.bodies import chunks, event_body, job_body, raw_query
from holdfast.client.retry import path
from holdfast.client.sync.caller import Caller
from holdfast.client.types import Enqueued, EnqueuedMany, JobOptions, NewJob, Published, Receipt
from holdfast.errors import HoldfastError


class Producer(Caller):
    """`enqueue`, `enqueue_many`, `publish`."""

    def enqueue(
        self,
        queue: str,
        payload: Any = None,
        *,
        content_type: str | None = None,
        idempotency_key: str | None = None,
        wait_ms: int | None = None,
        **options: Unpack[JobOptions],
    ) -> Enqueued:
        """Put one job; once this returns, it is kept.

        `payload` is anything that JSON can say (dataclasses, `msgspec.Struct`s and datetimes included), or bytes, which are kept as they are
        with their `content_type`. `wait_ms`: how long to wait for room in a full queue, instead of raising `QueueFull` at once.
        """
        if content_type is None and not isinstance(payload, bytes | bytearray | memoryview):
            where = path("/v1/queues/{}/jobs", queue, wait_ms=wait_ms)
            return self._create(Enqueued, where, job_body(payload, options), idempotency_key, wait_ms or 0)
        body = payload.encode() if isinstance(payload, str) else bytes(payload)
        where = path("/v1/queues/{}/jobs", queue, wait_ms=wait_ms, **raw_query(options))
        kind = content_type or "application/octet-stream"
        return self._create(Enqueued, where, body, idempotency_key, wait_ms or 0, kind)

    def enqueue_many(
        self, jobs: Iterable[NewJob], *, idempotency_key: str | None = None, wait_ms: int | None = None
    ) -> list[Receipt]:
        """Put jobs, over any queues, in chunks of up to 1,000: each chunk is put whole or not at all, **the sum of them is not**.

        When a chunk is refused, the error's field `enqueued` has the receipts of the chunks before it: they are kept.
        """
        key = idempotency_key or secrets.token_hex(16)
        receipts: list[Receipt] = []
        for number, body in enumerate(chunks(jobs)):
            try:
                done = self._create(EnqueuedMany, path("/v1/jobs", wait_ms=wait_ms), body, f"{key}.{number}", wait_ms or 0)
            except HoldfastError as error:
                error.fields["enqueued"] = receipts
                raise
            receipts += done.jobs
        return receipts

    def publish(
        self,
        data: Any,
        *,
        scope: str = "any",
        require_interest: bool = False,
        idempotency_key: str | None = None,
        **options: Unpack[JobOptions],
    ) -> Published:
        """Put one copy of an event into each queue that wants it, all or none. `scope="all"`: one for each registered worker there."""
        body = event_body(data, scope, require_interest, options)
        return self._create(Published, "/v1/publish", body, idempotency_key)
