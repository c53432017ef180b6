"""Calls the handler of a job and says how its attempt ended."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import UNSET

from holdfast.client.trying import encode
from holdfast.client.types import Conclude, Fail, Release
from holdfast.client.worker.held import HeldJob
from holdfast.client.worker.outcomes import told
from holdfast.client.worker.processes import Processes, Said
from holdfast.client.worker.telling import attempt_over
from holdfast.client.worker.threads import Threads


@dataclass(frozen=True, slots=True)
class Handler:
    """A function, and how it is to be run. `timeout_s` bounds one attempt."""

    function: Callable[[HeldJob], Any]
    process: bool = False
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.process and self.is_coroutine:
            raise TypeError("a handler that runs in a process is a plain function")

    @property
    def is_coroutine(self) -> bool:
        """Whether it runs in the event loop."""
        return inspect.iscoroutinefunction(self.function)


class Runner:
    """Runs handlers, each where it belongs."""

    def __init__(self, freed: Callable[[], None]) -> None:
        self.threads = Threads(freed)
        self._processes = Processes(self.threads)

    async def run(self, handler: Handler | None, held: HeldJob) -> Conclude | Fail | Release:
        """How the attempt ended. Raises `CancelledError` when it was cut off from outside."""
        verdict, error = await self._attempt(handler, held)
        attempt_over(held, verdict, error)
        return verdict

    async def _attempt(self, handler: Handler | None, held: HeldJob) -> tuple[Conclude | Fail | Release, BaseException | None]:
        if handler is None:
            return Fail(token=held.token, reason=f"This worker has no handler for the type {held.type!r}."), None
        held.in_thread = not (handler.process or handler.is_coroutine)
        try:
            async with asyncio.timeout(handler.timeout_s) as bound:
                result = await self._call(handler, held)
            encoded = UNSET if result is None else msgspec.Raw(encode(result))
            return Conclude(token=held.token, result=encoded, then=held.follow_ups), None
        except Said as said:
            said.entry.token = held.token
            return said.entry, None
        except TimeoutError as error:
            if bound.expired():
                held.must_end = True
                reason = f"It was not done after {handler.timeout_s:g} s, the bound of its handler."
                return Fail(token=held.token, reason=reason), None
            return told(error, held.token), error
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever a handler raises is its outcome)
            return told(error, held.token), error

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
