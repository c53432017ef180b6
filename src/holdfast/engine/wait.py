"""Waiting: look, park if there is nothing, look again when there is news. All doors wait here, for jobs or for room in a full
queue.

    look ──something──▶ take ◀──a commit brought it some─┐
     ▲ └──nothing──▶ park ──the time is up, or the server drains──▶ time_up
     └─────news───────┘

Who is parked for jobs awaits them where the store is as well (`committer/awaiting.py`): the commit that makes a job ready leases it, too. News
is for those whom that passes over: other queues, other nodes, more jobs than were waited for. Whoever is woken by news first ends
its awaiting, since a commit in progress may just grant it something.

News must reach a caller that can use it. A caller that was woken but leaves, is refused, is quiet or got a job elsewhere passes
the news on, so no job stays ready while a caller waits that may have it. If the caller has disconnected, the jobs that its look
got are released.

No look needs a task or a coroutine of its own: answers and news arrive as callbacks.
"""

import asyncio
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Generic

from msgspec.structs import replace

from holdfast.auth.caller import CALLER
from holdfast.auth.keys import Ability
from holdfast.engine.access import caller_here
from holdfast.engine.pipeline import Pipeline
from holdfast.engine.submitter import error_of
from holdfast.engine.waiters import Patience, Waiter, Waiters
from holdfast.errors import HoldfastError, QueueFull
from holdfast.job.by_type import TypeNames
from holdfast.messages.answers import Granted
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import A, Answer, Command, Refused

_FEW_IN_FLIGHT = 4
"""Commands of a front beside which it is worth to await jobs where the store is: among many the keeper's batches are large, and grant nothing."""


