"""A channel: what kombu's virtual channels promise, with queues, bindings and acknowledgements kept by the server."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty
from typing import TYPE_CHECKING, Any

from kombu.exceptions import ChannelError
from kombu.log import get_logger
from kombu.transport import base, virtual
from kombu.transport.virtual.exchange import STANDARD_EXCHANGE_TYPES, FanoutExchange
from kombu.utils.uuid import uuid

from holdfast import errors
from holdfast.celery import exchanges, orphans
from holdfast.celery.messages import Message, copied, decoded, encoded, options
from holdfast.celery.refusals import told_as_kombu_does
from holdfast.client import Job
from holdfast.client.held_leases import tag_of
from holdfast.client.receiver import AT_ONCE, Receiver

if TYPE_CHECKING:
    from holdfast.celery.transport import Transport

logger = get_logger(__name__)

_SETTINGS = {"x-message-ttl": "expires_in_ms", "x-max-length": "capacity_jobs", "x-max-length-bytes": "capacity_bytes"}
_UNUSED_MS = 60_000
_PUBLISHED = ("scheduled", "ready")


@dataclass(slots=True)
class Arrived:
    """A message that was leased and waits to be handed to its consumer."""

    channel: "Channel"
    queue: str
    message: virtual.Message
    tag: str


class QoS(virtual.QoS):
    """What was delivered and is not acknowledged: the server holds it, and so nothing is put back by hand."""

    def append(self, message: Any, delivery_tag: str) -> None:
        """Delivered."""
        self._delivered[delivery_tag] = message

    def can_consume(self) -> bool:
        """Whether more may be delivered."""
        return not self.prefetch_count or len(self._delivered) < self.prefetch_count

    def ack(self, delivery_tag: str) -> None:
        """Done with it."""
        self._delivered.pop(delivery_tag, None)
        self.channel.leases.conclude(delivery_tag)
        self.channel.more_room()

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Back to the queue; or dead, to be looked at."""
        self._delivered.pop(delivery_tag, None)
        if requeue:
            self.channel.leases.release(delivery_tag)
        else:
            self.channel.leases.reject(delivery_tag, "rejected by its consumer")
        self.channel.more_room()

    def restore_unacked(self) -> list[Any]:
        """All back to their queues."""
        with suppress(KeyError):  # there is none left: another thread may have ended the last
            while True:
                self.reject(self._delivered.popitem()[0], requeue=True)
        return []


