"""The end of a connection that still has something to be read: closing at once would have the kernel take back what was answered."""

import asyncio
from collections.abc import Callable


class Lingering:
    """A transport as uvicorn uses it to answer, which is closed in our way."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
