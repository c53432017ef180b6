"""Long polls: which callers wait for which queues, and waking them after a commit.

A caller looks, finds nothing, and parks; news of a queue wakes as many callers as it can serve, the longest waiting first. News
may arrive between the look and the parking, so a caller takes a mark before it looks, and parking on a queue with newer news
returns at once: no news is missed and no caller polls in a loop.

    mark ─▶ look ──nothing──▶ enter(mark) ──news──▶ look again
                                  └── deadline, or the server drains ──▶ give up

`wait.py` does the looking and passes on unused news. The same class serves callers that wait for jobs (`ready`) and callers
that wait for room in a full queue (`freed`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from holdfast.errors import Overloaded
from holdfast.limits import NEWS_QUEUES, PARKED_NAMES, PARKED_POLLS


class Waiter:
    """One parked caller. It is woken once, in a later turn of the loop, with the name of a queue with news, or None."""

    __slots__ = ("_then", "_waiters", "call", "names", "over", "request", "timer", "woken_for")

    def __init__(
        self, waiters: "Waiters", names: tuple[str, ...], request: str | None, then: Callable[[str | None], None]
    ) -> None:
        self._waiters = waiters
        self._then: Callable[[str | None], None] | None = then
        self.names = names
        self.request = request
        self.woken_for: str | None = None
        self.over = False  # woken, or has left
        self.call: asyncio.Handle | None = None  # scheduled call that wakes it
        self.timer: asyncio.TimerHandle | None = None

    def wake(self, name: str | None) -> bool:
        """Wake it; False if it was already woken or has left."""
        if self.over:
            return False
        self.over = True
        self.woken_for = name
        self.call = asyncio.get_running_loop().call_soon(self._tell)
        return True

    def _tell(self) -> None:
        then = self._then
        self._waiters.remove(self)
        if then is not None:
            then(self.woken_for)

    def forget(self) -> None:
        """Drop the references, so that the cycle collector, which is slow, finds nothing here."""
        self._then = self.call = None


class Patience:
    """The longest time to wait: ended early when the wait is over. A look in progress at the deadline is completed."""

    __slots__ = ("over", "waiter")

    def __init__(self) -> None:
        self.over = False
        self.waiter: Waiter | None = None

    def end(self) -> None:
        """Stop waiting, as if the time were up."""
        self.over = True
        if self.waiter is not None:
            self.waiter.wake(None)


class Waiters:
    """All callers that wait for news of some queues."""

    def __init__(self) -> None:
        self._lines: dict[str, OrderedDict[Waiter, None]] = {}
        self._all: dict[Waiter, None] = {}  # except those just woken
        self._names = 0  # of queues, that these wait for
        self._news: dict[str, int] = {}  # by queue, unless it was forgotten
        self._count = 0  # of all news
        self._forgotten = 0  # the total when the queues were last forgotten, used for queues that are not in the table
        self._by_request: dict[str, Waiter] = {}
        self._draining = False

    @property
    def parked(self) -> int:
        """How many callers wait."""
        return len(self._all)

    def mark(self, names: tuple[str, ...]) -> int:
        """The mark: a count of the news of these queues. Take it before looking."""
        forgotten = self._forgotten
        if len(names) == 1:  # nearly always
            return self._news.get(names[0], forgotten)
        return sum([self._news.get(name, forgotten) for name in names])

    def enter(
        self,
        names: tuple[str, ...],
        mark: int,
        seconds: float,
        then: Callable[[str | None], None],
        request: str | None = None,
        patience: Patience | None = None,
    ) -> Waiter | None:
        """Wait for news of one of the queues; `then` gets the name of the queue that has news, or None when the time is up.

        Returns None after calling `then` if there is nothing to wait for. A newer call with the same `request` replaces this
        one: its caller has gone, and must not get jobs. Without `names` only the time is waited for.
        """
        if self.mark(names) != mark:
            then(names[0])
            return None
        if seconds <= 0 or self._draining or (patience is not None and patience.over):
            then(None)
            return None
        if len(self._all) >= PARKED_POLLS or self._names + len(names) > PARKED_NAMES:
            raise Overloaded("Too many calls are waiting on this server.", retry_after_ms=1_000)
        waiter = Waiter(self, names, request, then)
        if request is not None:
            if (older := self._by_request.get(request)) is not None:
                older.wake(None)
            self._by_request[request] = waiter
        self._all[waiter] = None
        self._names += len(names)
        for name in names:
            self._lines.setdefault(name, OrderedDict())[waiter] = None
        if patience is not None:
            patience.waiter = waiter
        waiter.timer = asyncio.get_running_loop().call_later(seconds, waiter.wake, None)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Stop waiting without a call: the news it was woken by is for a caller that can use it."""
        waiter.over = True
        if waiter.call is not None:
            waiter.call.cancel()
        self.remove(waiter)
        if waiter.woken_for is not None:
            self.notify(waiter.woken_for, 1)

    def notify(self, name: str, count: int) -> None:
        """There is news of a queue, enough for `count` callers."""
        self._count += 1
        if len(self._news) >= NEWS_QUEUES and name not in self._news:
            self._forget()
        self._news[name] = self._count
        line = self._lines.get(name)
        while line and count > 0:
            waiter = next(iter(line))
            self._unlist(waiter)
            count -= waiter.wake(name)  # one whose time is up takes nobody's turn

    def look_again(self, request: str | None = None) -> None:
        """Wake whoever waits with this request, or everybody, as if there were news."""
        waiters = list(self._all) if request is None else [self._by_request.get(request)]
        for waiter in waiters:
            if waiter is not None and waiter.names:
                self._unlist(waiter)
                waiter.wake(waiter.names[0])

    def _forget(self) -> None:
        """Forget all queues. Each then counts at least as much as before, so no news is missed; an older mark may cause one
        useless look.
        """
        self._news.clear()
        self._forgotten = self._count

    def names(self) -> list[str]:
        """The queues that callers wait for."""
        return list(self._lines)

    def drain(self) -> None:
        """Wake everyone with None, and park nobody from now on."""
        self._draining = True
        for waiter in list(self._all):
            self._unlist(waiter)
            waiter.wake(None)

    def remove(self, waiter: Waiter) -> None:
        """It was woken or has left."""
        self._unlist(waiter)
        if waiter.timer is not None:
            waiter.timer.cancel()
        waiter.forget()
        if waiter.request is not None and self._by_request.get(waiter.request) is waiter:
            del self._by_request[waiter.request]

    def _unlist(self, waiter: Waiter) -> None:
        if waiter not in self._all:
            return
        del self._all[waiter]
        self._names -= len(waiter.names)
        for name in waiter.names:
            if (line := self._lines.get(name)) is not None:
                line.pop(waiter, None)
                if not line:
                    del self._lines[name]
