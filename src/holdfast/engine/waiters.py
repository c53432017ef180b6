"""Long polls: which callers wait for which queues, and waking them after a commit.

A caller looks, finds nothing, and parks; news of a queue wakes as many callers as it can serve, the longest waiting first. News
may arrive between the look and the parking, so a caller takes a mark before it looks, and parking on a queue with newer news
returns at once: no news is missed and no caller polls in a loop.

    mark ─▶ look ──nothing──▶ enter(mark) ──news──▶ look again
                                  └── deadline, or the server drains ──▶ give up

`wait.py` does the looking and passes on unused news. The same class serves callers that wait for jobs (`ready`) and callers
that wait for room in a full queue (`freed`).

Callers who want some types only stand in lines of their own, one for each set of types, and are woken only by what fits, as far as that is known.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from operator import attrgetter

from holdfast.errors import Overloaded
from holdfast.job.by_type import TypeNames
from holdfast.limits import NEWS_QUEUES, PARKED_NAMES, PARKED_POLLS


class Waiter:
    """One parked caller. It is woken once, in a later turn of the loop, with the name of a queue with news, or None."""

    __slots__ = ("_then", "_waiters", "call", "is_first", "names", "number", "over", "request", "timer", "types", "woken_for")

    def __init__(
        self,
        waiters: "Waiters",
        names: tuple[str, ...],
        request: str | None,
        then: Callable[[str | None], None],
        types: TypeNames | None,
        number: int,
    ) -> None:
        self._waiters = waiters
        self._then: Callable[[str | None], None] | None = then
        self.names = names
        self.types = types  # the only ones that it can use; None: all
        self.number = number  # those who have waited longer have lower ones
        self.request = request
        self.woken_for: str | None = None
        self.is_first = False  # woken alone of those who want these types: if it finds something, the next one looks
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
        self._by_type: dict[str, dict[TypeNames, OrderedDict[Waiter, None]]] = {}  # those who can use some types only
        self._type_news = TypeNews()
        self._entered = 0
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

    def mark(self, names: tuple[str, ...], types: TypeNames | None = None) -> int:
        """The mark: a count of the news of these queues, and of these types. Take it before looking."""
        if types is not None:
            return self._type_news.mark(names, types)
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
        types: TypeNames | None = None,
    ) -> Waiter | None:
        """Wait for news of one of the queues; `then` gets the name of the queue that has news, or None when the time is up.

        Returns None after calling `then` if there is nothing to wait for. A newer call with the same `request` replaces this
        one: its caller has gone, and must not get jobs. Without `names` only the time is waited for.
        """
        if names and self.mark(names, types) != mark:
            then(names[0])
            return None
        if seconds <= 0 or self._draining or (patience is not None and patience.over):
            then(None)
            return None
        if len(self._all) >= PARKED_POLLS or self._names + len(names) > PARKED_NAMES:
            raise Overloaded("Too many calls are waiting on this server.", retry_after_ms=1_000)
        self._entered += 1
        waiter = Waiter(self, names, request, then, types, self._entered)
        if request is not None:
            if (older := self._by_request.get(request)) is not None:
                older.wake(None)
            self._by_request[request] = waiter
        self._all[waiter] = None
        self._names += len(names)
        for name in names:
            if types is None:
                self._lines.setdefault(name, OrderedDict())[waiter] = None
            else:
                self._by_type.setdefault(name, {}).setdefault(types, OrderedDict())[waiter] = None
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

    def notify(self, name: str, count: int, types: Mapping[str, int] | None = None) -> None:
        """There is news of a queue, enough for `count` callers; `types`: enough for so many of those who can use only these."""
        self._count += 1
        if len(self._news) >= NEWS_QUEUES and name not in self._news:
            self._forget()
        self._news[name] = self._count
        if self._type_news.wanted:
            self._type_news.note(name, types)
        if self._by_type and name in self._by_type:
            self._notify_by_type(name, count, types)
            return
        line = self._lines.get(name)
        while line and count > 0:
            waiter = next(iter(line))
            self._unlist(waiter)
            count -= waiter.wake(name)  # one whose time is up takes nobody's turn

    def _notify_by_type(self, name: str, count: int, types: Mapping[str, int] | None) -> None:
        """The same where some can use some types only. Each set of them gets as many calls as there is news for it. If that is not known, the
        first of a set looks: what it does not find another would not either.
        """
        woken = list(islice(_parked(self._lines.get(name, ())), count))
        for some, line in self._by_type[name].items():
            if types is not None:
                woken += islice(_parked(line), min(count, sum([types.get(one, 0) for one in some])))
            elif (first := next(_parked(line), None)) is not None:
                first.is_first = True
                woken.append(first)
        for waiter in sorted(woken, key=_NUMBER):
            self._unlist(waiter)
            waiter.wake(name)

    def look_next(self, name: str, types: TypeNames) -> None:
        """The first of a set of types has found something: let the next one look."""
        following = next(_parked(self._by_type.get(name, {}).get(types, ())), None)
        if following is not None:
            following.is_first = True
            self._unlist(following)
            following.wake(name)

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
        return [*self._lines, *(name for name in self._by_type if name not in self._lines)]

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
        if waiter.types is not None:
            self._unlist_by_type(waiter, waiter.types)
            return
        for name in waiter.names:
            if (line := self._lines.get(name)) is not None:
                line.pop(waiter, None)
                if not line:
                    del self._lines[name]

    def _unlist_by_type(self, waiter: Waiter, types: TypeNames) -> None:
        for name in waiter.names:
            sets = self._by_type.get(name)
            line = sets.get(types) if sets is not None else None
            if sets is not None and line is not None:
                line.pop(waiter, None)
                if not line:
                    del sets[types]
                    if not sets:
                        del self._by_type[name]


def _parked(line: Iterable[Waiter]) -> Iterator[Waiter]:
    return (waiter for waiter in line if not waiter.over)  # one whose time is up takes nobody's turn


class TypeNews:
    """When there was news that callers could use who want some types only: they must not look again after each news of other types."""

    def __init__(self) -> None:
        self._count = 0
        self._forgotten = 0
        self._news: dict[tuple[str, str | None], int] = {}  # by queue and type; None: news of which the types are not known
        self.wanted: set[str] = set()  # queues of such callers, since it was last forgotten

    def mark(self, names: tuple[str, ...], types: TypeNames) -> int:
        """A number that grows with all news of these."""
        self.wanted.update(names)
        news, forgotten = self._news, self._forgotten
        return sum([max([news.get((name, one), forgotten) for one in (None, *types)]) for name in names])

    def note(self, name: str, types: Mapping[str, int] | None) -> None:
        """There is news."""
        if name not in self.wanted:
            return
        self._count += 1
        if len(self._news) > NEWS_QUEUES or len(self.wanted) > NEWS_QUEUES:
            self._news.clear()
            self.wanted.clear()
            self._count += 1
            self._forgotten = self._count  # so that every mark has changed: who is about to park looks again
        elif types is None:
            self._news[name, None] = self._count
        else:
            for one in types:
                self._news[name, one] = self._count


_NUMBER = attrgetter("number")
