"""The composition root: the only file that knows all parts. It starts the keeper and the fronts, and stops them in the right
order.

    holdfast serve ──┬── keeper        (owns the store; one socket to each front)
                     ├── front 0       (this process)
                     └── front 1 …     (--fronts N: the same listening socket)

With PostgreSQL, and with --fronts 0, there is no keeper and one front: the committer runs in it. A database that must not be used
ends the server with 1. SIGTERM or SIGINT: nothing new is accepted, parked polls are answered (the port stays open for `linger_s`, /readyz
saying 503), open requests finish, the fronts disconnect, the keeper commits what it has and ends; then exit 0. A second signal
ends at once. When the keeper or another front dies, the server ends with 1 and says so.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from holdfast import __version__, busy, trace_settings
from holdfast.allocator import give_back_when_quiet, use_one_heap
from holdfast.backends import KEEPER_DIED, connect_backend, start_keeper
from holdfast.config import Config
from holdfast.connection_limit import limit_of
from holdfast.doors.dialects import dialect_of
from holdfast.doors.rest.app import build
from holdfast.doors.rest.state import AppState
from holdfast.doors.web import login
from holdfast.doors.web import routes as page
from holdfast.doors.websocket.door import PATH as CHANNEL_PATH
from holdfast.doors.websocket.door import Channels
from holdfast.engine.engine import Engine
from holdfast.first_key import has_keys, keep_admin_key
from holdfast.http.app import App
from holdfast.http.origin import Guard, allowed_hosts
from holdfast.http.server import HttpServer
from holdfast.limits import HEAD_S, SIGNALS_TOGETHER_S
from holdfast.logs import ERR, OUT, configure, settle, structlog
from holdfast.metrics import FrontMetrics
from holdfast.process import STOP_SIGNALS, calm_collector, forget_foreign_variables, has_ended, open_descriptors
from holdfast.signals import signals_held_back, when_input_ends
from holdfast.sockets import BACKLOG, listen, place_of, raise_file_limit
from holdfast.stores.sqlite.files import UnfitPlace
from holdfast.tls import Certificate, UnusableCertificate, contexts

if TYPE_CHECKING:
    from holdfast.backends import AnyBackend
    from holdfast.doors.beanstalk.door import Beanstalk
    from holdfast.telemetry import Telemetry

log = structlog.get_logger(__name__)

_SOCKET_BUFFER = 4 << 20
_REPORT_S = 1.0
_WARM_S = 3.0
_STORE_EXIT_S = 60.0  # for the keeper to end, or the store to be closed here


class Front:
    """One front process: link, engine, doors, and the server of HTTP under them."""

    def __init__(
        self,
        config: Config,
        number: int,
        listener: socket.socket,
        link_socket: socket.socket | None,
        announce: Any,
        tubes: socket.socket | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        self._config = config
        self._certificate = certificate
        self._number = number
        self._listener = listener
        self._link_socket = link_socket
        self._announce = announce
        self._tubes = tubes
        self._beanstalk: Beanstalk | None = None
        self._http: HttpServer | None = None
        self._engine: Engine | None = None
        self._channels: Channels | None = None
        self._told = asyncio.Event()
        self._telemetry: Telemetry | None = None
        self._first_signal: float | None = None
        self._drained_by = 0.0
        self._others: list[subprocess.Popen[bytes]] = []
        self._reloads: set[asyncio.Task[None]] = set()
        self.draining = False
        self.problem: str | None = None

    async def run(self) -> int:
        """Serve until asked to stop; returns the exit code."""
        calm_collector()
        use_one_heap()
        for number in STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self.stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        if (ratio := self._config.trace_ratio()) is not None:
            from holdfast import telemetry  # noqa: PLC0415  (what it is made with is an extra, and costs 0.3 s of a start)

            self._telemetry = telemetry.start(ratio, self._number)
        link = await self._connected()
        if link is None:
            return 0 if self.problem is None else 1
        if link.problem is not None:
            self.problem = self.problem or link.problem
            return 1
        try:
            return await self._serve(link)
        finally:
            await self._let_go(link)

    async def _connected(self) -> "AnyBackend | None":
        """The backend, as soon as it is ready; None if we are asked to stop before."""
        connecting = asyncio.create_task(connect_backend(self._config, self._link_socket, self.end, self._telemetry))
        await self._done_or_told(connecting)
        if not self.draining:
            try:
                return await connecting
            except UnfitPlace as error:
                self.problem = str(error)
                return None
        if not connecting.done():
            connecting.cancel()
            await asyncio.wait({connecting})
            if self._link_socket is not None:
                self._link_socket.close()  # the keeper ends as its last front does
        if connecting.cancelled():
            return None
        if isinstance(unfit := connecting.exception(), UnfitPlace):
            self.problem = self.problem or str(unfit)
            return None
        link = connecting.result()
        self.problem = self.problem or link.problem
        if link.problem is None:
            await self._let_go(link)
        return None

    async def _done_or_told(self, doing: asyncio.Task[Any]) -> None:
        """Wait until this is done, or we are asked to end."""
        told = asyncio.create_task(self._told.wait())
        await asyncio.wait({doing, told}, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()

    async def _keys_are_kept(self, engine: Engine) -> bool:
        """Whether the first key is written and the keys are loaded; False if that can't be, or we are asked to end before."""
        config = self._config
        if config.admin_key_file and self._number == 0:
            keeping = asyncio.create_task(keep_admin_key(engine, config.admin_key_file))
            await self._done_or_told(keeping)
            if not keeping.done():
                keeping.cancel()
                return False
            self.problem = self.problem or keeping.result()
            if self.problem is not None:
                return False
        await engine.key_watch.begin()
        return not self.draining

    async def _serve(self, link: "AnyBackend") -> int:
        config = self._config
        engine = self._engine = Engine(link, config.max_payload_bytes, config.memory_budget)
        if config.unsafe(has_keys=False) is not None:
            engine.keyring.require()  # whatever happened to the keys that existed when it was started
        if not await self._keys_are_kept(engine):
            return 0 if self.problem is None else 1
        certificate = self._certificate
        app, metrics, self._channels = application(engine, config, self._number, certificate, self._telemetry)
        busy.LOOP.start()
        self._http = http_server(app, config, certificate)
        metrics.handshakes_failed.append(("http", self._http.handshakes_failed))
        if self._tubes is not None:
            from holdfast.doors.beanstalk import door, login  # noqa: PLC0415  (8 ms of each start, for those who turn it on)

            tubes = self._beanstalk = door.Beanstalk(engine, self._number, app.limit, login.Allowed(config.beanstalk_allow))
            metrics.tubes = tubes.numbers
            await tubes.open(self._tubes, contexts(certificate, config.beanstalk_auth()))
            metrics.handshakes_failed.append(("beanstalkd", tubes.handshakes_failed))
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.close_to_puts, tubes)
        chores = [give_back_when_quiet(link.let_go), *([_report(link, metrics)] if config.fronts > 1 else [])]
        tasks = [asyncio.create_task(chore) for chore in chores]
        if certificate is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.reload, certificate)
            tasks.append(asyncio.create_task(certificate.watch()))
        try:
            async with engine.key_watch.running():
                await self._http.serve(self._listener, BACKLOG, lambda: self._serving(link))
            if self._beanstalk is not None:
                await self._beanstalk.closed(0 if self.problem else self._drained_by - asyncio.get_running_loop().time())
        finally:
            for task in (*tasks, *self._reloads):
                task.cancel()
            busy.LOOP.stop()
        return 0 if self.problem is None else 1

    async def _let_go(self, link: "AnyBackend") -> None:
        stuck = False
        try:
            async with asyncio.timeout(_STORE_EXIT_S):
                await link.close()
        except TimeoutError:
            stuck = True
            self.problem = self.problem or "The store could not be closed."
        if self._telemetry is not None:
            self._telemetry.stop()
        if link.abandoned or stuck:
            ERR.write(f"holdfast: {self.problem}\n")
            settle()
            os._exit(1)  # at once: an interpreter that ends closes the file

    def _serving(self, link: "AnyBackend") -> None:
        self._announce(link)
        if self._config.web:
            asyncio.get_running_loop().call_later(_WARM_S, page.warm)

    def stop(self) -> None:
        """A signal arrived: drain; at a second one, end at once. Those together, as init systems and shells send, count as one."""
        now = asyncio.get_running_loop().time()
        if self._first_signal is None:
            self._first_signal = now
        elif now - self._first_signal > SIGNALS_TOGETHER_S:
            log.warning("stopped at once by a second signal")
            for other in self._others:
                other.kill()
            settle()
            os._exit(1)
        self.drain()

    def close_to_puts(self, tubes: "Beanstalk") -> None:
        """SIGUSR1, as operators of beanstalkd use it: its clients can't put any more, and everything else continues."""
        tubes.closed_to_puts = True
        for other in self._others:
            other.send_signal(signal.SIGUSR1)

    def reload(self, certificate: Certificate) -> None:
        """SIGHUP: reload the TLS certificate."""
        task = asyncio.create_task(certificate.reload())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)
        for other in self._others:
            other.send_signal(signal.SIGHUP)

    def drain(self) -> None:
        """Take nothing new, have the other fronts do the same, and end when the open requests are answered."""
        if self.draining:
            return
        self.draining = True
        self._told.set()
        for other in self._others:
            other.stdin.close()  # type: ignore[union-attr]  # it is a pipe; a signal could be the second one that it gets
        if self._engine is not None:
            log.info("draining: accepting nothing new", front=self._number)
            self._engine.drain()
        if self._beanstalk is not None:
            self._drained_by = asyncio.get_running_loop().time() + self._config.linger_s + self._config.drain_s
            self._beanstalk.drain()
        if self._channels is not None:
            self._channels.drain(0 if self.problem else self._config.linger_s + self._config.drain_s)
        if self._http is not None:
            linger_s = self._config.linger_s if self.problem is None else 0
            asyncio.get_running_loop().call_later(linger_s, self._close_port)

    def _close_port(self) -> None:
        assert self._http is not None, "it served until now"
        self._http.stop()

    def lead(self, others: list["subprocess.Popen[bytes]"]) -> None:
        """Set the other fronts, which are signalled when this one is asked to stop."""
        self._others = others

    def end(self, problem: str) -> None:
        """A part that the server needs has ended: end, with this as the reason."""
        self.problem = self.problem or problem
        self.drain()


