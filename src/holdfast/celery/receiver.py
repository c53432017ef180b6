"""The thread that waits for the messages of one channel: a lease call that the server answers as soon as there is one. Nothing is polled.

It asks for as many as the channel may still have (its prefetch count), and hands them over to the connection. An outage of the server is its
own affair: it says so in the log, and asks again. What is held meanwhile stays held, and is acknowledged afterwards.
"""

import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kombu.log import get_logger

from holdfast import errors
from holdfast.celery.messages import Message, NotAMessage, decoded
from holdfast.celery.refusals import CONNECTION_ERRORS
from holdfast.client import Client, Job

if TYPE_CHECKING:
    from holdfast.celery.channel import Channel
    from holdfast.celery.leases import Leases

logger = get_logger(__name__)

FIRST_WAIT_MS = 20_000  # who consumes for longer is registered as a worker
WAIT_MS = 50_000
AT_ONCE = 100  # at most, where no prefetch count is set
_PAUSE_S = 1.0
_PAUSE_MAX_S = 5.0
_TRIES = 5
_AGAIN_S = 0.2


@dataclass(slots=True)
class Arrived:
    """A message that was leased and waits to be handed to its consumer."""

    channel: "Channel"
    queue: str
    message: Message
    tag: str


class Receiver:
    """Begins with its first `set_queues`. `deliver` gets what comes, and the error that ends it."""

    def __init__(
        self, channel: "Channel", client: Client, leases: "Leases", deliver: Callable[[list[Arrived] | Exception], None]
    ) -> None:
        self._channel = channel
        self._client = client
        self._leases = leases
        self._deliver = deliver
        self._process = os.getpid()
        self._changed = threading.Condition()
        self._queues: dict[str, str] = {}  # by their names on the server
        self._named = False
        self._rotation = 0
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._asked: tuple[str, list[str]] | None = None
        self._worker: str | None = None
        self._seen: dict[str, None] = {}  # the latest: two answers may have the same message

    def set_queues(self, queues: dict[str, str], acknowledges: bool) -> None:
        """Take from these from now on. A call that waits for others is ended."""
        with self._changed:
            if queues == self._queues:
                return
            self._queues, self._named = queues, acknowledges
            self._worker, worker = None, self._worker
            self._changed.notify_all()
            asked = self._asked
            if queues and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="holdfast-receiver", daemon=True)
                self._thread.start()
        self._interrupt(asked)
        self._unregister(worker)

    def more_room(self) -> None:
        """A message was acknowledged, or handed over, or the prefetch count has changed."""
        with self._changed:
            self._changed.notify_all()

    def stop(self) -> None:
        """Take nothing more."""
        if self._process != os.getpid():
            return
        self.set_queues({}, False)
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _interrupt(self, asked: tuple[str, list[str]] | None) -> None:
        """A call that waits, with the same `request_id`, ends the one that waits. If that has been given something, this one has the same."""
        for _ in range(_TRIES if asked is not None else 0):
            assert asked is not None
            with suppress(errors.HoldfastError):
                self._arrived(self._client.lease(asked[1], request_id=asked[0], wait_ms=1, lease_ms=self._leases.lease_ms))
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
            except CONNECTION_ERRORS as error:
                failures += 1
                if failures == 1:
                    logger.warning("No server gives messages, it will be asked again: %s", error)
                self._pause(min(_PAUSE_MAX_S, _PAUSE_S * failures), queues)
                continue
            except errors.HoldfastError as error:
                self._deliver(error)
                return
            self._arrived(jobs)
            if not jobs and time.monotonic() - began < _PAUSE_S / 2:
                self._pause(_PAUSE_S, queues)  # a worker that was stopped gracefully is answered at once

    def _wanted(self) -> tuple[list[str], int] | None:
        """The queues to take from and how many; waits until there are both. None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or (self._queues and self._channel.room() > 0))
            if self._stopped:
                return None
            queues = list(self._queues)
            if self._channel.fair:
                self._rotation += 1
                at = self._rotation % len(queues)
                queues = queues[at:] + queues[:at]
            self._asked = (secrets.token_hex(16), queues)
            return queues, min(AT_ONCE, self._channel.room())

    def _ask(self, queues: list[str], room: int, wait_ms: int) -> list[Job]:
        asked = self._asked
        assert asked is not None
        try:
            return self._client.lease(
                queues,
                max=room,
                wait_ms=wait_ms,
                lease_ms=self._leases.lease_ms,
                worker=self._worker or "",
                request_id=asked[0],
            )
        finally:
            with self._changed:
                self._asked = None
                self._changed.notify_all()

    def _register(self, queues: list[str]) -> None:
        with suppress(errors.Forbidden):
            self._worker = self._client.register_worker(queues, self._channel.worker_name()).id

    def _pause(self, seconds: float, asked: list[str]) -> None:
        """Wait, unless other queues than those that were asked for are wanted meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._queues.keys() != set(asked), seconds)

    def _arrived(self, jobs: list[Job]) -> None:
        """Hand over, together, what one call has brought."""
        arrived = [found for job in jobs if (found := self._take(job)) is not None]
        if arrived:
            self._deliver(arrived)

    def _take(self, job: Job) -> Arrived | None:
        assert job.lease is not None
        tag = f"{job.id}.{job.attempt}"
        with self._changed:
            if tag in self._seen:
                return None
            self._seen[tag] = None
            if len(self._seen) > 10 * AT_ONCE:
                del self._seen[next(iter(self._seen))]
            queue = self._queues.get(job.queue)
            if queue is not None:
                self._channel.expect()
        self._leases.hold(tag, job.lease.token)
        if queue is None:
            self._leases.release(tag)
            return None
        try:
            return Arrived(self._channel, queue, decoded(job, queue, tag), tag)
        except NotAMessage as error:
            logger.error("Job %d of the queue %s is rejected: %s", job.id, queue, error)  # noqa: TRY400  (it says all)
            self._channel.unexpect()
            self._leases.reject(tag, f"Not a message: {error}")
            return None
