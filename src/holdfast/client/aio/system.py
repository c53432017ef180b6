"""Schedules, workers, and the server itself."""

import time
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from os import getpid
from socket import gethostname
from typing import Any

from holdfast import __version__
from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.aio.pause import pause
from holdfast.client.key_types import AuditEntry, AuditPage
from holdfast.client.retry import LONG_DEADLINE_S, Call, Lost, NotSent, RetryState, path
from holdfast.client.schedules import Schedule, SchedulePage
from holdfast.client.streams import EventReader, backoff, stream_refusal
from holdfast.client.types import Event, Published
from holdfast.client.worker_types import RegisteredWorker, RegisteredWorkers
from holdfast.errors import InvalidRequest, ScheduleNotFound, Unavailable, WorkerNotFound
from holdfast.limits import VERSION_CHARS


class System(AsyncCaller):
    """Schedules: `schedules`, `schedule`, `set_schedule`, `delete_schedule`, `pause_schedule`, `resume_schedule`, `run_schedule`.
    Workers: `workers`, `worker`, `register_worker`, `beat`, `quiet`, `stop_worker`, `remove_worker`. And `audit`, `stats`, `ready`, `events`.
    """

    async def schedules(self, *, page: int = 200) -> AsyncIterator[Schedule]:
        """All schedules by name, page after page."""
        cursor: str | None = None
        while True:
            got = await self._get(SchedulePage, path("/v1/schedules", limit=page, cursor=cursor), deadline_s=LONG_DEADLINE_S)
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
        """All registered workers, each with its leased jobs; page after page."""
        found: list[RegisteredWorker] = []
        cursor: str | None = None
        while True:
            got = await self._get(RegisteredWorkers, path("/v1/workers", cursor=cursor), deadline_s=LONG_DEADLINE_S)
            found += got.workers
            cursor = got.next_cursor
            if cursor is None:
                return found

    async def worker(self, worker_id: str) -> RegisteredWorker:
        """One registered worker."""
        return await self._get(RegisteredWorker, path("/v1/workers/{}", worker_id))

    async def register_worker(
        self, queues: Sequence[str], name: str = "", types: Sequence[str] | None = None, version: str | None = None
    ) -> RegisteredWorker:
        """Register a worker; its `id` is the `worker` of its lease calls. `types`: the only ones whose jobs it gets. `version`: of your program, for
        operators to see; without it that of Holdfast. The host and the process id are told, too. After a lost answer a second one may stay
        until it is removed as silent.
        """
        wanted: dict[str, Any] = {"queues": list(queues), "name": name}
        if types is not None:
            wanted["types"] = list(types)
        process = {"host": gethostname(), "pid": getpid(), "version": version or f"holdfast {__version__}"}
        try:
            return await self._post(RegisteredWorker, "/v1/workers", wanted | process)
        except InvalidRequest as error:
            if error.fields.get("field") not in process or len(version or "") > VERSION_CHARS:
                raise
            return await self._post(RegisteredWorker, "/v1/workers", wanted)  # to a server that is older than these fields

    async def beat(self, worker_id: str) -> RegisteredWorker:
        """Send a worker's heartbeat; `state` says whether it is quiet, `draining` whether this server shuts down."""
        return await self._post(RegisteredWorker, path("/v1/workers/{}/beat", worker_id))

    async def quiet(self, worker_id: str) -> RegisteredWorker:
        """Give the worker no more jobs; it finishes its current ones."""
        return await self._post(RegisteredWorker, path("/v1/workers/{}/quiet", worker_id))

    async def stop_worker(self, worker_id: str) -> RegisteredWorker:
        """Ask the worker to end once it has finished its current jobs; until then it gets no more."""
        return await self._post(RegisteredWorker, path("/v1/workers/{}/stop", worker_id))

    async def remove_worker(self, worker_id: str) -> None:
        """Forget the worker."""
        await self._delete(path("/v1/workers/{}", worker_id), WorkerNotFound)

    async def audit(
        self,
        *,
        who: str | None = None,
        action: str | None = None,
        queue: str | None = None,
        target: str | None = None,
        job: int | None = None,
        outcome: str | None = None,
        text: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int | None = None,
        page: int = 200,
    ) -> AsyncIterator[AuditEntry]:
        """Entries of the audit log that match all filters, page after page: the newest first, or with `after` those after the
        entry with that id, the oldest first. `action` is one, such as `queue.purge`, or a kind, such as `queue`; `outcome` one,
        or `refused`.
        """
        filters = {"who": who, "action": action, "queue": queue, "target": target, "job": job, "outcome": outcome, "text": text}
        moments = {name: moment and moment.isoformat() for name, moment in (("since", since), ("until", until))}
        cursor: str | None = None
        while True:
            begin = {"cursor": cursor} if after is None else {"after": cursor or after}
            where = path("/v1/audit", **filters, **moments, **begin, limit=page)
            got = await self._get(AuditPage, where, deadline_s=LONG_DEADLINE_S)
            for entry in got.entries:
                yield entry
            cursor = got.next_cursor
            if cursor is None:
                return

    async def stats(self, *, named: str | None = None) -> dict[str, Any]:
        """All numbers of the server, by queue and in all, as the protocol describes them; of the queues those with `named` in their names."""
        return await self._get(dict[str, Any], path("/v1/stats", named=named), deadline_s=LONG_DEADLINE_S)

    async def ready(self) -> bool:
        """Whether a server can be reached that accepts jobs; asked once, without retries."""
        trial = RetryState(Call("GET", "/readyz"), self.nodes, self.deadline_s, self._attempt_s)
        try:
            await self._once(trial, self._headers)
        except Exception:  # noqa: BLE001  (whatever it is, it is not ready)
            return False
        return True

    async def events(self, queue: str | None = None, *, follow: bool = True, begin: bool = False) -> AsyncIterator[Event]:
        """Changes committed from now on. With `follow`, a broken stream is reopened; then an `Event` called `gap` follows, and
        all later changes. Without, this ends. With `begin`, the first event is called `begin`: all changes committed after it
        will follow. Raises if no stream can be opened at first.
        """
        call = Call("GET", path("/v1/stream", queue=queue), headers="Accept: text/event-stream\r\n")
        patience_s = LONG_DEADLINE_S if self.deadline_s is None else self.deadline_s
        until = time.monotonic() + (patience_s if follow else 0)
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