class Channel(virtual.Channel):
    """One channel of a connection; it consumes in a thread of its own."""

    QoS = QoS
    supports_fanout = True
    exchange_types = {**STANDARD_EXCHANGE_TYPES, "fanout": FanoutExchange}  # noqa: RUF012
    from_transport_options = (
        *virtual.Channel.from_transport_options,
        "lowest_priority_first",
        "queue_order_strategy",
        "wait_for_room_ms",
    )

    lowest_priority_first = False
    queue_order_strategy = "round_robin"
    wait_for_room_ms: int | None = None
    connection: "Transport"
    closed: bool

    def __init__(self, connection: "Transport", **kwargs: Any) -> None:
        super().__init__(connection, **kwargs)
        self._process = os.getpid()
        self.server = connection.server
        self.leases = connection.leases
        self._consumed: dict[str, tuple[str, bool, Callable[[Any], Any]]] = {}  # by consumer tag: queue, no_ack, callback
        self._receiver: Receiver | None = None
        self._arriving = 0
        self._counting = threading.Lock()
        self._names: dict[str, str] = {}  # of the queues that are consumed, by those that they have on the server
        self._declared: set[str] = set()
        self._temporary: dict[str, exchanges.Pairs] = {}

    # Publishing

    def basic_publish(self, message: Message, exchange: str, routing_key: str, **kwargs: Any) -> None:
        """Store a message: in the queue that its routing key names, or by an exchange in all queues that are bound to it."""
        self._inplace_augment_message(message, exchange, routing_key)
        if exchange:
            self._publish(exchange, routing_key or "", message)
        else:
            self._put(routing_key, message)

    def _inplace_augment_message(self, message: Message, exchange: str, routing_key: str) -> None:
        """If kombu repeats it because a connection broke, it is the same message, and is not stored twice."""
        encoding = None if isinstance(message["body"], str) else "base64"
        if encoding is not None:
            message["body"], encoding = self.encode_body(message["body"], encoding)
        properties = message["properties"]
        properties["body_encoding"] = encoding
        properties.setdefault("delivery_tag", uuid())
        properties["delivery_info"] = {"exchange": exchange, "routing_key": routing_key}

    def _put(self, queue: str, message: Message, **kwargs: Any) -> None:
        key, said = message["properties"]["delivery_tag"], options(message, self.lowest_priority_first)
        with told_as_kombu_does():
            self.server.enqueue(self._name(queue), encoded(message), idempotency_key=key, wait_ms=self.wait_for_room_ms, **said)

    def _publish(self, exchange: str, routing_key: str, message: Message) -> None:
        key, said = message["properties"]["delivery_tag"], options(message, self.lowest_priority_first)
        with told_as_kombu_does():
            data = copied(message, self._exchange(exchange), routing_key)
            reached = self.server.publish(data, idempotency_key=key, **said)
        if not reached.jobs and self.deadletter_queue:
            self._put(self.deadletter_queue, message)

    def prepare_queue_arguments(self, arguments: dict[str, Any], **kwargs: Any) -> Any:
        """`expires`, `message_ttl`, `max_length` and so on by their names in AMQP."""
        return base.to_rabbitmq_queue_arguments(arguments, **kwargs)

    # Queues and bindings

    def _name(self, queue: str) -> str:
        return self.connection.name_of(queue)

    def _exchange(self, exchange: str) -> str:
        return self.connection.prefix + exchange

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        arguments = kwargs.get("arguments") or {}
        name = self._name(queue)
        temporary = kwargs.get("auto_delete") or kwargs.get("exclusive") or "x-expires" in arguments
        if name in self._declared:
            return
        settings: dict[str, Any] = {
            ours: int(arguments[theirs]) for theirs, ours in _SETTINGS.items() if arguments.get(theirs) is not None
        }
        try:
            if temporary:
                self._make_temporary(name, int(arguments.get("x-expires") or _UNUSED_MS), settings)
            else:
                self._make(name, settings)
                self._declared.add(name)
        except errors.Forbidden as error:
            logger.debug("The queue %s is not declared: %s", queue, error)  # a producer's key: its workers declare it

    def _make(self, name: str, settings: dict[str, Any]) -> None:
        """A queue that is there keeps what was set for it, by whomever."""
        try:
            there = self.server.queue(name)
        except errors.QueueNotFound:
            self.server.set_queue(name, **settings)
        else:
            missing = {setting: value for setting, value in settings.items() if setting not in there.set}
            if missing:
                self.server.change_queue(name, **missing)

    def _make_temporary(self, name: str, unused_ms: int, settings: dict[str, Any]) -> None:
        settings.setdefault("expires_in_ms", unused_ms)
        self.server.set_queue(name, retention_ms=0, **settings)
        self._temporary[name] = exchanges.mark_temporary(self.server, name, unused_ms)
        orphans.remove_in_background(self.server, self.connection.urls[0])

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        try:
            self.server.queue(self._name(queue))
        except errors.QueueNotFound:
            return False
        return True

    def _size(self, queue: str) -> int:
        try:
            return self.server.queue(self._name(queue)).jobs.ready
        except (errors.QueueNotFound, errors.Forbidden):
            return 0

    def _purge(self, queue: str) -> int:
        try:
            return self.server.purge(self._name(queue), _PUBLISHED)
        except errors.QueueNotFound:
            return 0

    def queue_bind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **kwargs: Any
    ) -> None:
        """The queue gets what is sent to the exchange, if its routing key fits. The server keeps that."""
        exchange, routing_key = exchange or "amq.direct", routing_key or ""
        if self.state.has_binding(queue, exchange, routing_key) and self._name(queue) in self._declared:
            return
        try:
            name, pattern = self._name(queue), self._pattern(exchange, routing_key)
            exchanges.bind(self.server, name, self._exchange(exchange), pattern, self._temporary.get(name))
        except errors.Forbidden as error:
            logger.debug("The queue %s is not bound: %s", queue, error)
        self.state.binding_declare(queue, exchange, routing_key, arguments)

    def queue_unbind(
        self, queue: str, exchange: str | None = None, routing_key: str = "", arguments: Any = None, **kwargs: Any
    ) -> None:
        """It does not any more."""
        exchange, routing_key = exchange or "amq.direct", routing_key or ""
        self._temporary.pop(self._name(queue), None)
        exchanges.unbind(self.server, self._name(queue), self._exchange(exchange), self._pattern(exchange, routing_key))
        self.state.binding_delete(queue, exchange, routing_key)

    def _pattern(self, exchange: str, routing_key: str) -> str:
        return exchanges.pattern_of(self.typeof(exchange).type or "direct", routing_key)

    def get_table(self, exchange: str) -> list[tuple[str, str, str]]:
        """The bindings of an exchange, by all processes: pattern twice, and the queue."""
        field = exchanges.field_of(self._exchange(exchange))
        found = []
        for interest in self.server.interests():
            pairs = {} if isinstance(interest.match, str) else interest.match
            found += [(pattern, pattern, interest.queue) for pattern in exchanges.patterns(pairs.get(field))]
        return found

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Take all its bindings back; the queues stay."""
        for pattern, _, queue in self.get_table(exchange):
            exchanges.unbind(self.server, queue, self._exchange(exchange), pattern)
        self.state.exchanges.pop(exchange, None)

    def queue_delete(self, queue: str, if_unused: bool = False, if_empty: bool = False, **kwargs: Any) -> None:
        """Remove a queue with its bindings and its messages."""
        if if_empty and self._size(queue):
            return
        self.leases.flush(1.0)
        self.state.queue_bindings_delete(queue)
        self._declared.discard(self._name(queue))
        self._temporary.pop(self._name(queue), None)
        orphans.delete(self.server, self._name(queue))

    # Consuming

    def basic_consume(self, queue: str, no_ack: bool, callback: Callable[[Any], Any], consumer_tag: str, **kwargs: Any) -> None:
        """Consume from a queue; it begins with the next `drain_events`, or turn of the event loop."""
        self._consumed[consumer_tag] = (queue, no_ack, callback)
        self._consumers.add(consumer_tag)
        self._tag_to_queue[consumer_tag] = queue
        self._active_queues.append(queue)
        self.connection.consuming.add(self)

    def basic_cancel(self, consumer_tag: str) -> None:
        """Consume no more; what waited to be handed over goes back."""
        if consumer_tag in self._consumed:
            queue, _, _ = self._consumed.pop(consumer_tag)
            self._consumers.discard(consumer_tag)
            self._tag_to_queue.pop(consumer_tag, None)
            self._active_queues.remove(queue)
            if self._receiver is not None:
                self.receive()
                self.connection.give_back(self, set(self._active_queues))

    def receive(self) -> None:
        """Let the thread take from the queues that have a consumer."""
        if self._receiver is None:
            fair = self.queue_order_strategy != "priority"
            self._receiver = Receiver(
                self.server, self.leases, room=self.room, deliver=self._arrived, name=self._worker_name, fair=fair
            )
        acknowledges = any(not no_ack for _, no_ack, _ in self._consumed.values())
        self._names = {self._name(queue): queue for queue in self._active_queues}
        self._receiver.set_queues(list(self._names), acknowledges)

    def _arrived(self, came: list[Job] | Exception) -> None:
        """Called by the thread."""
        if isinstance(came, Exception):
            self.connection.arrived(came)
        elif arrived := [message for job in came if (message := self._message(job)) is not None]:
            with self._counting:
                self._arriving += len(arrived)
            self.connection.arrived(arrived)

    def _message(self, job: Job) -> Arrived | None:
        tag, queue = tag_of(job), self._names.get(job.queue, job.queue)
        try:
            return Arrived(self, queue, self.Message(decoded(job, queue, tag), channel=self), tag)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one message, the others are received)
            logger.error("Job %d of the queue %s is rejected: %r", job.id, queue, error)  # noqa: TRY400  (it says all)
            self.leases.reject(tag, f"Not a message: {error}")
            return None

    def room(self) -> int:
        """How many more messages may come."""
        limit = self.qos.prefetch_count
        return limit - len(self.qos._delivered) - self._arriving if limit else AT_ONCE - self._arriving  # noqa: SLF001

    def unexpect(self) -> None:
        """It was handed over, or not."""
        with self._counting:
            self._arriving -= 1
        self.more_room()

    def more_room(self) -> None:
        """Tell the thread."""
        if self._receiver is not None and self._process == os.getpid():
            self._receiver.more_room()

    def basic_qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> None:
        """How many may be unacknowledged at once."""
        self.qos.prefetch_count = prefetch_count
        self.more_room()

    def deliver(self, arrived: Arrived) -> None:
        """Hand a message to its consumer, in the thread of the caller."""
        consumer = next((found for found in self._consumed.values() if found[0] == arrived.queue), None)
        if consumer is None or self.closed:
            self.leases.release(arrived.tag)
            self.unexpect()
            return
        _, no_ack, callback = consumer
        if no_ack:
            self.leases.conclude(arrived.tag)
        else:
            self.qos.append(arrived.message, arrived.tag)
        self.unexpect()
        callback(arrived.message)

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """One message, if there is one."""
        self.leases.flush(1.0)  # what was given back a moment ago is there
        self._names.setdefault(self._name(queue), queue)
        for job in self.server.lease(self._name(queue), lease_ms=self.leases.lease_ms):
            self.leases.hold(job)
            found = self._message(job)
            if found is None:
                continue
            if no_ack:
                self.leases.conclude(found.tag)
            else:
                self.qos.append(found.message, found.tag)
            return found.message
        return None

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        raise Empty

    def drain_events(self, timeout: float | None = None, callback: Any = None) -> None:
        """Hand over what has come, and wait for it."""
        self.connection.drain_events(self.connection, timeout=timeout)

    def _worker_name(self) -> str:
        """As which worker it is shown: that of Celery, which its mailbox is named after, or this process."""
        suffix = ".celery.pidbox"
        named = (queue for channel in self.connection.channels for queue in channel._active_queues if queue.endswith(suffix))  # noqa: SLF001
        return next((queue.removesuffix(suffix) for queue in named), f"{socket.gethostname()}:{os.getpid()}")

    def close(self) -> None:
        """Consume no more; what is unacknowledged goes back to its queue."""
        if self.closed:
            return
        if self._process != os.getpid():  # what a fork brought along is the parent's
            self.closed = True
            if self._qos is not None:
                self._qos._on_collect.cancel()  # noqa: SLF001
            return
        if self._receiver is not None:
            self._receiver.stop()
        self.connection.give_back(self, set())
        self.connection.consuming.discard(self)
        super().close()

    def _restore(self, message: Any) -> None:
        raise ChannelError("The server holds what is not acknowledged.")
