"""taskiq on Holdfast: a broker.

    from holdfast.taskiq import HoldfastBroker

    broker = HoldfastBroker("http://127.0.0.1:4653")

A message is a job: its type is the task's name, its payload the message. Labels of taskiq that are options of the job: `queue_name`, `delay`
(seconds), `priority` (the highest first), `expires` (seconds). A worker takes only the tasks that it has, and holds their leases while they run:
taskiq itself knows neither.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import msgspec
from taskiq import AckableMessage, AsyncBroker, BrokerMessage

from holdfast import errors
from holdfast.client import AsyncClient, Extend, Job, Release
from holdfast.client.held_leases import NO_ANSWER
from holdfast.limits import TYPES

__all__ = ["HoldfastBroker"]

logger = logging.getLogger(__name__)

LEASE_S = 60.0
_WAIT_MS = 50_000
_PAUSE_S = 1.0
_USUAL_PRIORITY = 1_024
_TYPE_CHARS = 128
_NO_TASKS = (
    "This worker has no tasks, so it would take no message. Name the modules that have them, as in "
    "`taskiq worker my.broker:broker my.tasks`, or have them found by --fs-discover."
)


class HoldfastBroker(AsyncBroker):
    """`url`, `token` and so on are those of `holdfast.AsyncClient`. A worker takes from `queue`, or from all `queues`, `prefetch` messages in one
    call. One that dies loses its messages after `lease_s`: they are run by another.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        queue: str = "taskiq",
        queues: Sequence[str] = (),
        prefetch: int = 10,
        lease_s: float = LEASE_S,
        wait_for_room_ms: int | None = None,
    ) -> None:
        super().__init__()
        self.queue = queue
        self.queues = list(queues) or [queue]
        self.prefetch = prefetch
        self.lease_ms = round(lease_s * 1_000)
        self._url, self._token, self._wait_ms = url, token, wait_for_room_ms
        self._client: AsyncClient | None = None
        self._held: dict[str, Job] = {}
        self._extending: asyncio.Task[None] | None = None
        self._worker: str | None = None
        self._asked: str | None = None

    @property
    def client(self) -> AsyncClient:
        """The client, in the event loop that uses it first."""
        if self._client is None:
            self._client = AsyncClient(self._url, token=self._token)
        return self._client

    async def shutdown(self) -> None:
        """Give back what is held and was not acknowledged, and close the connections."""
        await super().shutdown()
        if self._extending is not None:
            self._extending.cancel()
            self._extending = None
        if self._client is not None:
            worker, self._worker = self._worker, None
            if worker is not None:
                with contextlib.suppress(errors.HoldfastError):
                    await self._client.remove_worker(worker)
            with contextlib.suppress(errors.HoldfastError):
                await self._take_late()
            await self._give_back(list(self._held))
            await self._client.aclose()
            self._client = None

    async def kick(self, message: BrokerMessage) -> None:
        """Store a message. A full queue raises `QueueFull` at once, or after `wait_for_room_ms`."""
        labels = message.labels
        options: dict[str, Any] = {"meta": {"task_id": message.task_id}}
        if len(message.task_name) <= _TYPE_CHARS:
            options["type"] = message.task_name
        if labels.get("delay") is not None:
            options["delay_ms"] = round(float(labels["delay"]) * 1_000)
        if labels.get("expires") is not None:
            options["expires_in_ms"] = round(float(labels["expires"]) * 1_000)
        if labels.get("priority") is not None:
            options["priority"] = max(0, _USUAL_PRIORITY - int(labels["priority"]))
        payload, kind = _payload(message.message)
        queue = str(labels.get("queue_name") or self.queue)
        await self.client.enqueue(queue, payload, content_type=kind, wait_ms=self._wait_ms, **options)

    async def listen(self) -> AsyncGenerator[bytes | AckableMessage, None]:
        """The messages of the queues, as they come. Raises `RuntimeError` where there are no tasks."""
        if not self.get_all_tasks():
            raise RuntimeError(_NO_TASKS)
        fetched: list[Job] = []
        try:
            while True:
                fetched = await self._fetch()
                while fetched:
                    if (message := await self._ackable(fetched.pop(0))) is not None:
                        yield message
        finally:
            await self._give_back([_tag(job) for job in fetched])

    async def _fetch(self) -> list[Job]:
        """Waits for the next messages; through an outage of the server, too."""
        types = [name for name in self.get_all_tasks() if len(name) <= _TYPE_CHARS]
        known = types if len(types) == len(self.get_all_tasks()) <= TYPES else None
        began = time.monotonic()
        try:
            if self._worker is None:
                name = f"taskiq@{socket.gethostname()}:{os.getpid()}"
                with contextlib.suppress(errors.Forbidden):
                    self._worker = (await self.client.register_worker(self.queues, name, known)).id
            asked = self._asked = self._asked or secrets.token_hex(16)  # one whose answer was lost is repeated
            jobs = await self.client.lease(
                self.queues,
                max=self.prefetch,
                lease_ms=self.lease_ms,
                wait_ms=_WAIT_MS,
                worker=self._worker or "",
                types=known,
                request_id=asked,
            )
            self._asked = None
        except errors.WorkerNotFound:
            self._worker = None
            return []
        except NO_ANSWER as error:
            logger.warning("No server gives messages, it will be asked again: %s", error)
            await asyncio.sleep(_PAUSE_S)
            return []
        self._held |= {_tag(job): job for job in jobs}
        if self._extending is None:
            self._extending = asyncio.create_task(self._extend())
        if not jobs and time.monotonic() - began < _PAUSE_S / 2:
            await asyncio.sleep(_PAUSE_S)  # a worker that was stopped gracefully is answered at once
        return jobs

    async def _ackable(self, job: Job) -> AckableMessage | None:
        """The message; None if this worker can do nothing with it: taskiq would acknowledge it, and it would be gone."""
        data = job.body if job.body is not None else bytes(job.payload_json)
        try:
            name = self.formatter.loads(message=data).task_name
        except Exception as error:  # noqa: BLE001  (whatever the serializer of this broker raises)
            await self._reject(job, f"The message can't be read: {error}")
            return None
        if self.find_task(name) is None:
            await self._reject(job, f"No task is called {name}.")
            return None

        async def ack() -> None:
            await self._conclude(job)

        return AckableMessage(data=data, ack=ack)

    async def _reject(self, job: Job, reason: str) -> None:
        logger.error("Job %d is dead: %s", job.id, reason)
        self._held.pop(_tag(job), None)
        assert job.lease is not None
        with contextlib.suppress(errors.HoldfastError):
            await self.client.fail(job.lease.token, reason, retry=False)

    async def _conclude(self, job: Job) -> None:
        """Done. While no server answers the message stays held, and this waits."""
        assert job.lease is not None
        while _tag(job) in self._held:
            try:
                await self.client.conclude(job.lease.token)
            except NO_ANSWER as error:
                logger.warning("No server takes an acknowledgement, it will be sent again: %s", error)
                await asyncio.sleep(_PAUSE_S)
                continue
            except errors.LeaseLost as error:
                logger.warning("A message was acknowledged after its lease had ended, and may run again: %s", error)
            self._held.pop(_tag(job), None)

    async def _take_late(self) -> None:
        """What the server has given to a call that was cut off: the same request has the same answer."""
        asked, self._asked = self._asked, None
        if asked is not None and self._client is not None:
            jobs = await self._client.lease(self.queues, request_id=asked, wait_ms=1, lease_ms=self.lease_ms)
            self._held |= {_tag(job): job for job in jobs}

    async def _give_back(self, tags: list[str]) -> None:
        jobs = [self._held.pop(tag) for tag in tags if tag in self._held]
        if jobs and self._client is not None:
            with contextlib.suppress(errors.HoldfastError):
                await self._client.batch([Release(token=job.lease.token) for job in jobs if job.lease is not None])

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self.lease_ms / 3_000)
            if self._worker is not None and self._held:
                with contextlib.suppress(errors.HoldfastError):
                    await self.client.beat(self._worker)  # it may be busy, and not asking for more
            held = list(self._held.items())
            for begin in range(0, len(held), 500):
                part = held[begin : begin + 500]
                entries = [Extend(token=job.lease.token, lease_ms=self.lease_ms) for _, job in part if job.lease is not None]
                try:
                    outcomes = await self.client.batch(entries)
                except errors.HoldfastError as error:
                    logger.warning("The leases of %d messages could not be extended: %s", len(held), error)
                    break
                for (tag, _), outcome in zip(part, outcomes, strict=True):
                    if isinstance(outcome, errors.LeaseLost) and self._held.pop(tag, None) is not None:
                        logger.warning("A message that is run here is not held any more: %s", outcome)


def _tag(job: Job) -> str:
    return f"{job.id}.{job.attempt}"


def _payload(data: bytes) -> tuple[Any, str | None]:
    """As JSON where taskiq's serializer makes JSON."""
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return data, "application/octet-stream"
    return msgspec.Raw(data), None
