"""One request in the fast lane, as its handler and as uvicorn see it; `lane.py` carries it."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from holdfast.doors.rest.hot import Call, Route, T


class _Silent:
    """Stands where uvicorn keeps the event of a waiting `receive`; nobody waits for this one."""

    def set(self) -> None:
        """Nobody to wake."""


class Ride(Call):
    """One request in the lane; to uvicorn it looks like a request-response cycle under way."""

    __slots__ = (
        "disconnected",
        "handler",
        "keep_alive",
        "may_stop",
        "message_event",
        "response_complete",
        "route",
        "started",
        "waits_for",
    )

    def __init__(self, found: Route, path: str, query: bytes, headers: dict[bytes, bytes], keep_alive: bool) -> None:
        self.route, self.handler, self.name = found
        self.path, self.query_string, self.headers, self.body = path, query, headers, b""
        self.keep_alive = keep_alive
        self.started = time.perf_counter()
        self.response_complete = False
        self.disconnected = False
        self.message_event = _SILENT
        self.may_stop = False
        self.waits_for: tuple[asyncio.Future[Any], Callable[[Any], None]] | None = None

    async def while_here(self, work: Coroutine[Any, Any, T], give_back: Callable[[T], None]) -> T:
        """No task is needed for it: when the caller leaves, the lane throws the cancellation in, at the latest when the work would go on."""
        self.may_stop = True
        try:
            done = await work
        except asyncio.CancelledError:
            raise ConnectionResetError("the caller left while it waited") from None
        finally:
            self.may_stop, self.waits_for = False, None
        if self.disconnected:
            give_back(done)
            raise ConnectionResetError("the caller left while it was answered")
        return done

    def leave(self) -> None:
        """The caller has left: what the handler waits for is of use to nobody, where it says so."""
        self.disconnected = True
        if self.waits_for is not None:
            waited, go_on = self.waits_for
            if not waited.done():  # else it is about to go on, and is stopped there
                waited.remove_done_callback(go_on)
                go_on(waited)


_SILENT = _Silent()
