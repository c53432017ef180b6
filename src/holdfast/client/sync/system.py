# Generated from client/aio/system.py by `make client`. Change that one.
"""Schedules, workers, and the server itself."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from os import getpid
from socket import gethostname
from typing import Any

from holdfast import __version__
from holdfast.client.key_types import AuditEntry, AuditPage
from holdfast.client.retry import LONG_DEADLINE_S, Call, Lost, NotSent, RetryState, path
from holdfast.client.schedules import Schedule, SchedulePage
from holdfast.client.streams import EventReader, backoff, stream_refusal
from holdfast.client.sync.caller import Caller
from holdfast.client.sync.pause import pause
from holdfast.client.types import Event, Published
from holdfast.client.worker_types import RegisteredWorker, RegisteredWorkers
from holdfast.errors import InvalidRequest, ScheduleNotFound, Unavailable, WorkerNotFound
from holdfast.limits import VERSION_CHARS


class System(Caller):
    """Schedules: `schedules`, `schedule`, `set_schedule`, `delete_schedule`, `pause_schedule`, `resume_schedule`, `run_schedule`.
    Workers: `workers`, `worker`, `register_worker`, `beat`, `quiet`, `stop_worker`, `remove_worker`. And `audit`, `stats`, `ready`, `events`.
    """

    def schedules(self, *, page: int = 200) -> Iterator[Schedule]:
        """All schedules by name, page after page."""
        cursor: str | None = None
        while True:
            got = self._get(SchedulePage, path("/v1/schedules", limit=page, cursor=cursor), deadline_s=LONG_DEADLINE_S)
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
        """All registered workers, each with its leased jobs; page after page."""
        found: list[RegisteredWorker] = []
        cursor: str | None = None
        while True:
            got = self._get(RegisteredWorkers, path("/v1/workers", cursor=cursor), deadline_s=LONG_DEADLINE_S)
            found += got.workers
            cursor = got.next_cursor
            if cursor is None:
                return found

    def worker(self, worker_id: str) -> RegisteredWorker:
        """One registered worker."""
        return self._get(RegisteredWorker, path("/v1/workers/{}", worker_id))

    def register_worker(
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
            return self._post(RegisteredWorker, "/v1/workers", wanted | process)
        except InvalidRequest as error:
            if error.fields.get("field") not in process or len(version or "") > VERSION_CHARS:
                raise
            return self._post(RegisteredWorker, "/v1/workers", wanted)  # to a server that is older than these fields

    def beat(self, worker_id: str) -> RegisteredWorker:
        """Send a worker's heartbeat; `state` says whether it is quiet, `draining` whether this server shuts down."""
        return self._post(RegisteredWorker, path("/v1/workers/{}/beat", worker_id))

    def quiet(self, worker_id: str) -> RegisteredWorker:
        """Give the worker no more jobs; it finishes its current ones."""
        return self._post(RegisteredWorker, path("/v1/workers/{}/quiet", worker_id))

    def stop_worker(self, worker_id: str) -> RegisteredWorker:
        """Ask the worker to end once it has finished its current jobs; until then it gets no more."""
        return self._post(RegisteredWorker, path("/v1/workers/{}/stop", worker_id))

    def remove_worker(self, worker_id: str) -> None:
        """Forget the worker."""
        self._delete(path("/v1/workers/{}", worker_id), WorkerNotFound)

    def audit(
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
    ) -> Iterator[AuditEntry]:
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
            got = self._get(AuditPage, where, deadline_s=LONG_DEADLINE_S)
            yield from got.entries
            cursor = got.next_cursor
            if cursor is None:
                return

    def stats(self, *, named: str | None = None) -> dict[str, Any]:
        """All numbers of the server, by queue and in all, as the protocol describes them; of the queues those with `named` in their names."""
        return self._get(dict[str, Any], path("/v1/stats", named=named), deadline_s=LONG_DEADLINE_S)

    def ready(self) -> bool:
        """Whether a server can be reached that accepts jobs; asked once, without retries."""
        trial = RetryState(Call("GET", "/readyz"), self.nodes, self.deadline_s, self._attempt_s)
        try:
            self._once(trial, self._headers)
        except Exception:  # noqa: BLE001  (whatever it is, it is not ready)
            return False
        return True

    def events(self, queue: str | None = None, *, follow: bool = True, begin: bool = False) -> Iterator[Event]:
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
