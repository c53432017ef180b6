"""The door as a whole: its listening socket, its connections, and how they end when the server does.

While the server drains new connections are refused, a put is answered with DRAINING, waiting reserves end, and idle connections
are closed. SIGUSR1 does only the second of these, and closes no connection. A connection with reserved jobs may end them; it is
closed when the time is up, and its jobs are released.
"""

import asyncio
import secrets
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from holdfast.auth.caller import Caller
from holdfast.connection_limit import ConnectionLimit
from holdfast.doors.beanstalk.connection import Connection
from holdfast.doors.beanstalk.held import Holders
from holdfast.doors.beanstalk.inspect import of_all
from holdfast.doors.beanstalk.login import Allowed
from holdfast.doors.beanstalk.numbers import Numbers
from holdfast.engine.engine import Engine
from holdfast.engine.shared_read import Shared
from holdfast.limits import TUBE_CONNECTIONS
from holdfast.logs import structlog
from holdfast.messages.events import Committed
from holdfast.tls import TlsListener

_PLAINLY = b"TLS_REQUIRED\r\n"  # not in the protocol: clients show replies that they do not know
_LAST_WORDS_S = 1.0  # for a client to read what was written to it
log = structlog.get_logger(__name__)


class Beanstalk:
    """The beanstalkd protocol of one front process."""

    def __init__(
        self, engine: Engine, front: int, limit: ConnectionLimit | None = None, allowed: Allowed | None = None
    ) -> None:
        self.engine = engine
        self.allowed = allowed or Allowed()
        self.front = front
        self.numbers = Numbers()
        self.id = secrets.token_hex(8)
        self.of_all: Shared[tuple[str, Caller | None], bytes] = Shared(partial(of_all, self))
        self.draining = False
        self.closed_to_puts = False  # by SIGUSR1, and for good
        self._limit = limit or ConnectionLimit(TUBE_CONNECTIONS, TUBE_CONNECTIONS, TUBE_CONNECTIONS)
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Future[Any]] = set()
        self._pauses: dict[str, int] = {}
        self._server: asyncio.Server | TlsListener | None = None
        self.handshakes_failed: dict[str, int] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()
        self.holders: Holders = {}
        engine.listen(self._news)

    async def open(self, listener: socket.socket, context: Callable[[], ssl.SSLContext] | None = None) -> None:
        """Let clients in; with a `context`, over TLS."""
        if context is not None:
            self._server = TlsListener(listener, lambda: Connection(self), context, _PLAINLY, self.handshakes_failed)
            return
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), sock=listener, backlog=4_096)

    def drain(self) -> None:
        """Accept no connections, and close idle ones; the engine is draining already."""
        self.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.go_on()

    async def closed(self, patience_s: float) -> None:
        """Return when the last connection has ended; those that have not by then are cut."""
        try:
            await asyncio.wait_for(self._empty.wait(), max(0.0, patience_s))
        except TimeoutError:
            if self._connections:
                log.warning("connections were closed; the jobs that they had reserved are released", cut=len(self._connections))
            for connection in list(self._connections):
                connection.close()
                asyncio.get_running_loop().call_later(_LAST_WORDS_S, connection.abort)
            await self._empty.wait()

    def _news(self, news: Committed) -> None:
        if news.lost:  # leases granted by an earlier commit may have their answers in callbacks that run only now: after those
            asyncio.get_running_loop().call_soon(self._tell, news.lost)

    def _tell(self, lost: list[int]) -> None:
        for fence in lost:
            if (holding := self.holders.get(fence)) is not None:
                holding.connection.held.pop(holding.ref.job)
                if self.draining:
                    holding.connection.go_on()

    # For the connections

    def arrived(self, connection: Connection, address: str) -> bool:
        """Accept a connection, unless there are too many, in all or of its address."""
        if len(self._connections) < TUBE_CONNECTIONS and not self.draining:
            connection.place = self._limit.enter(address)
        if connection.place is None:
            self.numbers.turned_away += 1
            return False
        self._connections.add(connection)
        self._empty.clear()
        numbers = self.numbers
        numbers.connections += 1
        numbers.connected += 1
        numbers.using[connection.used] += 1
        numbers.watching.update(connection.watched)
        return True

    def left(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        if connection.place is not None:
            connection.place.leave()
        numbers = self.numbers
        numbers.connected -= 1
        numbers.left(numbers.using, connection.used)
        for tube in connection.watched:
            numbers.left(numbers.watching, tube)
        for role in connection.roles:
            numbers.roles[role] -= 1
        if not self._connections:
            self._empty.set()

    def plays(self, connection: Connection, role: str) -> None:
        """A connection has put or reserved: from now on it counts as a producer or a worker, unless it has closed."""
        if role not in connection.roles and not connection.gone:
            connection.roles.add(role)
            self.numbers.roles[role] += 1

    def waits(self, tubes: tuple[str, ...], waits: bool) -> None:
        """A connection begins or ends to wait for a job."""
        numbers = self.numbers
        numbers.roles["waiting"] += 1 if waits else -1
        for tube in tubes:
            if waits:
                numbers.waiting[tube] += 1
            else:
                numbers.left(numbers.waiting, tube)

    def paused(self, tube: str, seconds: int) -> None:
        """A tube was paused for this time, or resumed."""
        self.numbers.pauses[tube] += 1
        self._pauses.pop(tube, None)
        if seconds:
            self._pauses[tube] = seconds

    def pause_of(self, tube: str) -> int:
        """For how long a tube was last paused through this front; 0 if that is not known."""
        return self._pauses.get(tube, 0)

    def keep(self, task: "asyncio.Future[Any]") -> None:
        """Hold on to a task until it has ended."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