def application(
    engine: Engine,
    config: Config,
    number: int = 0,
    certificate: Certificate | None = None,
    telemetry: "Telemetry | None" = None,
) -> tuple[App, FrontMetrics, Channels]:
    """All doors of one front over its engine."""
    metrics = FrontMetrics(engine, number)
    channels = Channels(engine)
    metrics.channels = channels.numbers
    dialects = [dialect_of(name) for name in dict.fromkeys(config.dialects) if name != "none"]
    guard = Guard(
        allowed_hosts(config.host, config.allowed_hosts),
        frozenset(origin.lower() for origin in config.allowed_origins),
        frozenset([CHANNEL_PATH, *(path for dialect in dialects for path in dialect.claiming)]),
    )
    if config.web:
        dialects.append(page.PAGE)
    limit = metrics.connections = limit_of(config.max_connections, config.max_connections_per_address)
    metrics.certificate = certificate
    by_cookie = partial(login.by_cookie, engine.keyring) if config.web else None
    state = AppState(engine, metrics, config.root_path, "/web" if config.web else "/docs", config.environment, certificate)
    kind = App
    if telemetry is not None:
        kind, metrics.spans = telemetry.app(), telemetry.counts
    return build(state, guard, channels, dialects, limit, config.body_timeout_s, by_cookie, kind), metrics, channels


