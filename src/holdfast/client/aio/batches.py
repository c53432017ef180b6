"""Batches of jobs: collected and made, closed, watched, cancelled."""

from collections.abc import AsyncIterator, Iterable
from types import TracebackType
from typing import Any, Self, Unpack

from msgspec.structs import replace

from holdfast.client.aio.producer import Producer
from holdfast.client.batch_types import Batch, BatchCancelled, BatchMade, BatchPage
from holdfast.client.bodies import batch_body, first_of
from holdfast.client.retry import LONG_DEADLINE_S, new_key, path
from holdfast.client.types import NewJob, PutOptions
from holdfast.limits import BULK_JOBS


class Batches(Producer):
    """`new_batch`, `make_batch`, `batch_status`, `batches`, `close_batch`, `cancel_batch`."""

    def new_batch(
        self,
        name: str = "",
        *,
        on_success: NewJob | None = None,
        on_finish: NewJob | None = None,
        on_failure: NewJob | None = None,
        idempotency_key: str | None = None,
    ) -> "NewBatch":
        """Collect jobs, and make a batch of them at the end of the block; if it raises, nothing is enqueued.

        async with client.new_batch("report", on_success=NewJob(queue="mail", payload="done")) as batch:
            batch.add("render", {"page": 1})
            batch.add("render", {"page": 2})
        print(batch.id)
        """
        return NewBatch(self, name, on_success, on_finish, on_failure, idempotency_key)

    async def make_batch(
        self,
        jobs: Iterable[NewJob] = (),
        *,
        name: str = "",
        closed: bool = True,
        on_success: NewJob | None = None,
        on_finish: NewJob | None = None,
        on_failure: NewJob | None = None,
        idempotency_key: str | None = None,
    ) -> BatchMade:
        """Make a batch. `closed`: these are all of its jobs; else others join by `batch=ID` in any enqueue, until `close_batch`.

        Up to 1,000 jobs (and 8 MiB) are stored all or none. More are put in further calls, and only then is the batch closed: if this fails in
        between, it is open, and the error's field `batch` has its id.
        """
        key = idempotency_key or new_key()
        closing = {"on_success": on_success, "on_finish": on_finish, "on_failure": on_failure}
        wanted = list(jobs)
        entries = first_of(wanted)
        rest = wanted[len(entries) :]
        body = batch_body(entries, name, closed and not rest, closing)
        made = await self._create(BatchMade, "/v1/batches", body, key, deadline_s=LONG_DEADLINE_S)
        if rest:
            with made.named_by_errors():
                members = [replace(job, batch=made.id) for job in rest]
                made.jobs += [receipt.id for receipt in await self.enqueue_many(members, idempotency_key=f"{key}.more")]
                if closed:
                    await self.close_batch(made.id)
        return made

    async def batch_status(self, batch_id: int) -> Batch:
        """One batch with its counts and what became of its closing jobs. Raises `BatchNotFound`."""
        return await self._get(Batch, path("/v1/batches/{}", batch_id))

    async def batches(self, *, state: str | None = None, page: int = BULK_JOBS) -> AsyncIterator[Batch]:
        """All batches, the newest first, page after page; of one state with `open`, `closed` or `finished`."""
        cursor: str | None = None
        while True:
            where = path("/v1/batches", state=state, limit=page, cursor=cursor)
            got = await self._get(BatchPage, where, deadline_s=LONG_DEADLINE_S)
            for batch in got.batches:
                yield batch
            cursor = got.next_cursor
            if cursor is None:
                return

    async def close_batch(self, batch_id: int) -> Batch:
        """Let it take no more jobs. Raises `BatchNotFound`."""
        return await self._post(Batch, path("/v1/batches/{}/close", batch_id))

    async def cancel_batch(self, batch_id: int) -> int:
        """Close it, cancel its waiting jobs and ask the running ones to stop; returns how many these were."""
        where = path("/v1/batches/{}/cancel", batch_id)
        return (await self._post(BatchCancelled, where, deadline_s=LONG_DEADLINE_S)).cancelled


class NewBatch:
    """Jobs that are collected for a batch. `id` and `jobs` (their ids) are there after the block."""

    def __init__(
        self,
        client: Batches,
        name: str,
        on_success: NewJob | None,
        on_finish: NewJob | None,
        on_failure: NewJob | None,
        idempotency_key: str | None,
    ) -> None:
        self.id: int | None = None
        self.jobs: list[int] = []
        self._client = client
        self._name = name
        self._closing = (on_success, on_finish, on_failure)
        self._key = idempotency_key
        self._collected: list[NewJob] = []

    def add(self, queue: str, payload: Any = None, **options: Unpack[PutOptions]) -> None:
        """Take a job along. Nothing is sent yet."""
        self._collected.append(NewJob(queue=queue, payload=payload, **options))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        on_success, on_finish, on_failure = self._closing
        made = await self._client.make_batch(
            self._collected,
            name=self._name,
            on_success=on_success,
            on_finish=on_finish,
            on_failure=on_failure,
            idempotency_key=self._key,
        )
        self.id, self.jobs = made.id, made.jobs
