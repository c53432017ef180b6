"""The server in a thread: real HTTP on a free loopback port, a store in memory, and a clock that stands still until the test
advances it.

The code path is the real one, parser to SQLite, except for the keeper: the committer runs in the same event loop, in a thread
of its own.
"""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

import uvloop

from holdfast.client import Client
from holdfast.clock import ManualClock
from holdfast.committer.local_backend import LocalBackend
from holdfast.config import Config
from holdfast.engine.engine import Engine
from holdfast.server import application, http_server
from holdfast.sockets import BACKLOG
from holdfast.stores.sqlite.store import SqliteStore
from holdfast.testing.server import CALL_S, TestServer

T = TypeVar("T")
_START_S = 30.0


class LocalServer(TestServer):
    """A test's server in a thread of the test's own process. Settings are those of `holdfast serve`."""

    def __init__(self, **settings: Any) -> None:
        self._config = Config(**{"store": "memory", "dialects": (), "drain_s": 5, **settings})
        self._clock = ManualClock(time.time_ns() // 1_000_000)
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.client = Client(self.url, token="", deadline_s=CALL_S)
        self._thread = threading.Thread(target=self._run, name="holdfast-server", daemon=True)

    def start(self) -> Self:
        """Serve."""
        self._thread.start()
        if not self._ready.wait(_START_S) or self._failure is not None:
            raise RuntimeError("the server did not start") from self._failure
        return self

    def stop(self) -> None:
        """Stop, and discard everything."""
        self.client.close()
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(_START_S)

    def _now_ms(self) -> int:
        return self._clock.now()

    def _advance(self, ms: int) -> None:
        self._clock.advance(ms)
        self._do(self._backend.pass_time())

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(CALL_S)

    def _run(self) -> None:
        try:
            uvloop.run(self._serve())
        except BaseException as error:  # noqa: BLE001  (the thread that waits for the start is told)
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._backend = LocalBackend(SqliteStore(None, self._config.policy()), self._clock, self._config.worker_silence_ms)
        self._backend.start()
        self._engine = Engine(self._backend, self._config.max_payload_bytes, self._config.memory_budget)
        self._http = http_server(application(self._engine, self._config)[0], self._config)
        await self._engine.key_watch.begin()
        try:
            async with self._engine.key_watch.running():
                await self._http.serve(self._listener, BACKLOG, self._ready.set)
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await self._backend.stop()

    def _end(self) -> None:
        self._engine.drain()
        self._http.stop()
