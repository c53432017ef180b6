"""A connection: a client of the server, the threads that receive and hold messages, and one inbox for all that they bring.

Receiver (a channel)  ──▶ ┐                      drain_events: waits at the inbox
Receiver (another)    ──▶ ├─ inbox ──▶ consumers
wakes the event loop  ◀── ┘                      hub: a socket that becomes readable
"""

import os
import queue
import re
import socket
import ssl
from contextlib import suppress
from typing import Any, ClassVar

from kombu.transport import virtual
from kombu.utils.url import parse_url

import holdfast
from holdfast import errors
from holdfast.celery.channel import Arrived
from holdfast.celery.channel import Channel as OurChannel
from holdfast.celery.refusals import CHANNEL_ERRORS, CONNECTION_ERRORS
from holdfast.client import Client
from holdfast.client.held_leases import HeldLeases

DEFAULT_PORT = 4653
LEASE_S = 60.0
DEADLINE_S = 2.0  # for a look whether a server is there
_NOT_OURS = re.compile(r"[^A-Za-z0-9._:-]|:(?=[0-9A-Fa-f]{2})")
_TLS = {"ca_certs": "ca_file", "certfile": "client_cert", "keyfile": "client_key"}


class Transport(virtual.Transport):
    """`holdfast://[:token@]host:port[/prefix]`, several separated by `;`. Options: `lease_s`, `lowest_priority_first`, `queue_order_strategy`,
    `wait_for_room_ms`.
    """

    Channel = OurChannel
    default_port = DEFAULT_PORT
    driver_type = "holdfast"
    driver_name = "holdfast"
    connection_errors = CONNECTION_ERRORS
    channel_errors = CHANNEL_ERRORS
    recoverable_connection_errors = CONNECTION_ERRORS
    recoverable_channel_errors: ClassVar[tuple[type[Exception], ...]] = ()
    scheme = "http"

    implements = virtual.Transport.implements.extend(
        asynchronous=True,
        exchange_type=frozenset(["direct", "topic", "fanout"]),
        heartbeats=False,
    )

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self._process = os.getpid()
        self.urls, self._token = self._found(client)
        self.prefix = "" if (client.virtual_host or "/") == "/" else client.virtual_host.strip("/") + "."
        self.server = Client(self.urls, token=self._token, **self._tls())
        self.leases = HeldLeases(self.server, round(float(client.transport_options.get("lease_s", LEASE_S)) * 1_000))
        self.consuming: set[OurChannel] = set()
        self._inbox: queue.SimpleQueue[list[Arrived] | Exception] = queue.SimpleQueue()
        self._loop: Any = None
        self._wakes: tuple[socket.socket, socket.socket] | None = None

    def _found(self, client: Any) -> tuple[list[str], str | None]:
        """The URLs of the servers, this connection's first, and the token. Without a host it is that of `HOLDFAST_URL`."""
        if not client.hostname and not client.alt and "HOLDFAST_URL" in os.environ:
            return os.environ["HOLDFAST_URL"].split(","), client.password
        others = [parse_url(alt) for alt in client.alt if "://" in alt]
        places = [(client.hostname, client.port)] + [(other.get("hostname"), other.get("port")) for other in others]
        scheme = "https" if client.ssl else self.scheme
        urls = [f"{scheme}://{_bracketed(host or '127.0.0.1')}:{port or self.default_port}" for host, port in places]
        if client.userid and not client.password:
            raise ValueError("the token stands behind a colon, holdfast://:TOKEN@host: without that, logs would show it")
        return list(dict.fromkeys(urls)), client.password

    def _tls(self) -> dict[str, Any]:
        given = self.client.ssl if isinstance(self.client.ssl, dict) else {}
        if given.get("cert_reqs", ssl.CERT_REQUIRED) != ssl.CERT_REQUIRED:
            raise ValueError(
                "broker_use_ssl: a certificate that is not verified protects nothing; give its authority as ca_certs"
            )
        return {ours: given[theirs] for theirs, ours in _TLS.items() if given.get(theirs)}

    @property
    def default_connection_params(self) -> dict[str, Any]:
        """None: without a host it is the server of the environment, also in kombu's copies of a connection."""
        return {}

    def name_of(self, name: str) -> str:
        """A queue's name on the server: a sign that it may not have is `:` and two digits for each byte."""
        return self.prefix + _NOT_OURS.sub(lambda found: "".join(f":{byte:02X}" for byte in found[0].encode()), name)

    def driver_version(self) -> str:
        """Of Holdfast."""
        return holdfast.__version__

    # The connection

    def establish_connection(self) -> "Transport":
        """Ask the server whether it is one, and takes the token; kombu tries the next URL if it does not answer."""
        deadline_s = min(self.client.connect_timeout or DEADLINE_S, DEADLINE_S)
        urls = self.urls[:1] if self.client.alt else self.urls  # all of HOLDFAST_URL, of which kombu knows nothing
        with (
            Client(urls, token=self._token, deadline_s=deadline_s, **self._tls()) as server,
            suppress(errors.Forbidden),
        ):
            next(server.queues(page=1), None)  # what a producer's key may not see is answered, too
        super().establish_connection()
        return self

    def verify_connection(self, connection: "Transport") -> bool:
        """Asked at each use. A server that is away is noticed by the next call, and may be back by then."""
        return True

    def close_connection(self, connection: "Transport") -> None:
        """Give back what is held, and end the threads."""
        ours = self._process == os.getpid()
        self._leave_loop(ours)
        super().close_connection(connection)
        if ours:
            self.leases.close()
            self.server.close()

    # What arrives

    def arrived(self, what: list[Arrived] | Exception) -> None:
        """Called by the threads."""
        self._inbox.put(what)
        self._wake()

    def drain_events(self, connection: "Transport", timeout: float | None = None) -> None:
        """Hand over all that has come, or wait for the first of it; raises `socket.timeout`."""
        self._receive()
        try:
            came = self._inbox.get(timeout=timeout) if timeout is None or timeout > 0 else self._inbox.get_nowait()
        except queue.Empty:
            raise TimeoutError from None
        self._hand_over(came)

    def _hand_over(self, came: list[Arrived] | Exception) -> None:
        if isinstance(came, Exception):
            raise came
        left = iter(came)
        try:
            for arrived in left:
                arrived.channel.deliver(arrived)
        finally:
            if rest := list(left):  # a consumer has raised
                self.arrived(rest)

    def give_back(self, channel: OurChannel, but: set[str]) -> None:
        """What waits for a channel goes back to its queue, but for these queues."""
        if self._process != os.getpid():
            return
        for _ in range(self._inbox.qsize()):
            with suppress(queue.Empty):
                waiting = self._inbox.get_nowait()
                if not isinstance(waiting, Exception):
                    waiting = [arrived for arrived in waiting if not self._gives_back(arrived, channel, but)]
                if waiting:
                    self._inbox.put(waiting)

    def _gives_back(self, arrived: Arrived, channel: OurChannel, but: set[str]) -> bool:
        if arrived.channel is not channel or arrived.queue in but:
            return False
        self.leases.release(arrived.tag)
        channel.unexpect()
        return True

    def _receive(self) -> None:
        while self.consuming:
            self.consuming.pop().receive()

    # The event loop of a worker

    def register_with_event_loop(self, connection: "Transport", loop: Any) -> None:
        """Hand over in the loop, as soon as something comes."""
        self._leave_loop(True)
        self._loop, self._wakes = loop, socket.socketpair()
        for end in self._wakes:
            end.setblocking(False)
        loop.add_reader(self._wakes[0], self.on_readable, connection, loop)
        loop.on_tick.add(self._receive)
        self._wake()

    def on_readable(self, connection: "Transport", loop: Any) -> None:
        """The loop was woken."""
        if self._wakes is not None:
            with suppress(BlockingIOError):
                self._wakes[0].recv(4_096)
        try:
            self._hand_over(self._inbox.get_nowait())
        except queue.Empty:
            return
        finally:
            if not self._inbox.empty():
                self._wake()

    def _wake(self) -> None:
        wakes = self._wakes
        if wakes is not None:
            with suppress(OSError):  # it is full, so the loop will wake; or closed
                wakes[1].send(b"\0")

    def _leave_loop(self, ours: bool) -> None:
        loop, self._loop = self._loop, None
        wakes, self._wakes = self._wakes, None
        if loop is not None and ours:
            loop.on_tick.discard(self._receive)
            with suppress(OSError, ValueError, KeyError):
                loop.remove_reader(wakes[0] if wakes else -1)
        for end in wakes or ():
            end.close()


class SecureTransport(Transport):
    """`holdfasts://`: over TLS."""

    scheme = "https"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
