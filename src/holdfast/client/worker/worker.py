"""`Worker`: which queues, which handlers, how much at once; and `run()`.

SIGTERM or SIGINT: the worker takes no more jobs, gives handlers `grace_s` to finish, and releases the rest, which counts no attempt. A second
signal ends the process at once; the leases then expire, which counts as a crash of each job.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from holdfast.client.aio.client import AsyncClient
from holdfast.client.retry import LONG_DEADLINE_S
from holdfast.client.sync.client import Client
from holdfast.client.tls import Path, context_of
from holdfast.client.tokens import Hidden, bearer
from holdfast.client.worker.connectivity import Reach, log
from holdfast.client.worker.held_job import HeldJob
from holdfast.client.worker.job_source import JobSource, LongPollSource
from holdfast.client.worker.known_types import KnownTypes
from holdfast.client.worker.lanes import Lane, all_of, lanes_of
from holdfast.client.worker.lease_extender import LeaseExtender
from holdfast.client.worker.registration import Registration
from holdfast.client.worker.runner import Handler
from holdfast.client.worker.session import Bounds, Session
from holdfast.client.worker.websocket_source import WebSocketSource
from holdfast.limits import QUEUE_NAME, QUEUE_NAME_CHARS, QUEUES_PER_LEASE, VERSION_CHARS

F = TypeVar("F", bound=Callable[[HeldJob], Any])
_POLL_MS = 50_000
LEASE_MS = 60_000
_EXTEND_WITHIN_S = 5.0  # for one batch of extensions, over all its tries; extensions due meanwhile go into the next


class Worker:
    """Takes jobs from queues and runs their handlers.

    `concurrency`: how many handlers run at once. `prefetch`: how many more jobs to lease in advance, at most `concurrency`; this saves
    round trips, but other workers can't get these jobs. `lease_ms`: the length of a lease, 60 s unless told otherwise,
    None: the job's or its queue's; the worker extends it while the handler runs, so it only says how soon the jobs of a worker that has
    vanished are ready again. `register`: appear in the server's list of workers, where an operator can stop it gracefully;
    `version` is what they see as that of your program.
    `live`: get jobs over a live channel, and poll only if none can be opened. `poll_ms`: the length of a long poll. `order`: `"queue"`, take
    from the first queue that has a job, or `"priority"`, over all of them. `grace_s`: how long handlers may run on after SIGTERM.
    `url`, `token`, `ca_file`, `client_cert`, `client_key`, `context`: see `AsyncClient`. Raises `ValueError` for a value out of bounds.
    """

    def __init__(
        self,
        queues: str | Sequence[str],
        *,
        url: str | Sequence[str] | None = None,
        token: str | None = None,
        concurrency: int = 10,
        prefetch: int = 0,
        lease_ms: int | None = LEASE_MS,
        poll_ms: int = _POLL_MS,
        order: str = "queue",
        grace_s: float = 25.0,
        name: str | None = None,
        register: bool = False,
        ca_file: Path | None = None,
        client_cert: Path | None = None,
        client_key: Path | None = None,
        context: ssl.SSLContext | None = None,
        live: bool = True,
        version: str | None = None,
    ) -> None:
        if concurrency < 1 or not 0 <= prefetch <= concurrency:
            raise ValueError("concurrency is at least 1, and prefetch between 0 and concurrency")
        self.queues = [queues] if isinstance(queues, str) else list(queues)
        given: list[Any] = self.queues
        for queue in given:
            if not isinstance(queue, str) or QUEUE_NAME.match(queue) is None:
                raise ValueError(f"{queue!r} can't be the name of a queue: 1 to {QUEUE_NAME_CHARS} of A-Z a-z 0-9 . _ : -")
        if not 1 <= len(self.queues) <= QUEUES_PER_LEASE:
            raise ValueError(f"a worker takes from 1 to {QUEUES_PER_LEASE} queues")
        if order not in ("queue", "priority"):
            raise ValueError(f'order is "queue" or "priority", not {order!r}')
        if version is not None and len(version) > VERSION_CHARS:
            raise ValueError(f"a version has at most {VERSION_CHARS} characters")
        self._name = name
        self.tally: Counter[str] = Counter()
        self._url = url
        self._token = Hidden(token) if token is not None else None
        self._context = context
        self._files = (ca_file, client_cert, client_key)
        self._live = live
        self._bounds = Bounds(concurrency, prefetch, grace_s)
        self._lease_ms = lease_ms
        self._poll_ms = poll_ms
        self._order = order
        self._register = register
        self._version = version
        self._handlers: dict[str | None, Handler] = {}
        self._sessions: list[Session] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked = False
        self._signals = 0

    def handler(
        self, type: str | None = None, *, process: bool = False, timeout_s: float | None = None, raw: bool = False
    ) -> Callable[[F], F]:
        """Make a function the handler of a type of job; without a type, of all that have no handler of their own. A worker without such a
        one gets only jobs of the types that it has handlers for.

        A coroutine function runs in the event loop, any other function in a thread, or with `process` in a process. What it returns is the
        result of the job. `timeout_s` bounds one attempt. A job whose payload Python can't represent, such as `1e999`, fails without calling
        its handler; with `raw` the handler is called and reads the bytes in `job.job.payload_json`. Raises `ValueError` for a second handler
        of a type.
        """
        if callable(type):
            raise TypeError(
                '@worker.handler has parentheses: @worker.handler("mail") for jobs of that type, @worker.handler() for those of all others'
            )
        if type is not None and not isinstance(type, str):
            raise TypeError(f"the type of a job is a text, not {type!r}")

        def register(function: F) -> F:
            if type in self._handlers:
                raise ValueError(
                    f"there is a handler for {'all other types' if type is None else f'the type {type!r}'} already"
                )
            self._handlers[type] = Handler(function, process, timeout_s, raw)
            return function

        return register

    @property
    def name(self) -> str:
        """Its name: by default `HOST:PID`, of the current process."""
        return self._name or f"{socket.gethostname()}:{os.getpid()}"

    def run(self, *, until_empty: bool = False) -> None:
        """Work until SIGTERM or SIGINT; with `until_empty`, at most until nothing is ready and nothing runs.

        Python handles signals only in the main thread; in another thread use `stop()`.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            raise RuntimeError("there is an event loop here already: await worker.work() instead")
        signals = threading.current_thread() is threading.main_thread()
        with asyncio.Runner() as runner:
            working = runner.get_loop().create_task(self._work_once(signals, self._url, until_empty))
            while not working.done():
                try:
                    runner.get_loop().run_until_complete(working)
                except (SystemExit, KeyboardInterrupt) as error:
                    if not self._sessions:
                        raise
                    log.error("a task started by a handler raised %s; the worker continues", type(error).__name__)
            working.result()

    async def work(self, *, signals: bool = False) -> None:
        """Work within a running event loop, until `stop()` is called or this is cancelled."""
        await self._work_once(signals, self._url, until_empty=False)

    async def drain(self, url: str | Sequence[str] | None = None) -> Counter[str]:
        """Run ready jobs and their follow-up jobs to the end, and return; how many were concluded, failed, released, …. For
        tests.
        """
        before = self.tally.copy()
        await self._work_once(False, url or self._url, until_empty=True)
        return self.tally - before

    def stop(self) -> None:
        """Wind down, as a signal does. May be called from any thread, also before the worker works: then it ends as it begins."""
        self._stop_asked = True
        if (loop := self._loop) is not None:
            _tell(loop, self._stop_sessions)

    def _stop_sessions(self) -> None:
        for session in self._sessions:
            session.stop()

    async def _work_once(self, signals: bool, url: str | Sequence[str] | None, until_empty: bool) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._work(signals, url, until_empty)
        finally:
            self._loop = None
            self._stop_asked = False

    async def _work(self, signals: bool, url: str | Sequence[str] | None, until_empty: bool) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise RuntimeError(
                'a process of a handler reads this program, too: put worker.run() below if __name__ == "__main__":'
            )
        if not self._handlers:
            raise ValueError("this worker has no handler, so it would release all jobs: register one with @worker.handler(…)")
        loop = asyncio.get_running_loop()
        context = self._context or context_of(*self._files)
        client = AsyncClient(url, token=self._token, context=context, deadline_s=LONG_DEADLINE_S)
        keeper = Client(url, token=self._token, context=context, deadline_s=_EXTEND_WITHIN_S)
        client.nodes.watch = keeper.nodes.watch = reach = Reach()
        registration = Registration(self.queues, self.name, KnownTypes(lambda: self._handlers), self._version)
        holder = LeaseExtender(
            keeper,
            self._lease_of,
            reach,
            lambda held: _tell(loop, self._heed, held),
            lambda: _tell(loop, client.nodes.leave, client.nodes.current),
        )
        begin = partial(self._session, client, holder, reach, registration, context, until_empty)
        before = self.tally.copy()
        self._begin_all(begin)
        try:
            with self._signals_heard() if signals else contextlib.nullcontext():
                if self._register and not until_empty:
                    await registration.begin(client, self._sessions[0].stopped, reach)
                    holder.beat_with(lambda: registration.beat(keeper, lambda state: _tell(loop, self._sent_home, state)))
                log.info("taking jobs from %s, up to %d at once", ", ".join(self.queues), self._bounds.concurrency)
                await all_of(self._sessions)
                while (
                    until_empty
                    and not self._stop_asked
                    and len(self._sessions) > 1
                    and any(one.taken for one in self._sessions)
                ):
                    self._begin_all(begin)  # jobs of one may have enqueued some for another that had ended
                    await all_of(self._sessions)
        finally:
            self._sessions = []
            holder.end()
            await asyncio.to_thread(registration.end, keeper)
            await client.aclose()
            log.info(
                "ended: %s", ", ".join(f"{count} {word}" for word, count in (self.tally - before).items()) or "nothing done"
            )

    def _begin_all(self, begin: Callable[[Lane], Session]) -> None:
        self._sessions = [begin(lane) for lane in lanes_of(self._handlers, self._bounds)]
        if self._stop_asked:
            self._stop_sessions()

    def _session(
        self,
        client: AsyncClient,
        holder: LeaseExtender,
        reach: Reach,
        registration: Registration,
        context: ssl.SSLContext | None,
        until_empty: bool,
        lane: Lane,
    ) -> Session:
        types = KnownTypes(lane.types)
        poll_ms = 0 if until_empty else self._poll_ms
        polls = LongPollSource(client, self.queues, lambda: registration.worker, self._lease_ms, poll_ms, self._order, types)
        channel: JobSource = polls
        if self._live and not until_empty:
            wanted = partial(self._wanted, registration, types)
            channel = WebSocketSource(client, polls, wanted, holder.told, bearer(self._token), context, types)
        session = Session(channel, holder, reach, self._find, lane.bounds, until_empty)
        session.endings.tally = self.tally
        return session

    def _lease_of(self, _: HeldJob) -> int | None:
        return self._lease_ms

    def _heed(self, held: HeldJob) -> None:
        for session in self._sessions:
            session.heed(held)

    def _wanted(self, registration: Registration, types: KnownTypes) -> dict[str, Any]:
        wanted: dict[str, Any] = {"queues": self.queues, "worker": registration.worker, "order": self._order}
        if (names := types.names()) is not None:
            wanted["types"] = names
        return wanted if self._lease_ms is None else wanted | {"lease_ms": self._lease_ms}

    def _find(self, type: str) -> Handler | None:
        return self._handlers.get(type) or self._handlers.get(None)

    def _sent_home(self, state: str) -> None:
        if state == "stopping":
            log.info("stopped by an operator: this worker finishes its jobs and ends")
            self.stop()
            return
        quiet = state == "quiet"
        if any(session.quiet != quiet for session in self._sessions):
            log.info("quiet: this worker finishes its jobs and takes no new ones")
            for session in self._sessions:
                session.quiet = quiet

    @contextlib.contextmanager
    def _signals_heard(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._signalled, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _signalled(self, number: int) -> None:
        self._signals += 1
        if self._signals > 1:
            log.warning("stopped at once by a second signal")
            os._exit(128 + number)
        log.info("draining: taking no new jobs")
        self.stop()


def _tell(loop: asyncio.AbstractEventLoop, function: Callable[..., Any], *args: Any) -> None:
    """Have the event loop call something, unless it is closed by now."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)