def http_server(app: App, config: Config, certificate: Certificate | None = None) -> HttpServer:
    """What serves HTTP; with a certificate, over TLS."""
    return HttpServer(app, HEAD_S, config.drain_s, contexts(certificate, config.client_auth()))


async def _report(link: "AnyBackend", metrics: FrontMetrics) -> None:
    while True:
        link.report(metrics.text())
        await asyncio.sleep(_REPORT_S)


def _unsafe(config: Config) -> str | None:
    return None if config.unsafe(has_keys=False) is None else config.unsafe(has_keys(config))


def serve(config: Config, until_eof: bool = False) -> int:
    """Run the whole server; the exit code. `until_eof`: until standard input ends, too."""
    open_descriptors()
    forget_foreign_variables()
    configure(config.log_level, config.log_format)
    if (refusal := config.what_is_missing() or trace_settings.untraceable(config) or _unsafe(config)) is not None:
        print(f"holdfast: {refusal}", file=sys.stderr)
        return 2
    try:
        certificate = config.certificate()
    except UnusableCertificate as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # inherited by processes started from here
    if certificate is not None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_file_limit()
    try:
        listener = listen(where := (config.host, config.port))
        tubes = listen(where := address) if (address := config.beanstalk_address()) is not None else None
    except OSError as error:
        print(f"holdfast: can't listen on {where[0]}:{where[1]}: {error.strerror or error}.", file=sys.stderr)
        return 1
    pairs = [] if config.database() else [socket.socketpair() for _ in range(config.fronts)]
    for ours, theirs in pairs:
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    with signals_held_back():
        keeper = start_keeper(config, [theirs for _, theirs in pairs]) if pairs else None
        others = [_start_front(config, number, listener, ours, tubes) for number, (ours, _) in enumerate(pairs) if number > 0]
    for number, (ours, theirs) in enumerate(pairs):
        theirs.close()
        if number > 0:
            ours.close()
    link = pairs[0][0] if pairs else None
    front = Front(config, 0, listener, link, lambda link: _announce(config, listener, link, tubes), tubes, certificate)
    code = uvloop.run(_supervise(front, keeper, others, until_eof))
    return _wind_up(front, keeper, others, code)


