"""What a test does with a server, wherever that runs."""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from holdfast.client import Client
from holdfast.client.worker import Worker

CALL_S = 60.0


class TestServer(ABC):
    """A server with an empty store in memory. `url` is its base URL, `client` a `Client` for it.

    Its clock begins at the present and stands still: jobs become due when `advance` is called, and no sooner.
    """

    __test__ = False  # pytest, it is no test
    url: str
    client: Client

    @abstractmethod
    def start(self) -> Self:
        """Serve."""

    @abstractmethod
    def stop(self) -> None:
        """Stop, and discard everything."""

    @abstractmethod
    def _now_ms(self) -> int: ...

    @abstractmethod
    def _advance(self, ms: int) -> None: ...

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def now(self) -> datetime:
        """The current time of the server's clock."""
        return datetime.fromtimestamp(self._now_ms() / 1_000, UTC)

    def advance(self, by: timedelta | float) -> None:
        """Set the clock forward, by a `timedelta` or by seconds. When this returns, everything due has happened: scheduled jobs are ready,
        leases have ended, schedules have fired.
        """
        self._advance(round((by.total_seconds() if isinstance(by, timedelta) else by) * 1_000))

    def drain(self, worker: Worker) -> Counter[str]:
        """Run the ready jobs with the worker, and the jobs that they enqueue; returns how many were `concluded`, `failed`, `released`, ….

        What is scheduled, such as another try of what failed, stays until the clock is moved. It runs in a thread with an event loop of its own;
        in a test that is itself a coroutine, `await worker.drain(server.url)` runs the handlers in the test's loop.
        """
        done: list[Counter[str]] = []
        failed: list[BaseException] = []

        def drain() -> None:
            try:
                done.append(asyncio.run(worker.drain(self.url)))
            except BaseException as error:  # noqa: BLE001  (it is raised again, in the thread of the test)
                failed.append(error)

        thread = threading.Thread(target=drain, name="holdfast-drain")
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return done[0]
