"""Routes events by the current interests, without blocking the event loop.

    change ─▶ pending ─┐                          ┌─ little to match ─▶ here, on the loop
    first event ─▶ read, compile (a thread) ──▶ route
                                                  └─ more ─▶ a thread that does nothing else, in line, with a deadline while waiting

What is added waits for the next event; what is removed takes no memory any more even if none comes.

Only trying tells what is little work: an event is matched on the loop with a small budget of steps, and if that is used up it
goes to the thread with the large one. RE2 releases the GIL while it matches. Patterns are also compiled by a thread, a small
set at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from holdfast.errors import InvalidRequest, Overloaded
from holdfast.limits import COMPILE_AT_ONCE, MATCH_BYTES_AT_ONCE, MATCH_STEPS_AT_ONCE, MATCH_WAIT_S, MATCHES_WAITING
from holdfast.routing.interests import Change, Interests, Match, Share, costs_to_compile, steps_to_match

T = TypeVar("T")
_FEW = 64
_CHANGES = 1_000  # that wait to be applied, or queues in them; beyond it the interests are read again when they are needed next


class Known(Protocol):
    """All interests, and the version that they have together."""

    @property
    def version(self) -> int:
        """It grows with each change."""
        ...

    @property
    def interests(self) -> Mapping[str, Match]:
        """By queue."""
        ...


class Router:
    """A copy of the interests: read once by `read`, then updated by the news of each change."""

    def __init__(self, read: Callable[[], Awaitable[Known]]) -> None:
        self._read = read
        self._interests: Interests | None = None
        self._pending: list[Change] = []
        self._one_reads = asyncio.Lock()  # so that many callers at once read and compile once
        self._matching: ThreadPoolExecutor | None = None
        self._compiling: ThreadPoolExecutor | None = None
        self.waiting = 0

    def take(self, change: Change) -> None:
        """Follow a change: one that only removes now, others when the interests are wanted next."""
        pending, interests = self._pending, self._interests
        if self._one_reads.locked():
            pending.append(change)
        elif interests is not None:
            if pending and change.before == pending[-1].after:  # one change out of both: what came and went is a removal
                waiting = pending.pop()
                change = Change(waiting.before, change.after, waiting.matches | change.matches)
            pending.append(change)
            if not any(match is not None for waiting in pending for match in waiting.matches.values()):
                self._remove(interests)
        if len(pending) > _CHANGES or (pending and len(pending[-1].matches) > _CHANGES):
            self.forget()

    def _remove(self, interests: Interests) -> None:
        pending, self._pending = self._pending, []
        if not all(interests.follow(change) for change in pending):
            self.forget()
        elif not interests.matches:
            self._interests = interests.anew()  # others are compiled anew by a thread, when they are wanted next

    def forget(self, version: int | None = None) -> None:
        """Read everything again when it is needed next; with `version`, only if that is the current one."""
        known = self._pending[-1].after if self._pending else None if self._interests is None else self._interests.version
        if version is None or known == version:
            self._interests = None
            self._pending.clear()

    async def route(self, data: bytes | None) -> tuple[int, list[str]]:
        """The version of the interests, and the queues that want this event. None: there are no interests."""
        interests = await self._current()
        if data is None:
            return interests.version, []
        if (more := interests.to_compile) > COMPILE_AT_ONCE:
            await self.in_thread(interests.compile)
        elif more:
            interests.compile()
        version = interests.version
        if len(data) <= MATCH_BYTES_AT_ONCE:
            steps = steps_to_match(MATCH_STEPS_AT_ONCE)
            try:
                return version, interests.queues_for(data, steps)
            except InvalidRequest:
                if steps.taken <= steps.most:
                    raise  # for another reason
        return version, await self._match_apart(interests, data)

    async def version(self) -> int:
        """That of the interests of now."""
        return (await self._current()).version

    async def check_room(self, queue: str, share: Share, coming: Callable[[], Share]) -> None:
        """Raise `InvalidRequest` unless there is room for one more interest, beside those of others in progress."""
        interests = await self._current()
        try:
            interests.check_room(queue, share, coming())
        except InvalidRequest:
            if not interests.unused:
                raise
            self.forget()  # unused patterns count among them
            (await self._current()).check_room(queue, share, coming())

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do some work about patterns, one at a time."""
        if self._compiling is None:
            self._compiling = ThreadPoolExecutor(1, "compile")
        return await asyncio.get_running_loop().run_in_executor(self._compiling, work)

    async def _match_apart(self, interests: Interests, data: bytes) -> list[str]:
        if self.waiting >= MATCHES_WAITING:
            raise Overloaded("Too many events are waiting to be matched.", retry_after_ms=1_000)
        if self._matching is None:
            self._matching = ThreadPoolExecutor(1, "match")
        matching = self._matching.submit(interests.queues_for, data)
        self.waiting += 1
        matched = asyncio.wrap_future(matching)
        try:
            await asyncio.wait({matched}, timeout=MATCH_WAIT_S)
            if not matched.done() and matching.cancel():  # it had not begun
                raise Overloaded("Events that take long to match are before this one.", retry_after_ms=1_000)
            return await matched
        finally:
            matching.cancel()  # a caller that left is not matched for
            self.waiting -= 1
            del matching, matched  # a refusal refers to this frame by its traceback, and they to the refusal

    async def _current(self) -> Interests:
        async with self._one_reads:
            try:
                while (interests := self._interests) is None or self._pending:
                    await self._catch_up(interests)
            except BaseException:
                self.forget()  # a change may have been applied in part, or not at all
                raise
            return interests

    async def _catch_up(self, interests: Interests | None) -> None:
        pending, self._pending = self._pending, []
        if interests is None:
            read = await self._read()  # what changes from here on is in `_pending`
            made = await self._compile(read.interests.values(), lambda: Interests(read.version, read.interests))
            self._interests = made
            self._pending = [change for change in self._pending if change.after > made.version]
            return
        matches = [match for change in pending for match in change.matches.values()]
        if not await self._compile(matches, lambda: all(interests.follow(change) for change in pending)):
            self.forget()
        elif interests.mostly_unused:
            self._interests = await self._compile(interests.matches.values(), interests.anew)

    async def _compile(self, matches: Collection[Match | None], work: Callable[[], T]) -> T:
        """Here if it is sure to be little, as one ordinary interest is, and else in a thread."""
        little = len(matches) <= _FEW and sum(map(costs_to_compile, matches)) <= COMPILE_AT_ONCE
        return work() if little else await self.in_thread(work)
