"""taskiq on Holdfast: a broker.

    from holdfast.taskiq import HoldfastBroker

    broker = HoldfastBroker("http://127.0.0.1:4653", results=True)

A message is a job: its type is the task's name, its payload the message. Labels of taskiq that are options of the job: `queue_name`, `delay`
(seconds), `priority` (the highest first), `expires` (seconds). A worker takes only the tasks that it has, and holds their leases while they run:
taskiq itself knows neither.
"""

import logging
import secrets
from collections.abc import AsyncGenerator, Sequence
from typing import Any

from taskiq import AckableMessage, AsyncBroker, BrokerMessage

from holdfast import errors
from holdfast.client import AsyncClient, Client, Job
from holdfast.client.held_leases import tag_of
from holdfast.client.kept_results import data_of, key_of, payload_of
from holdfast.limits import TYPES
from holdfast.taskiq.consumer import Consumer
from holdfast.taskiq.results import Results

__all__ = ["HoldfastBroker"]

logger = logging.getLogger(__name__)

LEASE_S = 60.0
_USUAL_PRIORITY = 1_024
_TYPE_CHARS = 128
_TRIES = ("_retries", "X-Taskiq-requeue")  # labels that count what is sent again under the same id
_NO_TASKS = (
    "This worker has no tasks, so it would take no message. Name the modules that have them, as in "
    "`taskiq worker my.broker:broker my.tasks`, or have them found by --fs-discover."
)


class HoldfastBroker(AsyncBroker):
    """`url`, `token` and so on are those of `holdfast.AsyncClient`. A worker takes from `queue`, or from all `queues`, `prefetch` messages in one
    call. One that dies loses its messages after `lease_s`: they are run by another. `results`: keep them with the jobs.
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
        results: bool = False,
    ) -> None:
        super().__init__()
        self.queue = queue
        self.queues = list(queues) or [queue]
        self.prefetch = prefetch
        self.lease_ms = round(lease_s * 1_000)
        self._url, self._token, self._wait_ms = url, token, wait_for_room_ms
        self._client: AsyncClient | None = None
        self._consumer: Consumer | None = None
        if results:
            self.result_backend = Results(self)

    @property
    def client(self) -> AsyncClient:
        """The client, in the event loop that uses it first."""
        if self._client is None:
            self._client = AsyncClient(self._url, token=self._token)
        return self._client

    async def shutdown(self) -> None:
        """Give back what is held and was not acknowledged, and close the connections."""
        await super().shutdown()
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def kick(self, message: BrokerMessage) -> None:
        """Store a message. A full queue raises `QueueFull` at once, or after `wait_for_room_ms`."""
        labels = message.labels
        meta = {"task_id": message.task_id}
        options: dict[str, Any] = {"meta": meta}
        if len(message.task_name) <= _TYPE_CHARS:
            options["type"] = message.task_name
        if labels.get("delay") is not None:
            options["delay_ms"] = round(float(labels["delay"]) * 1_000)
        if labels.get("expires") is not None:
            options["expires_in_ms"] = round(float(labels["expires"]) * 1_000)
        if labels.get("priority") is not None:
            options["priority"] = max(0, _USUAL_PRIORITY - int(labels["priority"]))
        payload, options["content_type"] = payload_of(message.message)
        queue = str(labels.get("queue_name") or self.queue)
        key = None
        if isinstance(self.result_backend, Results):
            key = key_of(message.task_id, sum(int(labels.get(name) or 0) for name in _TRIES))
            meta["sent"] = secrets.token_hex(8)  # another message of the same id is another request
        try:
            await self.client.enqueue(queue, payload, idempotency_key=key, wait_ms=self._wait_ms, **options)
        except errors.IdempotencyMismatch:  # it is run all the same; found by its id is the first
            await self.client.enqueue(queue, payload, wait_ms=self._wait_ms, **options)

    async def listen(self) -> AsyncGenerator[bytes | AckableMessage, None]:
        """The messages of the queues, as they come; through an outage of the server, too. Raises `RuntimeError` where there are no tasks."""
        if not self.get_all_tasks():
            raise RuntimeError(_NO_TASKS)
        if self._consumer is None:
            self._consumer = Consumer(Client(self._url, token=self._token), self.prefetch, self.lease_ms, self._types)
        consumer = self._consumer
        consumer.begin(self.queues)
        try:
            while True:
                if (message := self._ackable(consumer, await consumer.next())) is not None:
                    yield message
        finally:
            await consumer.stop()

    def _types(self) -> list[str] | None:
        """The tasks that this worker has; None if they are too many to be named."""
        names = list(self.get_all_tasks())
        return names if len(names) <= TYPES and all(len(name) <= _TYPE_CHARS for name in names) else None

    def _ackable(self, consumer: Consumer, job: Job) -> AckableMessage | None:
        """The message; None if this worker can do nothing with it: taskiq would acknowledge it, and it would be gone."""
        held, tag, data = consumer.held, tag_of(job), data_of(job)
        try:
            message = self.formatter.loads(message=data)
            unknown = None if self.find_task(message.task_name) else f"No task is called {message.task_name}."
        except Exception as error:  # noqa: BLE001  (whatever the serializer of this broker raises)
            unknown = f"The message can't be read: {error}"
        if unknown is not None:
            logger.error("Job %d is dead: %s", job.id, unknown)
            held.reject(tag, unknown)
            return None
        results = self.result_backend
        if not isinstance(results, Results):
            return AckableMessage(data=data, ack=lambda: held.conclude(tag))
        results.taken(message.task_id, held, tag)
        return AckableMessage(data=data, ack=lambda: results.acknowledged(message.task_id, tag))
