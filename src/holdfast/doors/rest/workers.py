"""Routes for registered workers: come, beat, go quiet, go; and what each is working on."""

from typing import Annotated, Any

from litestar import delete, get, post
from litestar.datastructures import State as AppState
from litestar.params import JSONBody, Parameter

from holdfast.doors.rest import replies
from holdfast.doors.rest.answers import WorkerOut, WorkersOut, WorkOut
from holdfast.doors.rest.types import WorkerIn
from holdfast.engine.engine import Engine
from holdfast.errors import breach
from holdfast.job import registry
from holdfast.job.job import Job
from holdfast.job.registry import Worker
from holdfast.limits import ID_MAX, LIST_LIMIT
from holdfast.messages.views import WorkerInfo

WorkerId = Annotated[str, Parameter(description="The worker's id.", max_length=100)]


@post("/v1/workers", tags=["workers"], summary="Register a worker")
async def register_worker(state: AppState, data: JSONBody[WorkerIn]) -> WorkerOut:
    """Then lease with this id as `worker`. Registering is optional: any name may lease."""
    engine: Engine = state.engine
    return _shown(await engine.workers.register(data.queues, data.name))


@post("/v1/workers/{worker_id:str}/beat", tags=["workers"], status_code=200, summary="A worker is still there")
async def beat_worker(state: AppState, worker_id: WorkerId) -> WorkerOut:
    """Leasing counts as a beat too. The answer says whether it is quiet, and whether this server drains."""
    engine: Engine = state.engine
    shown = _shown(await engine.workers.beat(worker_id))
    shown.draining = engine.draining
    return shown


@post("/v1/workers/{worker_id:str}/quiet", tags=["workers"], status_code=200, summary="Give a worker nothing more")
async def quiet_worker(state: AppState, worker_id: WorkerId) -> WorkerOut:
    """It finishes what it has; there is no way back but to register anew."""
    engine: Engine = state.engine
    return _shown(await engine.workers.quiet(worker_id))


@get("/v1/workers", tags=["workers"], summary="A page of registered workers")
async def list_workers(
    state: AppState,
    limit: Annotated[int, Parameter(description="How many at most.", ge=1, le=LIST_LIMIT)] = LIST_LIMIT,
    cursor: Annotated[str, Parameter(description="`next_cursor` of the page before.", max_length=200)] = "",
) -> WorkersOut:
    """As they were registered, with what each is working on."""
    engine: Engine = state.engine
    found = await engine.reading.workers_after(limit, _after(cursor))
    following = None if found.after is None else f"{found.after[0]}.{found.after[1]}"
    return WorkersOut([_with_work(info, found.now) for info in found.workers], following)


def _after(cursor: str) -> tuple[int, str]:
    """Where a page begins."""
    if not cursor:
        return -1, ""
    at, _, worker_id = cursor.partition(".")
    if not (at.isascii() and at.isdigit() and len(at) <= len(str(ID_MAX)) and worker_id):
        raise breach("cursor", "must be a next_cursor of this API")
    return int(at), worker_id


@get("/v1/workers/{worker_id:str}", tags=["workers"], summary="One registered worker")
async def get_worker(state: AppState, worker_id: WorkerId) -> WorkerOut:
    """With what it is working on."""
    engine: Engine = state.engine
    return _with_work(*await engine.reading.worker(worker_id))


@delete("/v1/workers/{worker_id:str}", tags=["workers"], summary="Forget a worker")
async def delete_worker(state: AppState, worker_id: WorkerId) -> None:
    """What it holds stays leased until it is ended or expires."""
    engine: Engine = state.engine
    await engine.workers.remove(worker_id)


def _shown(worker: Worker) -> WorkerOut:
    return WorkerOut(
        id=worker.id,
        name=worker.name,
        queues=worker.queues,
        state=worker.state.value,
        registered_at=replies.instant(worker.registered_at),
    )


def _with_work(info: WorkerInfo, now: int) -> WorkerOut:
    shown = _shown(info.worker)
    shown.beat_at = replies.instant(info.beat_at)
    shown.silent = registry.is_silent(info.beat_at, now)
    shown.jobs = [_work(job, now) for job in info.jobs]
    return shown


def _work(job: Job, now: int) -> WorkOut:
    assert job.lease is not None, "what a worker holds is leased"
    return WorkOut(job.id, job.queue, job.attempt, replies.instant(job.lease.leased_at), max(0, job.lease.until - now))


ROUTES: list[Any] = [register_worker, beat_worker, quiet_worker, list_workers, get_worker, delete_worker]
