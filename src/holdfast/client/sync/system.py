# Generated from client/aio/system.py by `make client`. Change that one.
"""Schedules, workers, and the server itself."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from holdfast.client.retry import Call, Lost, NotSent, path
from holdfast.client.schedules import Schedule, SchedulePage
from holdfast.client.streams import EventReader, backoff, stream_refusal
from holdfast.client.sync.caller import Caller
from holdfast.client.sync.pause import pause
from holdfast.client.types import Event, Published, RegisteredWorker, RegisteredWorkers
from holdfast.errors import ScheduleNotFound, Unavailable, WorkerNotFound


class System(Caller):
    """Schedules: `schedules`, `schedule`, `set_schedule`, `delete_schedule`, `pause_schedule`, `resume_schedule`, `run_schedule`.
    Workers: `workers`, `worker`, `register_worker`, `beat`, `quiet`, `remove_worker`. And `stats`, `ready`, `events`.
    """

    def schedules(self, *, page: int = 200) -> Iterator[Schedule]:
        """All schedules by name, page after page."""
        cursor: str | None = None
        while True:
            got = self._get(SchedulePage, path("/v1/schedules", limit=page, cursor=cursor))
            yield from got.schedules
            cursor = got.next_cursor
            if cursor is None:
                return

    def schedule(self, name: str) -> Schedule:
        """One schedule."""
        return self._get(Schedule, path("/v1/schedules/{}", name))

    def set_schedule(self, name: str, /, **fields: Any) -> Schedule:
        """Create or replace a schedule: `cron` (with `timezone`) or `interval_ms`, `queue` or `publish`, `payload`, `missed`, `overlap`, `paused`,
        and the options of a job.
        """
        return self._send(Schedule, "PUT", path("/v1/schedules/{}", name), fields)

    def delete_schedule(self, name: str) -> None:
        """Remove it; its jobs stay."""
        self._delete(path("/v1/schedules/{}", name), ScheduleNotFound)

    def pause_schedule(self, name: str) -> Schedule:
        """Stop running it."""
        return self._post(Schedule, path("/v1/schedules/{}/pause", name))

    def resume_schedule(self, name: str) -> Schedule:
        """Run it again."""
        return self._post(Schedule, path("/v1/schedules/{}/resume", name))

    def run_schedule(self, name: str) -> Published:
        """Put its job now. This call alone can't be repeated safely: after a lost answer it raises `OutcomeUnknown`."""
        return self._post(Published, path("/v1/schedules/{}/run", name), repeatable=False)

    def workers(self) -> list[RegisteredWorker]:
        """All registered workers, each with what it holds; page after page."""
        found: list[RegisteredWorker] = []
        cursor: str | None = None
        while True:
            got = self._get(RegisteredWorkers, path("/v1/workers", cursor=cursor))
            found += got.workers
            cursor = got.next_cursor
            if cursor is None:
                return found

    def worker(self, worker_id: str) -> RegisteredWorker:
        """One registered worker."""
        return self._get(RegisteredWorker, path("/v1/workers/{}", worker_id))

    def register_worker(self, queues: Sequence[str], name: str = "") -> RegisteredWorker:
        """Make a worker known; its `id` is the `worker` of its lease calls. After a lost answer a second one may stay until it is reaped."""
        return self._post(RegisteredWorker, "/v1/workers", {"queues": list(queues), "name": name})

    def beat(self, worker_id: str) -> RegisteredWorker:
        """The worker is still there; `state` says whether it was sent home, `draining` whether this server shuts down."""
        return self._post(RegisteredWorker, path("/v1/workers/{}/beat", worker_id))

    def quiet(self, worker_id: str) -> RegisteredWorker:
        """Give the worker nothing more; it finishes what it has."""
        return self._post(RegisteredWorker, path("/v1/workers/{}/quiet", worker_id))

    def remove_worker(self, worker_id: str) -> None:
        """Forget the worker."""
        self._delete(path("/v1/workers/{}", worker_id), WorkerNotFound)

    def stats(self) -> dict[str, Any]:
        """All numbers of the server, by queue and in all, as the protocol describes them."""
        return self._get(dict[str, Any], "/v1/stats")

    def ready(self) -> bool:
        """Whether a server can be reached that takes jobs; it is asked once."""
        try:
            self._answered(Call("GET", "/readyz"), deadline_s=0.001)
        except Exception:  # noqa: BLE001  (whatever it is, it is not ready)
            return False
        return True

    def events(self, queue: str | None = None, *, follow: bool = True, begin: bool = False) -> Iterator[Event]:
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
                for line in self._lines(call):
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
            pause(backoff(failures))
