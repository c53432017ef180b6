"""Calls the handler of a job and returns the outcome of the attempt."""

import asyncio
import inspect
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET, Raw

from holdfast.client.contents import UnreadableJson
from holdfast.client.raised import words
from holdfast.client.types import Conclude, Fail, Release
from holdfast.client.worker.connectivity import attempt_over, log
from holdfast.client.worker.held_job import HeldJob
from holdfast.client.worker.outcomes import cut, kept, told
from holdfast.client.worker.processes import ProcessDied, Processes, Said
from holdfast.client.worker.threads import Threads

_UNHANDLED_S = 1.0  # before a job without a handler is ready again; twice as long each time that it was released
_UNHANDLED_MAX_S = 60.0


@dataclass(frozen=True, slots=True)
class Handler:
    """A function, and how it is to be run. `timeout_s` bounds one attempt; `raw`: it also gets payloads that Python can't
    represent; `together`: that many jobs at once are run in one call (see `lanes.py`); `makes_spans`: of OpenTelemetry, so that a worker makes none around it.
    """

    function: Callable[[HeldJob], Any]
    process: bool = False
    timeout_s: float | None = None
    raw: bool = False
    together: int = 0
    makes_spans: bool = False
    is_coroutine: bool = field(init=False)  # it runs in the event loop

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"a handler is a function, not {type(self.function).__name__}")
        call = getattr(self.function, "__call__", None)  # noqa: B004  (of an object that is called like a function)
        is_coroutine = inspect.iscoroutinefunction(self.function) or inspect.iscoroutinefunction(call)
        object.__setattr__(self, "is_coroutine", is_coroutine)  # once: to find it out takes a tenth of what a job costs
        if self.process and is_coroutine:
            raise TypeError("a handler that runs in a process is a plain function")


class _TimedOut(Exception):
    """The bound of a handler was reached; one that raises `TimeoutError` itself has only failed."""


class Runner:
    """Runs each handler in the loop, a thread or a process."""

    def __init__(self, freed: Callable[[], None]) -> None:
        self.threads = Threads(freed)
        self._processes = Processes(self.threads)
        self._unknown: set[str] = set()

    async def run(self, handler: Handler | None, held: HeldJob) -> Conclude | Fail | Release:
        """How the attempt ended. Raises `CancelledError` when it was cut off from outside."""
        began = time.monotonic()
        verdict, error = await self._attempt(handler, held)
        attempt_over(held, verdict, error, time.monotonic() - began)
        return verdict

    async def _attempt(self, handler: Handler | None, held: HeldJob) -> tuple[Conclude | Fail | Release, BaseException | None]:
        if handler is None:
            return self._unhandled(held), None
        if not handler.raw and held.body is None:
            try:
                held.payload  # noqa: B018  (read once, before a handler begins)
            except UnreadableJson as unreadable:  # nor will it be at another try
                return Fail(token=held.token, reason=cut(words(unreadable)), retry=False), None
        held.in_thread = not (handler.process or handler.is_coroutine)
        call = self._call(handler, held)
        try:
            result = await (call if handler.timeout_s is None else _within(handler.timeout_s, call))
            return _concluded(held, result), None
        except Said as said:
            said.entry.token = held.token
            return said.entry, None
        except ProcessDied as died:
            return Fail(token=held.token, reason=words(died), crashed=True), None
        except _TimedOut:
            held.must_end = True
            return Fail(token=held.token, reason=f"Timed out after {handler.timeout_s:g} s.", retry=held.is_retried), None
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  (whatever a handler raises is its outcome)
            asyncio.get_running_loop()  # raises where this is thrown away with its loop, and no outcome of a handler
            return told(error, held.token), error

    def _unhandled(self, held: HeldJob) -> Release:
        """Release it, for a worker that has a handler: during a rolling deploy there are some of both. With a growing delay."""
        if held.type not in self._unknown:
            self._unknown.add(held.type)
            log.warning(
                "no handler for the type %r: its jobs are released for other workers, and the attempt does not count",
                held.type,
            )
        job = held.job
        given_back = max(0, job.attempt - job.failures - job.crashes - 1)
        full_s = min(_UNHANDLED_MAX_S, _UNHANDLED_S * 2.0 ** min(given_back, 10))
        return Release(token=held.token, delay_ms=round(1_000 * full_s * random.uniform(0.75, 1.0)))  # noqa: S311

    def close(self) -> None:
        """Let go of threads and processes."""
        self._processes.close()
        self.threads.close()

    async def _call(self, handler: Handler, held: HeldJob) -> Any:
        if handler.process:
            return await self._processes.call(handler.function, held)
        if handler.is_coroutine:
            return await handler.function(held)
        return await self.threads.call(lambda: handler.function(held))


async def _within(seconds: float, call: Coroutine[Any, Any, Any]) -> Any:
    try:
        async with asyncio.timeout(seconds) as bound:
            return await call
    except TimeoutError as error:
        if bound.expired():
            raise _TimedOut from error
        raise


def _concluded(held: HeldJob, result: Any) -> Conclude:
    """The outcome of a handler that has returned, encoded as JSON already, so that an invalid result can't spoil its batch."""
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("the handler returned a coroutine that was not awaited; make it `async def`, or await it")
    encoded, then = kept(result, held.follow_ups)
    return Conclude(token=held.token, result=UNSET if result is None else Raw(encoded), then=then)
