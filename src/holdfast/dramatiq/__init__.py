"""Dramatiq on Holdfast: a broker.

    import dramatiq
    from holdfast.dramatiq import HoldfastBroker

    dramatiq.set_broker(HoldfastBroker("http://127.0.0.1:4653"))

A message is a job of its queue: its type is the actor's name, its payload the message. A delay is the server's affair, so there are no delay
queues; a message that has failed for good is a dead job, to be looked at and retried. Leases are extended while actors run.
"""

import os
import secrets
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from dramatiq import Broker, Message, MessageProxy, Middleware
from dramatiq.broker import Consumer
from dramatiq.errors import BrokerConnectionError, DecodeError, QueueJoinTimeout, QueueNotFound
from dramatiq.results import Results as ResultsMiddleware
from msgspec import UNSET, Raw, UnsetType

from holdfast import errors
from holdfast.client import Client, Job
from holdfast.client.held_leases import NO_ANSWER, HeldLeases, tag_of
from holdfast.client.kept_results import data_of, key_of, payload_of
from holdfast.client.raised import raised
from holdfast.client.receiver import Receiver
from holdfast.dramatiq.results import Results

__all__ = ["HoldfastBroker"]

LEASE_S = 60.0
_TYPE_CHARS = 128
_USUAL_PRIORITY = 1_024
_LOOK_S = 0.1
_FLUSH_S = 5.0


