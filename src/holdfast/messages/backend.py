"""The front's interface to the store's side: commands in, answers and news out. It does not show whether the committer is in
the same process.

`committer/local_backend.py` is the near one, `keeper/link.py` the one over a socket.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from holdfast.limits import PARKED_POLLS
from holdfast.messages.answers import Granted
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.events import Commit, Committed
from holdfast.messages.frame import A, Answer, Refused, Request
from holdfast.messages.views import Durability


class Sink(Protocol):
    """Where answers go: `tag` is what the caller passed with its command."""

    def may_be_granted(self) -> int:
        """How many who wait by it may be granted something now: none where it has much to read yet, and few where it has not been heard since the last."""
        ...

    def granted(self) -> None:
        """One of them is."""
        ...

    def deliver(self, tag: object, result: Answer) -> None:
        """Take one answer; called after the commit."""
        ...


Listener = Callable[[Committed], None]
Waited = Callable[[], Iterable[str]]
"""The queues that somebody waits for."""


class Courier(Protocol):
    """Who carries the answers and the news of a commit away together."""

    def hold(self, commit: Commit | None) -> None:
        """They follow; none of them need leave before `send`. `commit`: when it was, if anybody wants that."""
        ...

    def send(self) -> None:
        """These were all."""
        ...


class Backend(Protocol):
    """Where commands are committed and queries answered, in this process or another."""

    durability: Durability

    def submit(self, request: Request[A]) -> "asyncio.Future[A | Refused]":
        """Ask; the future is resolved after the commit, and cancelling it changes nothing."""
        ...

    def await_jobs(self, command: LeaseJobs) -> "asyncio.Future[Granted | Refused]":
        """Have jobs leased in the commit that makes them ready; see `AwaitJobs`."""
        ...

    def leave(self, asked: "asyncio.Future[Any]") -> None:
        """The caller of this query has left; it need not be read, and is answered as soon as that is so. The same for who awaits jobs."""
        ...

    def submit_all(self, requests: Sequence[Request[A]], weight: int) -> "asyncio.Future[list[A | Refused]]":
        """Submit many at once, of so many bytes together: one result each, in order, when the last of them is done."""
        ...

    def listen(self, listener: Listener, waited: Waited | None = None) -> None:
        """Call `listener` with what is committed, from now on. `waited` returns the queues for which news is needed."""
        ...

    def want_job_events(self, wanted: bool) -> None:
        """Whether `Committed.jobs` is of interest: it costs something to send."""
        ...


class LocalSink:
    """A sink in this process: it stands still where the store's side does, too."""

    def may_be_granted(self) -> int:
        """No bound."""
        return PARKED_POLLS

    def granted(self) -> None:
        """Nothing to count."""


class FutureSink(LocalSink):
    """Resolves the future that is its tag; skips one whose caller has left."""

    def deliver(self, tag: object, result: Answer) -> None:
        """Resolve the future."""
        assert isinstance(tag, asyncio.Future), "this sink's tags are futures"
        if not tag.done():
            tag.set_result(result)


class Gathered(LocalSink):
    """Delivers the answers to many requests together: the tag of each is its place."""

    def __init__(self, future: "asyncio.Future[list[Any]]", count: int) -> None:
        self._future = future
        self._results: list[Any] = [None] * count
        self._missing = count

    @property
    def is_complete(self) -> bool:
        """Whether all answers have come."""
        return not self._missing

    def deliver(self, tag: object, result: Answer) -> None:
        """Accept the answer for one place; with the last one all are done."""
        self._results[tag] = result  # type: ignore[call-overload]  # this sink's tags are places
        self._missing -= 1
        if not self._missing and not self._future.done():
            self._future.set_result(self._results)
