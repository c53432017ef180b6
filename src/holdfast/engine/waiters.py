"""Long polls: who waits for which queues, woken by what was committed.

A caller looks, finds nothing, and parks; news of a queue wakes as many as it can serve, the longest waiting first. Between the look and
the parking the news may already have come. So a caller takes a mark before it looks, and parking on a queue with newer news returns at
once: nothing is missed, and no poll runs in circles.

    mark ─▶ look ──nothing──▶ park(mark) ──news──▶ look again
                                  └── deadline, or the server drains ──▶ give up

The same object serves those who wait for jobs (`ready`) and those who wait for room in a full queue (`freed`).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from holdfast.errors import Overloaded
from holdfast.limits import NEWS_QUEUES, PARKED_POLLS


class Waiter:
    """One parked caller."""

    __slots__ = ("future", "names", "woken_for")

    def __init__(self, names: tuple[str, ...], future: "asyncio.Future[bool]") -> None:
        self.names = names
        self.future = future
        self.woken_for: str | None = None


class Patience:
    """How long somebody is waited for: until it is over, at the latest when the time is up. What is under way by then comes to its end."""

    __slots__ = ("over", "waiter")

    def __init__(self) -> None:
        self.over = False
        self.waiter: Waiter | None = None

    def end(self) -> None:
        """Wait no longer: as if the time were up."""
        self.over = True
        if self.waiter is not None and not self.waiter.future.done():
            self.waiter.future.set_result(True)


class Waiters:
    """Everyone who waits for news of some queues."""

    def __init__(self) -> None:
        self._lines: dict[str, OrderedDict[Waiter, None]] = {}
        self._news: dict[str, int] = {}  # by queue, as far as it is remembered
        self._count = 0  # of all news
        self._forgotten = 0  # the count when the queues were last forgotten: what one counts that is not remembered
        self._by_request: dict[str, Waiter] = {}
        self._draining = False
        self.parked = 0

    def mark(self, names: Iterable[str]) -> int:
        """How much news there has been of these queues; to be taken before looking."""
        forgotten = self._forgotten
        return sum([self._news.get(name, forgotten) for name in names])

    async def park(
        self, names: tuple[str, ...], mark: int, seconds: float, request: str | None = None, patience: Patience | None = None
    ) -> str | None:
        """Wait for news of one of the queues; the name of the one that woke us, or None when the time or the patience is over.

        A newer call with the same `request` takes the place of this one: its caller has gone, and must not be given jobs.
        """
        if self.mark(names) != mark:
            return names[0]
        patience = patience or Patience()
        if seconds <= 0 or self._draining or patience.over:
            return None
        if self.parked >= PARKED_POLLS:
            raise Overloaded("Too many calls are waiting on this server.", retry_after_ms=1_000)
        waiter = Waiter(names, asyncio.get_running_loop().create_future())
        if request is not None:
            if (older := self._by_request.get(request)) is not None:
                self._wake(older, None)
            self._by_request[request] = waiter
        self._enter(waiter)
        patience.waiter = waiter
        timer = asyncio.get_running_loop().call_later(seconds, self._wake, waiter, None)
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.woken_for is not None:
                self.notify(waiter.woken_for, 1)  # the news was meant for one who can use it
            raise
        finally:
            timer.cancel()
            self._leave(waiter)
            patience.waiter = None
            if request is not None and self._by_request.get(request) is waiter:
                del self._by_request[request]
        return waiter.woken_for

    def notify(self, name: str, count: int) -> None:
        """There is news of a queue, enough for `count` callers."""
        self._count += 1
        if len(self._news) >= NEWS_QUEUES and name not in self._news:
            self._forget()
        self._news[name] = self._count
        line = self._lines.get(name)
        while line and count > 0:
            waiter = next(iter(line))
            self._leave(waiter)
            count -= self._wake(waiter, name)  # one whose time is up, or who has just left, takes nobody's turn

    def _forget(self) -> None:
        """Remember none. Each counts at least as much as it did, so that no news is missed; a mark from before may have its caller look in vain."""
        self._news.clear()
        self._forgotten = self._count

    def names(self) -> list[str]:
        """The queues that somebody waits for."""
        return list(self._lines)

    def drain(self) -> None:
        """Send everyone home, and let nobody park again."""
        self._draining = True
        for line in list(self._lines.values()):
            for waiter in list(line):
                self._leave(waiter)
                self._wake(waiter, None)

    def _enter(self, waiter: Waiter) -> None:
        self.parked += 1
        for name in waiter.names:
            self._lines.setdefault(name, OrderedDict())[waiter] = None

    def _leave(self, waiter: Waiter) -> None:
        gone = False
        for name in waiter.names:
            line = self._lines.get(name)
            if line is not None and waiter in line:
                del line[waiter]
                gone = True
                if not line:
                    del self._lines[name]
        self.parked -= gone

    @staticmethod
    def _wake(waiter: Waiter, name: str | None) -> bool:
        if waiter.future.done():
            return False
        waiter.woken_for = name
        waiter.future.set_result(True)
        return True
