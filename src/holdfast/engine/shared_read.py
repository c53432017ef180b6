"""An expensive read that many callers request: it runs once for all of them, and never twice at a time."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from holdfast.errors import Overloaded
from holdfast.limits import DEAR_READS_WAITING, READ_WAIT_S

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Shared(Generic[K, T]):
    """Reads by key. A caller gets a read that began after its request, so it misses nothing committed before. Raises
    `Overloaded` if its turn does not come.
    """

    def __init__(self, read: Callable[[K], Coroutine[Any, Any, T]]) -> None:
        self._read = read
        self._one_reads = asyncio.Lock()
        self._waiting: dict[K, asyncio.Future[T]] = {}

    async def of(self, asked: K) -> T:
        """The answer. The read continues if one of its waiting callers leaves."""
        answer = self._waiting.get(asked)
        if answer is None:
            if len(self._waiting) >= DEAR_READS_WAITING:
                raise Overloaded("Too many reads are waiting for the store.", retry_after_ms=1_000)
            answer = self._waiting[asked] = asyncio.ensure_future(self._in_turn(asked))
            answer.add_done_callback(lambda done: None if done.cancelled() else done.exception())  # they may all have left
        try:
            return await asyncio.shield(answer)
        finally:
            del answer  # a refusal refers to this frame by its traceback, and the future to the refusal

    async def _in_turn(self, asked: K) -> T:
        try:
            async with asyncio.timeout(READ_WAIT_S):
                await self._one_reads.acquire()
        except TimeoutError:
            raise Overloaded(
                f"Other reads took longer than {READ_WAIT_S:.0f} s; this one was not begun.", retry_after_ms=1_000
            ) from None
        finally:
            del self._waiting[asked]  # later callers wait for the next read
        try:
            return await self._read(asked)
        finally:
            self._one_reads.release()
