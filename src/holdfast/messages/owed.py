"""Lease verbs that nobody waits for: of a holder that has gone, or that was never told.

Where the store is away they are submitted again: a job that nobody works on would else be held until its lease ends, and that counts as a
crash.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from holdfast.errors import LeaseLost, NotReplicated, OutcomeUnknown, StorageFull, StoreUnavailable
from holdfast.job.job import LeaseRef
from holdfast.limits import OWED_VERBS
from holdfast.messages.answers import Extended, Outcome
from holdfast.messages.commands import ReleaseLease, ShortenLease
from holdfast.messages.frame import Command, Refused

_AWAY = frozenset({StoreUnavailable.code, NotReplicated.code, StorageFull.code, OutcomeUnknown.code})
_PAUSE_S = 1.0  # before they are submitted again; twice as long each time
_PAUSE_MAX_S = 10.0

Verb = Command[Outcome] | Command[Extended]


class Owed:
    """What one process owes to the store."""

    def __init__(self, submit: Callable[[Any], "asyncio.Future[Any]"]) -> None:
        self._submit = submit
        self._later: list[tuple[Verb, int]] = []
        self._pause_s = _PAUSE_S

    def give_back(self, leases: Iterable[LeaseRef]) -> None:
        """Release these; the attempts do not count."""
        for ref in leases:
            self._owe(ReleaseLease(ref))

    def give_back_later(self, leases: Iterable[LeaseRef]) -> None:
        """The same for leases of a commit of unknown outcome. One that is not there is looked for once more: it may be kept just behind the first look."""
        for ref in leases:
            self._again(ReleaseLease(ref), 1)

    def give_back_unused(self, leases: Iterable[tuple[LeaseRef, int]]) -> None:
        """The same for leases, with when they end, that may not have reached their holder: those that it has extended are its own."""
        for ref, until in leases:
            self._owe(ReleaseLease(ref, until=until))

    def shorten(self, leases: Iterable[LeaseRef], least_ms: int) -> None:
        """Have these end sooner: their holder has vanished, and extends them if it comes back."""
        for ref in leases:
            self._owe(ShortenLease(ref, least_ms))

    def _owe(self, command: Verb, looks: int = 0) -> None:
        self._submit(command).add_done_callback(partial(self._answered, command, looks))

    def _answered(self, command: Verb, looks: int, future: "asyncio.Future[Any]") -> None:
        result = future.result()
        code = result.code if isinstance(result, Refused) else ""
        if code in _AWAY:
            self._again(command, looks)
            return
        self._pause_s = _PAUSE_S
        if looks and code == LeaseLost.code:
            self._again(command, looks - 1)

    def _again(self, command: Verb, looks: int) -> None:
        if len(self._later) >= OWED_VERBS:
            return  # their leases end by themselves
        if not self._later:
            asyncio.get_running_loop().call_later(self._pause_s, self._settle)
            self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)
        self._later.append((command, looks))

    def _settle(self) -> None:
        later, self._later = self._later, []
        for command, looks in later:
            self._owe(command, looks)
