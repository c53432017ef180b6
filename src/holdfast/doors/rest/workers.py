"""Routes for registered workers: register, heartbeat, quiet, remove; and the jobs of each."""

from typing import Annotated

from msgspec import UNSET, Meta

from holdfast.doors.rest import replies
from holdfast.doors.rest.parameters import Cursor, Limit
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import WorkerIn
from holdfast.doors.rest.worker_answers import WorkerOut, WorkersOut, WorkOut
from holdfast.errors import breach
from holdfast.http.route import Route, delete, get, post
from holdfast.job import registry
from holdfast.job.job import Job
from holdfast.job.registry import Process, Worker
from holdfast.limits import ID_MAX, LIST_LIMIT
from holdfast.messages.views import WorkerInfo

WorkerId = Annotated[str, Meta(description="The worker's id.", max_length=100)]


@post("/v1/workers", tags=["workers"], summary="Register a worker")
async def register_worker(state: AppState, data: WorkerIn) -> WorkerOut:
    """Then lease with this id as `worker`. Registering is optional: any name may lease."""
    process = Process(data.host, data.pid, data.version)
    return _shown(await state.engine.workers.register(data.queues, data.name, data.types, process))


@post("/v1/workers/{worker_id}/beat", tags=["workers"], status=200, summary="A worker is still there")
async def beat_worker(state: AppState, worker_id: WorkerId) -> WorkerOut:
    """Leasing counts as a heartbeat too. The answer says whether the worker is quiet, and whether this server drains."""
    shown = _shown(await state.engine.workers.beat(worker_id))
    shown.draining = state.engine.draining
    return shown


@post("/v1/workers/{worker_id}/quiet", tags=["workers"], status=200, summary="Give a worker nothing more")
async def quiet_worker(state: AppState, worker_id: WorkerId) -> WorkerOut:
    """It finishes its jobs; only registering anew makes it running again."""
    return _shown(await state.engine.workers.quiet(worker_id))


@post("/v1/workers/{worker_id}/stop", tags=["workers"], status=200, summary="Ask a worker to end")
async def stop_worker(state: AppState, worker_id: WorkerId) -> WorkerOut:
    """It gets nothing more, finishes its jobs, and learns at its next heartbeat that it should end: a worker of the Python library does."""
    return _shown(await state.engine.workers.stop(worker_id))


@get("/v1/workers", tags=["workers"], summary="A page of registered workers")
async def list_workers(state: AppState, limit: Limit = LIST_LIMIT, cursor: Cursor = "") -> WorkersOut:
    """As they were registered, with what each is working on."""
    found = await state.engine.reading.workers_after(limit, _after(cursor))
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


@get("/v1/workers/{worker_id}", tags=["workers"], summary="One registered worker")
async def get_worker(state: AppState, worker_id: WorkerId) -> WorkerOut:
    """With its current jobs."""
    return _with_work(*await state.engine.reading.worker(worker_id))


@delete("/v1/workers/{worker_id}", tags=["workers"], summary="Forget a worker")
async def delete_worker(state: AppState, worker_id: WorkerId) -> None:
    """Its jobs stay leased until the leases end or expire."""
    await state.engine.workers.remove(worker_id)


def _shown(worker: Worker) -> WorkerOut:
    return WorkerOut(
        id=worker.id,
        name=worker.name,
        queues=worker.queues,
        state=worker.state.value,
        registered_at=replies.instant(worker.registered_at),
        types=UNSET if worker.types is None else worker.types,
        host=worker.process.host or UNSET,
        pid=UNSET if worker.process.pid is None else worker.process.pid,
        version=worker.process.version or UNSET,
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


ROUTES: list[Route] = [register_worker, beat_worker, quiet_worker, stop_worker, list_workers, get_worker, delete_worker]
