"""One budget of bytes that a process holds for its callers, and one of time for their work.

Everything that callers can make grow is charged here on arrival and released afterwards: bodies being received, requests that
wait behind others, incomplete messages, jobs on their way to the store, jobs that wait for room, answers that are not read.

    comes in ──▶ account.hold(n) ──┐
    submitted ─▶ budget.take(n) ───┼──▶ held ≤ capacity
    not read ──▶ account.hold(n) ──┘        │ past it
                                            ▼
              1. the connection that holds bytes and has been stalled for longest is closed, large ones first
              2. what can't be met then is refused as `overloaded`

An account is a connection's: its bytes are held because the peer has not sent the rest or read its answers. So there is always
a connection to close, and active ones are the last. Before it comes to that, large bodies wait for their turn (`large_body`),
unread, so that the network holds them back.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter

from holdfast.errors import Overloaded
from holdfast.limits import (
    LARGE_BODY_BYTES,
    LARGE_BODY_TURN_S,
    MEMORY_BUDGET_BYTES,
    PROGRESS_BYTES_HELD,
    READ_AT_ONCE,
    READ_AT_ONCE_BYTES,
    STALLED_S,
    TURN_S,
)

_LOOK_S = 0.25  # how often stalled bodies are looked for, while another waits for its turn


def _nobody() -> None:
    """There is no connection left to close."""


class Account:
    """The bytes that one connection makes the process hold. `end` closes it; the account is empty by then."""

    __slots__ = ("_budget", "_end", "closed", "held", "mark", "moved_at", "waits")

    def __init__(self, budget: "Budget", end: Callable[[], None]) -> None:
        self._budget = budget
        self._end = end
        self.closed = False
        self.held = 0
        self.mark = 0  # what it held when it last made progress
        self.moved_at = 0.0
        self.waits = False  # for us: it can't move

    def hold(self, size: int) -> None:
        """So many bytes are held for it now, in all; none any more once it is closed."""
        if size != self.held and not self.closed:
            self._budget.changed(self, size)

    def close(self) -> None:
        """The connection is closed, but a turn that it waited for may still come. It is released here, not left to the cycle
        collector.
        """
        self.hold(0)
        self.closed = True
        self._end = _nobody

    def end(self) -> None:
        """Hang up on it."""
        self._end()


class Budget:
    """The bytes of one process. Half of them is for large bodies being read, so that what has arrived can always proceed."""

    def __init__(self, capacity: int = MEMORY_BUDGET_BYTES) -> None:
        self.capacity = capacity
        self.held = 0
        self.peak = 0
        self.parked = 0  # of those, in jobs that wait for room in a full queue
        self.refused = 0
        self.hung_up = 0
        self.turns = Turns()
        self._large: OrderedDict[Account, None] = OrderedDict()  # the longest stalled comes first
        self._small: OrderedDict[Account, None] = OrderedDict()
        self._reading = 0  # bytes of the large bodies whose turn it is
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._looking: asyncio.TimerHandle | None = None

    # In progress to the store, or waiting for it

    def take(self, size: int) -> None:
        """Charge that many bytes, or raise `Overloaded`. One item alone is always accepted, however large."""
        self.held += size
        if self.held > self.capacity:
            self._make_room()
            if self.held > self.capacity and self.held > size:
                self.held -= size
                self.refused += 1
                raise Overloaded(
                    f"This server holds {self.held} bytes for others, of {self.capacity} (memory_budget).", retry_after_ms=1_000
                )
        if self.held > self.peak:  # noqa: PLR1730  (`max` costs more than all the rest)
            self.peak = self.held

    def give(self, size: int) -> None:
        """That many bytes were released."""
        self.held -= size

    def park(self, size: int) -> None:
        """Hold them while an enqueue waits for room in a full queue, which a quarter of the budget may do; raises `Overloaded`."""
        if self.parked and self.parked + size > self.capacity // 4:
            self.refused += 1
            raise Overloaded(
                f"Jobs of {self.parked} bytes wait for room already, of {self.capacity // 4} (a quarter of memory_budget).",
                retry_after_ms=1_000,
            )
        self.take(size)
        self.parked += size

    def unpark(self, size: int) -> None:
        """That push waits no longer."""
        self.parked -= size
        self.give(size)

    # Held for connections

    def account(self, end: Callable[[], None]) -> Account:
        """An account for a connection; it costs nothing while it holds nothing."""
        return Account(self, end)

    def changed(self, account: Account, size: int) -> None:
        """See `Account.hold`."""
        self.held += size - account.held
        was_large = account in self._large
        account.held = size
        if size >= PROGRESS_BYTES_HELD:
            moved = not was_large or abs(size - account.mark) >= PROGRESS_BYTES_HELD
            if moved:
                account.mark, account.moved_at = size, perf_counter()
                self._small.pop(account, None)
                self._large[account] = None
                self._large.move_to_end(account)
        else:
            if was_large:
                del self._large[account]
            if size:
                self._small.setdefault(account)
            else:
                self._small.pop(account, None)
        if self.held > self.capacity:
            self._make_room(account)
        self.peak = max(self.peak, self.held)

    def _make_room(self, mover: Account | None = None) -> None:
        for accounts in (self._large, self._small):
            while self.held > self.capacity and accounts:
                first = next(iter(accounts))
                if first is mover and len(accounts) > 1:
                    accounts.move_to_end(first)  # it has just moved
                    continue
                self._hang_up(first)

    def _hang_up(self, account: Account) -> None:
        self._large.pop(account, None)
        self._small.pop(account, None)
        self.held -= account.held
        account.held = account.mark = 0
        self.hung_up += 1
        account.end()

    # Large bodies

    @asynccontextmanager
    async def large_body(self, size: int, account: Account | None) -> AsyncIterator[None]:
        """Read a body of up to that many bytes when it is its turn; raises `Overloaded` if that does not come."""
        size = min(size, self.capacity // 2)
        if self._line or self._reading + size > self.capacity // 2:
            await self._stand_in_line(size, account)
        else:
            self._reading += size
        try:
            yield
        finally:
            self._reading -= size
            self._next()

    async def _stand_in_line(self, size: int, account: Account | None) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = (size, turn)
        self._line.append(place)
        self._look_soon()
        if account is not None:
            account.waits = True
        try:
            async with asyncio.timeout(LARGE_BODY_TURN_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._reading -= size
            elif place in self._line:
                self._line.remove(place)
            self._next()
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise Overloaded("Other large bodies are being read; send it again.", retry_after_ms=1_000) from None
            raise
        finally:
            if account is not None:
                account.waits, account.moved_at = False, perf_counter()

    def _next(self) -> None:
        while self._line:
            size, turn = self._line[0]
            if turn.done():
                self._line.popleft()
                continue
            if self._reading and self._reading + size > self.capacity // 2:
                return
            self._line.popleft()
            self._reading += size
            turn.set_result(None)

    def _look_soon(self) -> None:
        if self._looking is None:
            self._looking = asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        """Others wait for a turn: a stalled body loses its own."""
        self._looking = None
        if not self._line:
            return
        before = perf_counter() - STALLED_S
        stalled = [one for one in self._large if not one.waits and one.moved_at < before and one.held >= LARGE_BODY_BYTES]
        for one in stalled:
            self._hang_up(one)
        self._look_soon()


class Turns:
    """Work that would take too long in one turn of the loop, done in chunks, in turn with that of others; and large input, read
    from a few connections in each turn, while the others wait unread.
    """

    def __init__(self) -> None:
        self._line: deque[Callable[[], None]] = deque()
        self._due = False
        self._came = 0  # in large pieces, in this turn
        self._unread: deque[Callable[[], None]] = deque()
        self._counting = False

    def came(self, size: int, read_on: Callable[[], None]) -> bool:
        """A large piece was received on a connection. False: that is enough for this turn; it must not be read until `read_on`
        is called.
        """
        if not self._counting:
            self._counting = True
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._came += size
        if self._came <= READ_AT_ONCE_BYTES and not self._unread:
            return True
        self._unread.append(read_on)
        return False

    def _begin_turn(self) -> None:
        self._came = 0
        for _ in range(min(READ_AT_ONCE, len(self._unread))):
            self._unread.popleft()()
        self._counting = bool(self._unread)
        if self._counting:
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def later(self, chunk: Callable[[], None]) -> None:
        """Call this when it is its turn; a callback with work left calls this again."""
        self._line.append(chunk)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        until = perf_counter() + TURN_S
        while self._line:
            self._line.popleft()()
            if perf_counter() >= until:
                break
        self._due = bool(self._line)
        if self._due:
            asyncio.get_running_loop().call_soon(self._go_on)
