"""A thread that waits for jobs, for programs without a `Worker` and its event loop: a lease call that the server answers as soon as there is one.
Nothing is polled.

It asks for as many as there is room for, and hands them over. An outage of the server is its own affair: it says so in the log, and asks again.
What is held meanwhile stays held, and is ended afterwards.
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from holdfast import errors
from holdfast.client.held_leases import NO_ANSWER, HeldLeases, tag_of
from holdfast.client.sync.client import Client
from holdfast.client.types import Job

logger = logging.getLogger(__name__)

FIRST_WAIT_MS = 20_000  # who consumes for longer is registered as a worker
WAIT_MS = 50_000
AT_ONCE = 100
_PAUSE_S = 1.0
_PAUSE_MAX_S = 5.0
_INTERRUPTS_MS = (5, 20, 100, 200, 400)  # a server that is busy may come to wait for none that is too short
_AGAIN_S = 0.2
_BEAT_S = 30.0
_HANDING_S = 5.0


class Receiver:
    """Begins with its first `set_queues`. `deliver` gets what comes, held by `held` already, or the error that ends it; `room` says how many more
    it wants. `name` is that under which the worker is registered. `fair`: each of several queues has its turn. `types`: the only ones whose jobs
    it takes; None for all.
    """

    def __init__(
        self,
        client: Client,
        held: HeldLeases,
        *,
        room: Callable[[], int],
        deliver: Callable[[list[Job] | Exception], None],
        name: Callable[[], str],
        fair: bool = True,
        types: Callable[[], list[str] | None] = lambda: None,
    ) -> None:
        self._client = client
        self._held = held
        self._room = room
        self._deliver = deliver
        self._name = name
        self._fair = fair
        self._types = types
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._queues: tuple[str, ...] = ()
        self._named = False
        self._rotation = 0
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._asked: tuple[str, list[str]] | None = None
        self._open: str | None = None  # of a call whose answer may have been lost: by it, it is given once more
        self._handing = False
        self._worker: str | None = None
        self._seen: dict[str, None] = {}  # the latest: two answers may have the same message

    def set_queues(self, queues: Sequence[str], registered: bool) -> None:
        """Take from these from now on. A call that waits for others is ended, and what has come of others was handed over when this
        returns, or goes back. `registered`: as a worker, from the beginning.
        """
        with self._changed:
            if tuple(queues) == self._queues:
                return
            self._queues, self._named = tuple(queues), registered
            self._worker, worker = None, self._worker
            self._changed.notify_all()
            asked = self._asked
            if queues and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="holdfast-receiver", daemon=True)
                self._thread.start()
        self._interrupt(asked)
        with self._changed:
            self._changed.wait_for(lambda: not self._handing, _HANDING_S)
        self._unregister(worker)

    def more_room(self) -> None:
        """There may be room again."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Take nothing more."""
        if self._process != os.getpid():
            return
        self.set_queues((), False)
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _interrupt(self, asked: tuple[str, list[str]] | None) -> None:
        """A call that waits, with the same `request_id`, ends the one that waits. If that has been given something, this one has the same."""
        for wait_ms in _INTERRUPTS_MS if asked is not None else ():
            assert asked is not None
            try:
                jobs = self._client.lease(
                    asked[1], request_id=asked[0], wait_ms=wait_ms, lease_ms=self._held.lease_ms, types=self._types()
                )
                self._arrived(jobs)
            except NO_ANSWER:
                return  # who waits for this, such as a program that ends, waits for no outage
            except errors.HoldfastError:
                pass  # the other call will tell
            with self._changed:  # it may have been about to be sent
                if self._changed.wait_for(lambda: self._asked is not asked, _AGAIN_S):
                    return

    def _unregister(self, worker: str | None) -> None:
        if worker is not None:
            with suppress(errors.HoldfastError):
                self._client.remove_worker(worker)

    def _run(self) -> None:
        failures, calls = 0, 0
        while (wanted := self._wanted()) is not None:
            queues, room = wanted
            began = time.monotonic()
            try:
                if self._worker is None and (calls or self._named):
                    self._register(queues)
                calls += 1
                jobs = self._ask(queues, room, WAIT_MS if self._worker else FIRST_WAIT_MS)
                failures = 0
            except errors.WorkerNotFound:
                self._worker = None
                continue
            except NO_ANSWER as error:
                failures += 1
                if failures == 1:
                    logger.warning("No server gives jobs, it will be asked again: %s", error)
                self._pause(min(_PAUSE_MAX_S, _PAUSE_S * failures), queues)
                continue
            except Exception as error:  # noqa: BLE001  (whoever reads is told, and not only this thread)
                self._deliver(error)
                return
            if jobs:
                try:
                    self._arrived(jobs)
                finally:
                    with self._changed:
                        self._handing = False
                        self._changed.notify_all()
            elif time.monotonic() - began < _PAUSE_S / 2:
                self._pause(_PAUSE_S, queues)  # a worker that was stopped gracefully is answered at once

    def _wanted(self) -> tuple[list[str], int] | None:
        """The queues to take from and how many; waits until there are both. None at the end."""
        while True:
            with self._changed:
                there = self._changed.wait_for(lambda: self._stopped or (self._queues and self._room() > 0), _BEAT_S)
                if self._stopped:
                    return None
                if there:
                    queues = list(self._queues)
                    if self._fair:
                        self._rotation += 1
                        at = self._rotation % len(queues)
                        queues = queues[at:] + queues[:at]
                    self._open = self._open or secrets.token_hex(16)
                    self._asked = (self._open, queues)
                    return queues, min(AT_ONCE, self._room())
                worker = self._worker
            if worker is not None:
                with suppress(errors.HoldfastError):
                    self._client.beat(worker)  # it is busy

    def _ask(self, queues: list[str], room: int, wait_ms: int) -> list[Job]:
        asked = self._asked
        assert asked is not None
        jobs: list[Job] = []
        try:
            jobs = self._client.lease(
                queues,
                max=room,
                wait_ms=wait_ms,
                lease_ms=self._held.lease_ms,
                worker=self._worker or "",
                request_id=asked[0],
                types=self._types(),
            )
            self._open = None
            return jobs
        finally:
            with self._changed:
                self._asked, self._handing = None, bool(jobs)
                self._changed.notify_all()

    def _register(self, queues: list[str]) -> None:
        with suppress(errors.Forbidden):
            self._worker = self._client.register_worker(queues, self._name(), self._types()).id

    def _pause(self, seconds: float, asked: list[str]) -> None:
        """Wait, unless other queues than those that were asked for are wanted meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or set(self._queues) != set(asked), seconds)

    def _arrived(self, jobs: list[Job]) -> None:
        """Hand over, together, what one call has brought."""
        arrived = [job for job in jobs if self._take(job)]
        if arrived:
            self._deliver(arrived)

    def _take(self, job: Job) -> bool:
        tag = tag_of(job)
        with self._changed:
            if tag in self._seen:
                return False
            self._seen[tag] = None
            if len(self._seen) > 10 * AT_ONCE:
                del self._seen[next(iter(self._seen))]
            wanted = job.queue in self._queues
        self._held.hold(job)
        if not wanted:
            self._held.release(tag)
        return wanted
