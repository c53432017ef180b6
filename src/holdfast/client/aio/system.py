"""Schedules, workers, and the server itself."""

import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.aio.pause import pause
from holdfast.client.retry import Call, Lost, NotSent, path
from holdfast.client.schedules import Schedule, SchedulePage
from holdfast.client.streams import EventReader, backoff, stream_refusal
from holdfast.client.types import Event, Published, RegisteredWorker, RegisteredWorkers
from holdfast.errors import ScheduleNotFound, Unavailable, WorkerNotFound


class System(AsyncCaller):
    """Schedules: `schedules`, `schedule`, `set_schedule`, `delete_schedule`, `pause_schedule`, `resume_schedule`, `run_schedule`.
    Workers: `workers`, `worker`, `register_worker`, `beat`, `quiet`, `remove_worker`. And `stats`, `ready`, `events`.
    """

    async def schedules(self, *, page: int = 200) -> AsyncIterator[Schedule]:
        """All schedules by name, page after page."""
        cursor: str | None = None
        while True:
            got = await self._get(SchedulePage, path("/v1/schedules", limit=page, cursor=cursor))
            for schedule in got.schedules:
                yield schedule
            cursor = got.next_cursor
            if cursor is None:
                return

    async def schedule(self, name: str) -> Schedule:
        """One schedule."""
        return await self._get(Schedule, path("/v1/schedules/{}", name))

    async def set_schedule(self, name: str, /, **fields: Any) -> Schedule:
        """Create or replace a schedule: `cron` (with `timezone`) or `interval_ms`, `queue` or `publish`, `payload`, `missed`, `overlap`, `paused`,
        and the options of a job.
        """
        return await self._send(Schedule, "PUT", path("/v1/schedules/{}", name), fields)

    async def delete_schedule(self, name: str) -> None:
        """Remove it; its jobs stay."""
        await self._delete(path("/v1/schedules/{}", name), ScheduleNotFound)

    async def pause_schedule(self, name: str) -> Schedule:
        """Stop running it."""
        return await self._post(Schedule, path("/v1/schedules/{}/pause", name))

    async def resume_schedule(self, name: str) -> Schedule:
        """Run it again."""
        return await self._post(Schedule, path("/v1/schedules/{}/resume", name))

    async def run_schedule(self, name: str) -> Published:
        """Put its job now. This call alone can't be repeated safely: after a lost answer it raises `OutcomeUnknown`."""
        return await self._post(Published, path("/v1/schedules/{}/run", name), repeatable=False)

    async def workers(self) -> list[RegisteredWorker]:
        """All registered workers, each with what it holds; page after page."""
        found: list[RegisteredWorker] = []
        cursor: str | None = None
        while True:
            got = await self._get(RegisteredWorkers, path("/v1/workers", cursor=cursor))
            found += got.workers
            cursor = got.next_cursor
            if cursor is None:
                return found

    async def worker(self, worker_id: str) -> RegisteredWorker:
        """One registered worker."""
        return await self._get(RegisteredWorker, path("/v1/workers/{}", worker_id))

    async def register_worker(self, queues: Sequence[str], name: str = "") -> RegisteredWorker:
        """Make a worker known; its `id` is the `worker` of its lease calls. After a lost answer a second one may stay until it is reaped."""
        return await self._post(RegisteredWorker, "/v1/workers", {"queues": list(queues), "name": name})

    async def beat(self, worker_id: str) -> RegisteredWorker:
        """The worker is still there; `state` says whether it was sent home, `draining` whether this server shuts down."""
        return await self._post(RegisteredWorker, path("/v1/workers/{}/beat", worker_id))

    async def quiet(self, worker_id: str) -> RegisteredWorker:
        """Give the worker nothing more; it finishes what it has."""
        return await self._post(RegisteredWorker, path("/v1/workers/{}/quiet", worker_id))

    async def remove_worker(self, worker_id: str) -> None:
        """Forget the worker."""
        await self._delete(path("/v1/workers/{}", worker_id), WorkerNotFound)

    async def stats(self) -> dict[str, Any]:
        """All numbers of the server, by queue and in all, as the protocol describes them."""
        return await self._get(dict[str, Any], "/v1/stats")

    async def ready(self) -> bool:
        """Whether a server can be reached that takes jobs; it is asked once."""
        try:
            await self._answered(Call("GET", "/readyz"), deadline_s=0.001)
        except Exception:  # noqa: BLE001  (whatever it is, it is not ready)
            return False
        return True

    async def events(self, queue: str | None = None, *, follow: bool = True, begin: bool = False) -> AsyncIterator[Event]:
        """What is committed from now on. With `follow`, a stream that breaks off is opened anew; then comes an `Event` called `gap`, and all that
        is committed after it. Without, this ends. With `begin`, the first is called `begin`: all that is committed after it will come. Raises
        where no stream can be opened at first.
        """
        call = Call("GET", path("/v1/stream", queue=queue), headers={"Accept": "text/event-stream"})
        until = time.monotonic() + (self.deadline_s if follow else 0)
        failures = 0
        first = True
        while True:
            reader = EventReader()
            failures += 1
            try:
                async for line in self._lines(call):
                    if failures:  # the first line comes at once
                        failures = 0
                        if begin or not first:
                            yield Event(event="begin" if first else "gap")
                        first = False
                    if event := reader.take(line):
                        yield event
            except (Lost, NotSent, Unavailable) as error:
                if first and time.monotonic() >= until:
                    raise stream_refusal(error) from error
            if not follow:
                return
            await pause(backoff(failures))