class HoldfastBroker(Broker):
    """`url`, `token` and so on are those of `holdfast.Client`. `prefix` stands before the names of all queues. A full queue raises `QueueFull`
    at once, or after `wait_for_room_ms`. A worker that dies loses its messages after `lease_s`: they are run by another. `results`: of actors with
    `store_results`, kept with the jobs.
    """

    _has_results = False

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        client: Client | None = None,
        prefix: str = "",
        lease_s: float = LEASE_S,
        wait_for_room_ms: int | None = None,
        results: bool = False,
        middleware: list[Middleware] | None = None,
    ) -> None:
        super().__init__(middleware=middleware)
        self.client = client or Client(url, token=token)
        self.prefix = prefix
        self.lease_ms = round(lease_s * 1_000)
        self._wait_ms = wait_for_room_ms
        self.queues: dict[str, None] = {}
        self._held: dict[int, HeldLeases] = {}  # by process
        if results:
            self.add_middleware(ResultsMiddleware(backend=Results(self.client)))

    @property
    def held(self) -> HeldLeases:
        """What this process holds, by whichever consumer: one that Dramatiq begins anew ends what an earlier one has brought."""
        return self._held.setdefault(os.getpid(), HeldLeases(self.client, self.lease_ms))

    def add_middleware(self, middleware: Middleware, **where: Any) -> None:
        """As any broker."""
        super().add_middleware(middleware, **where)
        if isinstance(middleware, ResultsMiddleware) and isinstance(middleware.backend, Results):
            self._has_results = True

    def close(self) -> None:
        """Tell what is to be told, and close the connections."""
        self.held.close()
        self.client.close()

    def declare_queue(self, queue_name: str) -> None:
        """A queue is made by its first message."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def get_declared_queues(self) -> set[str]:
        """Their names."""
        return set(self.queues)

    def enqueue(self, message: "Message[Any]", *, delay: int | None = None) -> "Message[Any]":
        """Store a message; `delay` in milliseconds."""
        if message.queue_name not in self.queues:
            raise QueueNotFound(message.queue_name)
        self.emit_before("enqueue", message, delay)
        options: dict[str, Any] = {"type": message.actor_name} if len(message.actor_name) <= _TYPE_CHARS else {}
        if delay:
            options["delay_ms"] = delay
        if isinstance(priority := message.options.get("broker_priority"), int):
            options["priority"] = max(0, _USUAL_PRIORITY - priority)  # the highest first, as with RabbitMQ
        try:
            self._put(message, options)
        except NO_ANSWER as error:
            raise BrokerConnectionError(str(error)) from error
        self.emit_after("enqueue", message, delay)
        return message

    def _put(self, message: "Message[Any]", options: dict[str, Any]) -> None:
        queue, meta = self.prefix + message.queue_name, {"message_id": message.message_id}
        payload, kind = payload_of(message.encode())
        options |= {"content_type": kind, "wait_ms": self._wait_ms, "meta": meta}
        key = None
        if self._has_results:
            key = key_of(message.message_id, message.options.get("retries") or 0)
            meta["sent"] = secrets.token_hex(8)  # another message of the same id is another request
        try:
            self.client.enqueue(queue, payload, idempotency_key=key, **options)
        except errors.IdempotencyMismatch:  # it is run all the same; found by its id is the first
            self.client.enqueue(queue, payload, **options)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 30_000) -> Consumer:
        """What a worker reads from."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        return _Consumer(self, queue_name, prefetch, timeout)

    def flush(self, queue_name: str) -> None:
        """Drop the messages of a queue that wait."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        with suppress(errors.QueueNotFound):
            self.client.purge(self.prefix + queue_name)

    def flush_all(self) -> None:
        """Drop those of all queues."""
        for queue in self.queues:
            self.flush(queue)

    def join(self, queue_name: str, *, timeout: int | None = None) -> None:
        """Wait until no message waits or is run; raises `QueueJoinTimeout` after `timeout` milliseconds."""
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        until = None if timeout is None else time.monotonic() + timeout / 1_000
        while self._left(queue_name):
            if until is not None and time.monotonic() >= until:
                raise QueueJoinTimeout(queue_name)
            time.sleep(_LOOK_S)

    def _left(self, queue_name: str) -> int:
        try:
            jobs = self.client.queue(self.prefix + queue_name).jobs
        except errors.QueueNotFound:
            return 0
        return jobs.scheduled + jobs.ready + jobs.leased


class _Held(MessageProxy):
    """A message under its lease, with its result once that is known."""

    def __init__(self, message: "Message[Any]", tag: str) -> None:
        super().__init__(message)
        self.tag = tag
        self.result: Raw | UnsetType = UNSET
        self.unkept = ""  # why it has none, though the work was done


class _Consumer(Consumer):
    """Reads one queue by a thread that waits, and tells outcomes by another."""

    def __init__(self, broker: HoldfastBroker, queue: str, prefetch: int, timeout: int) -> None:
        self._queue = queue
        self._prefetch = prefetch
        self._timeout_s = timeout / 1_000
        self._inbox: SimpleQueue[Job | Exception] = SimpleQueue()
        self._here: dict[str, None] = {}  # waits in the inbox, or is run
        self._held = broker.held
        self._receiver = Receiver(
            broker.client,
            self._held,
            room=self._room,
            deliver=self._deliver,
            name=lambda: f"dramatiq@{socket.gethostname()}:{os.getpid()}",
        )
        self._receiver.set_queues([broker.prefix + queue], True)

    def __next__(self) -> MessageProxy | None:
        try:
            came = self._inbox.get(timeout=self._timeout_s)
        except Empty:
            return None
        if isinstance(came, Exception):
            raise BrokerConnectionError(str(came)) from came
        tag = tag_of(came)
        try:
            return _Held(_message(came, self._queue), tag)
        except DecodeError as error:
            self._end(tag)
            self._held.reject(tag, str(error))
            return None

    def ack(self, message: MessageProxy) -> None:
        """Done."""
        self._end(message.tag)
        if message.unkept:
            self._held.reject(message.tag, message.unkept)
        else:
            self._held.conclude(message.tag, message.result)

    def nack(self, message: MessageProxy) -> None:
        """Failed for good: the job is dead."""
        self._end(message.tag)
        error = message._exception  # noqa: SLF001  (as its own middleware of results does)
        if error is None:
            self._held.reject(message.tag, f"Dramatiq: {message.options.get('traceback') or 'rejected'}")
        else:
            self._held.reject(message.tag, "", raised(error))

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Back to the queue, to their places."""
        for message in messages:
            self._end(message.tag)
            self._held.release(message.tag)

    def close(self) -> None:
        """Take no more; what waits here goes back."""
        self._receiver.stop()
        while True:
            try:
                waiting = self._inbox.get_nowait()
            except Empty:
                break
            if isinstance(waiting, Job):
                self._held.release(tag_of(waiting))
        self._held.flush(_FLUSH_S)

    def _room(self) -> int:
        return self._prefetch - len(self._here)

    def _deliver(self, came: list[Job] | Exception) -> None:
        for one in came if isinstance(came, list) else [came]:
            if isinstance(one, Job):
                self._here[tag_of(one)] = None
            self._inbox.put(one)

    def _end(self, tag: str) -> None:
        self._here.pop(tag, None)
        self._receiver.more_room()


def _message(job: Job, queue: str) -> "Message[Any]":
    """Of the queue that it comes from: it may have been moved. Raises `DecodeError`."""
    data = data_of(job)
    message: Any = Message.decode(data)  # whose fields may have any value
    if not isinstance(message.options, dict) or not isinstance(message.actor_name, str):
        raise DecodeError("Failed to decode message: its actor_name is a text, and its options are an object.", data, None)
    found: Message[Any] = message if message.queue_name == queue else message.copy(queue_name=queue)
    return found