async def _supervise(
    front: Front, keeper: "subprocess.Popen[bytes] | None", others: list["subprocess.Popen[bytes]"], until_eof: bool
) -> int:
    """Run front 0 until all have ended; if another front ends by itself, end."""
    front.lead(others)
    if until_eof:
        when_input_ends(partial(asyncio.get_running_loop().call_soon_threadsafe, front.drain))
    watching = [asyncio.create_task(_watch(front, other)) for other in others]
    try:
        return await front.run()
    finally:
        front.drain()
        await asyncio.gather(*watching)  # a second signal is handled during all of this
        if keeper is not None:
            await asyncio.to_thread(has_ended, keeper.pid, _STORE_EXIT_S)


async def _watch(front: Front, other: "subprocess.Popen[bytes]") -> None:
    pidfd = os.pidfd_open(other.pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
        if not front.draining:
            front.end(f"Front process {other.pid} ended.")
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _wind_up(front: Front, keeper: "subprocess.Popen[bytes] | None", others: list["subprocess.Popen[bytes]"], code: int) -> int:
    for other in others:
        other.wait()
    kept: int | None = 0
    if keeper is not None and (kept := keeper.poll()) is None:
        front.problem = front.problem or "The keeper did not end."
        kept = 1
    if kept:
        front.problem = front.problem or KEEPER_DIED  # it may have ended, just as the front did
    if front.problem is not None:
        ERR.write(f"holdfast: {front.problem}\n")
    return code or (1 if kept else 0)


def _start_front(
    config: Config, number: int, listener: socket.socket, link: socket.socket, tubes: socket.socket | None
) -> "subprocess.Popen[bytes]":
    sockets = {"listener": listener, "link": link} | ({"tubes": tubes} if tubes is not None else {})
    fds = {name: sock.fileno() for name, sock in sockets.items()}
    command = [sys.executable, "-P", "-m", "holdfast.server", json.dumps({"config": asdict(config), "number": number, **fds})]
    return subprocess.Popen(command, pass_fds=list(fds.values()), stdin=subprocess.PIPE)


def _announce(config: Config, listener: socket.socket, link: "AnyBackend", tubes: socket.socket | None) -> None:
    kept = f"are kept {config.kept(link.durability.level, link.durability.replicas)}"
    lines = [
        f"Holdfast {__version__} on {'https' if config.tls_cert else 'http'}://{place_of(listener)}{config.root_path} ({'page: /web, ' if config.web else ''}API: /docs, metrics: /metrics)",
        f"Jobs {kept}" if link.away is None else f"Nothing is taken yet. {link.away} When that is mended, jobs {kept}",
    ]
    if tubes is not None:
        secured = ", over TLS" if config.tls_cert and config.beanstalk_tls else ""
        lines.append(f"beanstalkd's protocol is spoken on {place_of(tubes)}{secured}")
    OUT.write("".join(f"{line}\n" for line in lines))


def front_main() -> None:
    """Run one more front process, as the server started it; it ends when the server's end of its standard input closes."""
    given = json.loads(sys.argv[1])
    config = msgspec.convert(given["config"], Config)
    configure(config.log_level, config.log_format)
    listener, link = socket.socket(fileno=given["listener"]), socket.socket(fileno=given["link"])
    tubes = socket.socket(fileno=given["tubes"]) if "tubes" in given else None
    front = Front(config, given["number"], listener, link, lambda _: None, tubes, config.certificate())

    def server_gone(loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(sys.stdin.fileno())
        front.drain()

    async def run() -> int:
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), server_gone, loop)
        return await front.run()

    sys.exit(uvloop.run(run()))


if __name__ == "__main__":
    front_main()
