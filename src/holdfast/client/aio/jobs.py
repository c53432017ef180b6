"""Looking at jobs and managing them."""

import math
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from msgspec import UNSET

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.failures import FailureMembers, Failures
from holdfast.client.refusals import NotConcluded
from holdfast.client.retry import DEADLINE_S, LONG_DEADLINE_S, path
from holdfast.client.types import Enqueued, Job, JobPage, Receipt, Why
from holdfast.errors import JobNotFound, WrongState

_POLL_MS = 50_000


class Jobs(AsyncCaller):
    """`job`, `jobs`, `receipts`, `wait`, `result`, `why`, `failures`, `failure_group`, and `retry`, `cancel`, `promote`, `release_lease`, `edit`, `move`, `settle`,
    `delete`.
    """

    async def job(self, job_id: int) -> Job:
        """One job with its result, progress and errors. Raises `JobNotFound`."""
        return await self._get(Job, path("/v1/jobs/{}", job_id))

    async def receipts(self, idempotency_key: str, *, queue: str | None = None) -> list[Receipt]:
        """The jobs that were enqueued under this key, as they were; with `queue`, only by that queue's own route."""
        where = path("/v1/receipts", idempotency_key=idempotency_key, queue=queue)
        return (await self._get(dict[str, list[Receipt]], where))["jobs"]

    async def jobs(
        self,
        *,
        queue: str | None = None,
        state: str | None = None,
        type: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        meta: dict[str, str] | None = None,
        field: dict[str, str] | None = None,
        before: datetime | None = None,
        since: datetime | None = None,
        worker: str | None = None,
        error: str | None = None,
        batch: int | None = None,
        cancelled_by: int | None = None,
        reverse: bool = False,
        payload: bool = True,
        last_error: bool = False,
        page: int = 200,
    ) -> AsyncIterator[Job]:
        """The jobs that match all given filters, page after page. `before`: those that ended, or were enqueued where they have not, by then, `since`: from then on;
        `worker`: that it holds, concluded or failed to do; `error`: with this in the last error; `field`: with these values at paths of the payload such as
        `order.id`; `cancelled_by`: an operation; `reverse`: the last one first. With `last_error` each has its latest error, without traceback. A job that changes meanwhile may come twice or not at all.
        """
        cursor: str | None = None
        while True:
            got = await self.jobs_page(
                queue=queue,
                state=state,
                type=type,
                tag=tag,
                text=text,
                meta=meta,
                field=field,
                before=before,
                since=since,
                worker=worker,
                error=error,
                batch=batch,
                cancelled_by=cancelled_by,
                reverse=reverse,
                payload=payload,
                last_error=last_error,
                limit=page,
                cursor=cursor,
            )
            for job in got.jobs:
                yield job
            cursor = got.next_cursor
            if cursor is None:
                return

    async def jobs_page(
        self,
        *,
        queue: str | None = None,
        state: str | None = None,
        type: str | None = None,
        tag: str | None = None,
        text: str | None = None,
        meta: dict[str, str] | None = None,
        field: dict[str, str] | None = None,
        before: datetime | None = None,
        since: datetime | None = None,
        worker: str | None = None,
        error: str | None = None,
        batch: int | None = None,
        cancelled_by: int | None = None,
        reverse: bool = False,
        payload: bool = True,
        last_error: bool = False,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> JobPage:
        """One page, see `jobs`."""
        filters = {"queue": queue, "state": state, "type": type, "tag": tag, "text": text, "error": error, "batch": batch}
        filters |= {"cancelled_by": cancelled_by}
        filters |= {"worker": worker, "before": None if before is None else before.isoformat()}
        filters |= {"since": None if since is None else since.isoformat()}
        filters |= {f"meta.{name}": value for name, value in (meta or {}).items()}
        filters |= {f"field.{at}": value for at, value in (field or {}).items()}
        shown = {"payload": None if payload else False, "last_error": last_error or None}
        where = path("/v1/jobs", **filters, **shown, reverse=reverse or None, limit=limit, cursor=cursor)
        return await self._get(JobPage, where, deadline_s=LONG_DEADLINE_S)

    async def wait(self, job_id: int, timeout_s: float | None = None) -> Job:
        """Wait until the job is concluded, dead or cancelled, and return it; raises `TimeoutError` after `timeout_s`."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = math.inf if until is None else max(0.0, until - time.monotonic())
            wait_ms = int(min(_POLL_MS, left_s * 1_000))
            beside_s = min(
                LONG_DEADLINE_S, max(DEADLINE_S, left_s - wait_ms / 1_000)
            )  # while no server answers, it waits for one
            job = await self._get(Job, path("/v1/jobs/{}", job_id, wait_ms=wait_ms), wait_ms, beside_s)
            if job.has_ended:
                return job
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"job {job_id} is still {job.state} after {timeout_s:g} s")

    async def result(self, job_id: int, timeout_s: float | None = None) -> Any:
        """Wait until the job is concluded, and return its result; raises `NotConcluded` if it ends otherwise, `TimeoutError` after `timeout_s`."""
        job = await self.wait(job_id, timeout_s)
        if job.state != "concluded":
            raise NotConcluded(job)
        return job.result

    async def why(self, job_id: int) -> Why:
        """Why the job is not running."""
        return await self._get(Why, path("/v1/jobs/{}/why", job_id))

    async def failures(self, queue: str | None = None, *, limit: int | None = None) -> Failures:
        """The newest failures of all queues, or of one: those that are alike together, those with the most dead jobs first."""
        return await self._get(Failures, path("/v1/failures", queue=queue, limit=limit), deadline_s=LONG_DEADLINE_S)

    async def failure_group(self, key: str, queue: str | None = None) -> FailureMembers:
        """Failures that are alike, with their dead jobs: by their ids an operation is about these and no others. `queue`: among the newest
        failures of this queue.
        """
        return await self._get(FailureMembers, path("/v1/failures/{}", key, queue=queue), deadline_s=LONG_DEADLINE_S)

    async def retry(self, job_id: int, *, expires_in_ms: int | None = None, expires_at: datetime | None = None) -> Job:
        """Run a dead or expired job again, with its attempts reset. It keeps a deadline that is still to come, unless another is given."""
        given = {"expires_in_ms": expires_in_ms, "expires_at": expires_at}
        return await self._manage(job_id, "retry", {name: value for name, value in given.items() if value is not None} or None)

    async def cancel(self, job_id: int) -> Job:
        """Cancel a waiting job, or ask the holder of a leased one to stop."""
        return await self._manage(job_id, "cancel")

    async def promote(self, job_id: int) -> Job:
        """Run a scheduled job now."""
        return await self._manage(job_id, "promote")

    async def release_lease(self, job_id: int, attempt: int | None = None) -> Job:
        """Take a leased job back from its worker: it is ready at once, and the attempt does not count.

        The worker gets `LeaseLost` for what it says of the job from now on. `attempt`: only if the job is still in that one;
        without it this call can't be repeated safely, and raises `OutcomeUnknown` if its answer is lost.
        """
        if attempt is None:
            return await self._post(Job, path("/v1/jobs/{}/release-lease", job_id), repeatable=False)
        return await self._manage(job_id, "release-lease", {"attempt": attempt})

    async def edit(self, job_id: int, /, **changes: Any) -> Job:
        """Change a waiting job: `payload`, `type`, `priority`, `delay_ms` or `run_at`, `max_attempts`, `tags`, `meta`, `expires_in_ms` or
        `expires_at` (None: no deadline any more).
        """
        return await self._send(Job, "PATCH", path("/v1/jobs/{}", job_id), changes)

    async def move(self, job_id: int, queue: str) -> Enqueued:
        """Move a job that is not leased to another queue, in one step. It gets a new id, and its attempts are reset.

        This call can't be repeated safely: if its answer is lost, it raises `OutcomeUnknown`.
        """
        return await self._post(Enqueued, path("/v1/jobs/{}/move", job_id), {"queue": queue}, repeatable=False)

    async def settle(self, job_id: int, reason: str, *, done: bool = True, result: Any = UNSET) -> Job:
        """Mark a waiting or dead job as concluded, perhaps with a result, or with `done=False` as dead.

        `reason` says how the outcome is known. No attempt is made or counted.
        """
        said = {"outcome": "concluded" if done else "dead", "reason": reason}
        body = said if result is UNSET else said | {"result": result}
        return await self._manage(job_id, "settle", body)

    async def delete(self, job_id: int) -> None:
        """Remove a job and everything stored about it; not while it is leased."""
        await self._delete(path("/v1/jobs/{}", job_id), JobNotFound)

    async def _manage(self, job_id: int, verb: str, body: Any = None) -> Job:
        """A verb that a retry finds refused: if the answer to the first try was lost, return the job as it is now."""
        try:
            return await self._post(Job, path("/v1/jobs/{}/" + verb, job_id), body)
        except WrongState as error:
            if not error.repeated:
                raise
            return await self.job(job_id)
