"""A long read that many ask for: done once for all of them, and one at a time, however many ask."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from holdfast.errors import Overloaded
from holdfast.limits import DEAR_READS_WAITING, READ_WAIT_S

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Shared(Generic[K, T]):
    """Reads by what is asked for. Whoever asks is answered by a read that began after that, so that it misses nothing of what was committed
    before. Raises `Overloaded` where its turn does not come.
    """

    def __init__(self, read: Callable[[K], Coroutine[Any, Any, T]]) -> None:
        self._read = read
        self._one_reads = asyncio.Lock()
        self._waiting: dict[K, asyncio.Future[T]] = {}

    async def of(self, asked: K) -> T:
        """The answer; the read goes on whoever of those that wait for it leaves."""
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
            del self._waiting[asked]  # who asks from now on waits for the next
        try:
            return await self._read(asked)
        finally:
            self._one_reads.release()
