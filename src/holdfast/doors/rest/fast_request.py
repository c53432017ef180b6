"""One request in the fast lane, as its handler and as uvicorn see it; `connection.py` carries it."""

import time
from collections.abc import Coroutine
from typing import Any

from holdfast.doors.rest.hot import Call, Route, T
from holdfast.engine.waiters import Patience


class _Silent:
    """Stands where uvicorn keeps the event of a waiting `receive`; nobody waits for this one."""

    def set(self) -> None:
        """Nobody to wake."""


class FastRequest(Call):
    """One request in the lane; to uvicorn it looks like a request-response cycle under way."""

    __slots__ = (
        "disconnected",
        "handler",
        "keep_alive",
        "message_event",
        "patience",
        "response_complete",
        "route",
        "started",
    )

    def __init__(
        self, found: Route, path: str, query: bytes, headers: dict[bytes, bytes], keep_alive: bool, address: str
    ) -> None:
        self.route, self.handler, self.name = found
        self.path, self.query_string, self.headers, self.body = path, query, headers, b""
        self.address = address
        self.keep_alive = keep_alive
        self.started = time.perf_counter()
        self.response_complete = False
        self.disconnected = False
        self.message_event = _SILENT
        self.patience: Patience | None = None

    def let_wait(self, work: Coroutine[Any, Any, T], patience: Patience) -> Coroutine[Any, Any, T]:
        """No task is needed for it: the lane tells us when nothing more comes."""
        self.patience = patience
        if self.disconnected:
            patience.end()
        return work

    def leave(self) -> None:
        """Nothing more comes from the caller: nobody waits any longer."""
        self.disconnected = True
        if self.patience is not None:
            self.patience.end()


_SILENT = _Silent()
