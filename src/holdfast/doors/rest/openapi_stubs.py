"""Descriptions of the hot routes for the OpenAPI document. `hot.py` answers them before the framework is asked.

They are never called: a request that got here would be a defect of the gate, and says so.
"""

from typing import Annotated, Any, NoReturn

from litestar import post
from litestar.openapi import ResponseSpec
from litestar.params import HeaderParameter, JSONBody, Parameter

from holdfast import limits
from holdfast.doors.rest.answers import BulkOut, EnqueuedOut, ExtendedOut, LeaseBatchOut, LeasedOut, OutcomeOut
from holdfast.doors.rest.types import BulkIn, ConcludeIn, ExtendIn, FailIn, JobIn, LeaseBatchIn, LeasesIn, ReleaseIn

Queue = Annotated[str, Parameter(description="The queue's name.", pattern="^[A-Za-z0-9._:-]{1,600}$")]
Token = Annotated[str, Parameter(description="The lease's token.", max_length=100)]
Key = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="The same key and body again: the first answer again.",
        min_length=1,
        max_length=limits.REQUEST_ID_CHARS,
        pattern="^[ -~]+$",
    ),
]
WaitMs = Annotated[int, Parameter(description="How long to wait for room in a full queue.", ge=0, le=limits.WAIT_MS_MAX)]


def _never() -> NoReturn:
    raise AssertionError("the gate answers this route")


_AGAIN = {200: ResponseSpec(EnqueuedOut, description="The same idempotency key and body as before: the first answer again")}
_BULK_AGAIN = {200: ResponseSpec(BulkOut, description="The same idempotency key and body as before: the first answer again")}


@post("/v1/queues/{queue:str}/jobs", tags=["producing"], summary="Enqueue one job", responses=_AGAIN)
async def enqueue(queue: Queue, data: JSONBody[JobIn], wait_ms: WaitMs = 0, idempotency_key: Key = None) -> EnqueuedOut:
    """The answer means that the job is kept, and says how. A body of any other type than JSON is the payload itself; options are then query parameters."""
    _never()


@post("/v1/jobs", tags=["producing"], summary="Enqueue many jobs, all or none", responses=_BULK_AGAIN)
async def bulk(data: JSONBody[BulkIn], wait_ms: WaitMs = 0, idempotency_key: Key = None) -> BulkOut:
    """One full queue refuses the whole."""
    _never()


@post("/v1/leases", tags=["consuming"], status_code=200, summary="Lease jobs to work on")
async def lease(data: JSONBody[LeasesIn]) -> LeasedOut:
    """An empty list when none came in time."""
    _never()


@post("/v1/leases/{token:str}/conclude", tags=["consuming"], status_code=200, summary="The work is done")
async def conclude(token: Token, data: JSONBody[ConcludeIn | None] = None) -> OutcomeOut:
    """The same token again gets the same answer."""
    _never()


@post("/v1/leases/{token:str}/fail", tags=["consuming"], status_code=200, summary="The attempt went wrong")
async def fail(token: Token, data: JSONBody[FailIn | None] = None) -> OutcomeOut:
    """Tried again with backoff, or dead when no attempt is left."""
    _never()


@post("/v1/leases/{token:str}/release", tags=["consuming"], status_code=200, summary="Hand a job back")
async def release(token: Token, data: JSONBody[ReleaseIn | None] = None) -> OutcomeOut:
    """The attempt is not spent."""
    _never()


@post("/v1/leases/{token:str}/extend", tags=["consuming"], status_code=200, summary="Keep a lease for longer")
async def extend(token: Token, data: JSONBody[ExtendIn | None] = None) -> ExtendedOut:
    """Also tells of a cancellation and of a server that drains."""
    _never()


@post("/v1/leases/batch", tags=["consuming"], status_code=200, summary="Many lease verbs at once")
async def batch(data: JSONBody[LeaseBatchIn]) -> LeaseBatchOut:
    """One outcome for each; one lost lease does not fail its neighbours."""
    _never()


TWINS: list[Any] = [enqueue, bulk, lease, conclude, fail, release, extend, batch]
