"""One request: its content, its route, and whether its caller is still connected."""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from holdfast.auth.caller import Caller
from holdfast.http.query import query_of
from holdfast.http.reply import Reply

if TYPE_CHECKING:
    from holdfast.http.route import Route

T = TypeVar("T")


class Patience(Protocol):
    """How long a caller waits for something."""

    def end(self) -> None:
        """Wait no longer."""


class Request(msgspec.Struct, eq=False):  # which is made in a quarter of the time of a dataclass
    """One request. `values` are its path parameters, in order; `address` is the peer's; `caller` is the authenticated caller,
    if access keys are in force; `left`: the peer has disconnected.
    """

    method: str
    path: str
    query_string: bytes
    headers: dict[bytes, bytes]
    address: str
    keep_alive: bool
    version: str
    started: float  # by `time.perf_counter`
    body: bytes = b""
    route: "Route | None" = None
    values: tuple[str, ...] = ()
    caller: Caller | None = None
    reply: Reply | None = None  # that is known before the handler runs
    is_answered: bool = False  # or its answer has begun
    left: bool = False
    patience: Patience | None = None
    task: asyncio.Task[None] | None = None

    def header(self, name: str, default: str = "") -> str:
        """A header as text."""
        value = self.headers.get(name.encode())
        return default if value is None else value.decode("latin-1")

    def cookie(self, name: str) -> str | None:
        """A cookie; the last one if there are several."""
        found = None
        for pair in self.header("cookie").split(";"):
            key, equals, value = pair.strip().partition("=")
            if equals and key == name:
                found = value
        return found

    def query(self) -> dict[str, str]:
        """The query's parameters, each at most once."""
        return query_of(self.query_string) if self.query_string else {}

    def let_wait(self, work: Coroutine[Any, Any, T], patience: Patience) -> Coroutine[Any, Any, T]:
        """Run this, and end the patience when the peer disconnects or shuts down its sending side. What is in progress by then
        is completed.
        """
        self.patience = patience
        if self.left:
            patience.end()
        return work

    def leave(self) -> None:
        """The peer has disconnected: stop waiting."""
        self.left = True
        if self.patience is not None:
            self.patience.end()

    def give_up(self) -> None:
        """Cancel work that only the caller needs: a read, or a stream."""
        if self.task is not None and self.route is not None and (self.route.is_read or self.is_answered):
            self.task.cancel()
            self.task = None  # if it has not begun, nobody else would have it let go
