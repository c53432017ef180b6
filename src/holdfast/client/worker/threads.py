"""Threads for handlers that are plain functions. They are daemons: a handler that never returns can't keep the process from
ending.
"""

import asyncio
import contextvars
import queue
import threading
from collections.abc import Callable
from typing import Any

from holdfast.client.raised import words

Work = tuple[Callable[[], Any], "asyncio.Future[Any]", asyncio.AbstractEventLoop]


class Threads:
    """As many threads as were ever busy at once. `stuck` counts those whose caller has given up on them; they get no new work
    until they return.
    """

    def __init__(self, freed: Callable[[], None]) -> None:
        self.stuck = 0
        self._idle: list[queue.SimpleQueue[Work | None]] = []
        self._freed = freed

    async def call(self, function: Callable[[], Any]) -> Any:
        """What the function returns or raises. When this is cancelled, the function runs on and its outcome is dropped."""
        box = self._idle.pop() if self._idle else self._new()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        over: asyncio.Future[Any] = loop.create_future()
        over.add_done_callback(lambda _: self._idle.append(box))
        context = contextvars.copy_context()
        box.put((lambda: context.run(function), over, loop))
        over.add_done_callback(lambda done: _pass_on(done, future))
        try:
            return await future
        except asyncio.CancelledError:
            if not over.done():
                self.stuck += 1
                over.add_done_callback(self._unstuck)
            raise

    def close(self) -> None:
        """Let idle threads end."""
        for box in self._idle:
            box.put(None)
        self._idle.clear()

    def _unstuck(self, _: "asyncio.Future[Any]") -> None:
        self.stuck -= 1
        self._freed()

    def _new(self) -> "queue.SimpleQueue[Work | None]":
        box: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        threading.Thread(target=_serve, args=(box,), name="holdfast-handler", daemon=True).start()
        return box


def _serve(box: "queue.SimpleQueue[Work | None]") -> None:
    while (work := box.get()) is not None:
        function, over, loop = work
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = function(), None
        except BaseException as error:  # noqa: BLE001  (whatever a handler raises is its outcome, SystemExit too)
            outcome = None, error
        try:
            loop.call_soon_threadsafe(_resolve, over, outcome)
        except RuntimeError:
            return  # the loop is closed: no caller waits any more


def _resolve(over: "asyncio.Future[Any]", outcome: tuple[Any, BaseException | None]) -> None:
    if not over.done():
        over.set_result(outcome)


def _pass_on(over: "asyncio.Future[Any]", future: "asyncio.Future[Any]") -> None:
    if future.done() or over.cancelled():
        return
    result, error = over.result()
    if error is None:
        future.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        future.set_exception(error)
    else:
        future.set_exception(RuntimeError(f"the handler raised {type(error).__name__}: {words(error)}"))
