"""Reads on connections of their own, in threads. A read whose caller has left (its task is cancelled) is interrupted; its
connection is free again when its thread is done with it.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from holdfast.messages.frame import A, Query
from holdfast.stores.read_queue import Line, ReadQueue, line_of
from holdfast.stores.sqlite.reader import SqliteReader


class Reads:
    """The reads of one store."""

    def __init__(self, readers: Sequence[SqliteReader]) -> None:
        self._readers = list(readers)
        self._idle = list(readers)
        self._pool = ThreadPoolExecutor(len(readers), "read")
        self._turns = ReadQueue(len(readers) - 1)  # one is for the keys

    async def answer(self, query: Query[A], now: int) -> A:
        """Run the read when it is its turn; raises `Overloaded` if that does not come."""
        line = line_of(query)
        await self._turns.take(line)
        reader = self._idle.pop()
        reader.stopped = False
        answered = asyncio.wrap_future(self._pool.submit(reader.answer, query, now))
        try:
            await asyncio.wait({answered})
        except asyncio.CancelledError:
            reader.stopped = True
            answered.add_done_callback(lambda done: self._left(reader, line, done))
            raise
        self._free(reader, line)
        try:
            return answered.result()
        finally:
            del answered  # a refusal refers to this frame by its traceback, and the future to the refusal

    def let_go_of_cache(self) -> None:
        """Free the pages that those who do not read just now keep in memory."""
        for reader in self._idle:
            reader.let_go_of_cache()

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.shutdown()
        for reader in self._readers:
            reader.close()

    def _left(self, reader: SqliteReader, line: Line, done: "asyncio.Future[Any]") -> None:
        if not done.cancelled():
            done.exception()  # no caller waits for it
        self._free(reader, line)

    def _free(self, reader: SqliteReader, line: Line) -> None:
        self._idle.append(reader)
        self._turns.give(line)