class Wait(ABC, Generic[A]):
    """One waiting caller. It has one look in progress at a time."""

    __slots__ = (
        "_awaited",
        "_caller",
        "_is_first",
        "_mark",
        "_names",
        "_patience",
        "_pipeline",
        "_request",
        "_types",
        "_waiter",
        "_waiters",
        "_weight",
        "_woken",
        "left",
    )

    def __init__(self, pipeline: Pipeline, waiters: Waiters, names: tuple[str, ...], weight: int = 0) -> None:
        """Wait for news of these queues; `weight` is the memory that it holds, in bytes, while it waits."""
        self._pipeline = pipeline
        self._waiters = waiters
        self._names = names
        self._weight = weight
        self._request: str | None = None
        self._types: TypeNames | None = None  # the only ones that it can use
        self._patience: Patience | None = None
        self._waiter: Waiter | None = None
        self._is_first = False
        self._woken: str | None = None
        self._awaited: asyncio.Future[Granted | Refused] | None = None
        self._caller = caller_here(pipeline.keyring)  # news wakes us in another caller's context
        self.left = False

    @abstractmethod
    def wanted(self) -> Command[A] | None:
        """The command to look with now; None: nothing to look for."""

    @abstractmethod
    def take(self, result: A | Refused) -> float | None:
        """Take what the look found, perhaps nothing; returns how many seconds to wait for news, None: not at all."""

    @abstractmethod
    def time_up(self) -> None:
        """There was no news in that time, or waiting longer has no use."""

    def look(self) -> None:
        """Submit the look."""
        command = self.wanted()
        if command is None:
            self._pass_on()
            return
        self._mark = self._waiters.mark(self._names, self._types)
        if self._pipeline.keyring.in_force:
            CALLER.set(self._caller)  # None if it parked before there was a key
        try:
            future = self._pipeline.submit(command, self._weight)
        except HoldfastError as error:
            self._looked(Refused(error.code, error.detail, error.fields))
        else:
            future.add_done_callback(self._came)

    def leave(self) -> None:
        """The caller has left."""
        self.left = True
        if self._awaited is not None:
            self._pipeline.await_no_more(self._awaited)
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._unpark()
            self._waiters.leave(waiter)
        self._pass_on()

    def undeliverable(self, result: Answer) -> None:
        """The answer can't be delivered. What the caller's key may not have any more can't be asked for again either."""
        if isinstance(result, Granted):
            refs = result.returnable() if self._may_have(result) else [one.job.ref() for one in result.jobs]
            self._pipeline.give_back(refs)

    def _came(self, future: "asyncio.Future[A | Refused]") -> None:
        self._pipeline.release_quota(self._weight)
        self._looked(future.result())

    def _looked(self, result: A | Refused) -> None:
        woken, self._woken = self._woken, None
        if woken is not None and not _uses(result, woken):
            self._waiters.notify(woken, 1)
        if self._is_first:
            self._is_first = False
            if woken is not None and self._types is not None and isinstance(result, Granted) and result.jobs:
                self._waiters.look_next(woken, self._types)
        if self.left:
            self.undeliverable(result)
            return
        seconds = self.take(result)
        if seconds is not None and not self.left:
            if isinstance(result, Granted) and result.types is not None and self._types != frozenset(result.types):
                self._types, self._mark = (
                    frozenset(result.types),
                    -1,
                )  # as its worker is registered: news of others is not for it
            self._park(seconds, isinstance(result, Granted) and result.quiet)

    def _park(self, seconds: float, quiet: bool) -> None:
        names, mark = ((), 0) if quiet else (self._names, self._mark)  # a quiet worker gets no jobs, so news is not for it
        try:
            if self._weight:
                self._pipeline.budget.park(self._weight)
            try:
                self._waiter = self._waiters.enter(names, mark, seconds, self._told, self._request, self._patience, self._types)
            except HoldfastError:
                self._unpark()
                raise
        except HoldfastError as error:
            self.take(Refused(error.code, error.detail, error.fields))
        else:
            if self._waiter is not None and names and self._pipeline.in_flight <= _FEW_IN_FLIGHT:
                self._await_jobs()

    def _await_jobs(self) -> None:
        wanted = self.wanted()
        if isinstance(wanted, LeaseJobs):
            command = wanted if self._types is None else replace(wanted, types=tuple(self._types))
            with suppress(HoldfastError):  # it will be refused when it looks again
                self._awaited = self._pipeline.await_jobs(command)
                self._awaited.add_done_callback(self._brought)

    def _brought(self, future: "asyncio.Future[Granted | Refused]") -> None:
        """A commit has brought something, or it was the end of awaiting."""
        self._awaited = None
        result = future.result()
        if isinstance(result, Granted) and not result.jobs and not result.quiet:
            if self._waiter is None and not self.left:
                self._go_on()
            return
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            self._waiters.leave(waiter)
        self._pass_on()  # what was brought is not what it was woken for
        if self._request is not None:
            self._waiters.look_again(self._request)  # who has taken the caller's place is to get the same
        if isinstance(result, Granted) and result.jobs and not self.left and not self._may_have(result):
            self.undeliverable(result)
            self.look()  # which is refused with the reason
            return
        self._looked(result)  # type: ignore[arg-type]  # only a wait for `Granted` awaits jobs

    def _may_have(self, granted: Granted) -> bool:
        """Whether the caller's key still allows what was leased by what it allowed when the caller was parked."""
        caller = self._caller
        if caller is None:
            return not self._pipeline.keyring.in_force
        return (
            not caller.ended and Ability.CONSUME in caller.abilities and all(caller.sees(one.job.queue) for one in granted.jobs)
        )

    def _told(self, woken: str | None) -> None:
        self._is_first = self._waiter is not None and self._waiter.is_first
        self._waiter = None
        if self._weight:
            self._unpark()
        self._woken = woken
        if self._awaited is not None:
            self._pipeline.await_no_more(self._awaited)
        else:
            self._go_on()

    def _go_on(self) -> None:
        if self._woken is None:
            self.time_up()
        else:
            self.look()

    def _unpark(self) -> None:
        if self._weight:
            self._pipeline.budget.unpark(self._weight)

    def _pass_on(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None:
            self._waiters.notify(woken, 1)


class Call(Wait[A]):
    """A wait for a coroutine: until something is found, it is refused for another reason, or its time is up."""

    __slots__ = ("_answer", "_command", "_deadline", "_nothing")

    async def answer(
        self, command: Command[A], wait_ms: int, request: str | None = None, patience: Patience | None = None
    ) -> A:
        """Look and wait; when the time is up, returns what the last look found. A caller that leaves gets nothing."""
        loop = asyncio.get_running_loop()
        self._command = command
        if isinstance(command, LeaseJobs) and command.types is not None:
            self._types = frozenset(command.types)
        self._deadline = loop.time() + wait_ms / 1000
        self._answer: asyncio.Future[A | Refused] = loop.create_future()
        self._request = request
        self._patience = patience
        caller = self._caller
        if caller is not None:
            caller.opened(self, self._end_access)
        try:
            self.look()
            result = await self._answer
        except asyncio.CancelledError:
            self.leave()
            if not self._answer.cancelled():  # it left just as the answer came
                self.undeliverable(self._answer.result())
            raise
        finally:
            if caller is not None:
                caller.closed(self)
        if isinstance(result, Refused):
            raise error_of(result)
        return result

    def _end_access(self, error: HoldfastError) -> None:
        """The key of the waiting caller was revoked or has expired."""
        if not self._answer.done():
            self.leave()
            self._answer.set_result(Refused(error.code, error.detail, error.fields))

    def wanted(self) -> Command[A] | None:
        """The same command each time, while the caller waits."""
        return None if self._answer.done() else self._command

    def take(self, result: A | Refused) -> float | None:
        """Return the answer, or wait."""
        if self._answer.done():
            self.undeliverable(result)
            return None
        if not result.jobs if isinstance(result, Granted) else _is_full(result):
            self._nothing = result
            return self._deadline - asyncio.get_running_loop().time()
        self._answer.set_result(result)
        return None

    def time_up(self) -> None:
        """Return that there was nothing."""
        if not self._answer.done():
            self._answer.set_result(self._nothing)


def _uses(result: Answer, woken: str) -> bool:
    """Whether the look that found this has used up the news of its queue. A commit may have made room for many callers."""
    if isinstance(result, Granted):
        return not result.quiet and (not result.jobs or any(granted.job.queue == woken for granted in result.jobs))
    return _is_full(result)


def _is_full(result: Answer) -> bool:
    return isinstance(result, Refused) and result.code == QueueFull.code
