"""Exceptions by which a handler says how its attempt ended, and how other exceptions are reported to the server."""

import math
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from holdfast import error_text
from holdfast.client.budgets import Block
from holdfast.client.contents import encode
from holdfast.client.raised import raised, words, written
from holdfast.client.types import Fail, Release
from holdfast.limits import BUDGET_BLOCK_MS_MAX, DELAY_MS_MAX, REASON_CHARS

DONE = "The work was done, but "
_CUT = "… the beginning is cut\n"


class DoNotRetry(Exception):  # the name says what to do
    """Another try is pointless: the job is dead at once, with this as its reason."""


class Failed(Exception):
    """The attempt failed, for this reason: reported as it is, without a traceback."""


class RetryIn(Exception):
    """The attempt failed, and is retried after `delay_ms`, whatever the retry policy says."""

    def __init__(self, delay_ms: int, reason: str = "") -> None:
        super().__init__(reason)
        self.delay_ms = delay_ms


class GiveBack(Exception):
    """Not now, not here: the job returns to its queue, after `delay_ms`, and no attempt is counted."""

    def __init__(self, delay_ms: int = 0) -> None:
        super().__init__(f"given back for {delay_ms} ms")
        self.delay_ms = delay_ms


class BackOff(Exception):
    """The other side asks for a pause, such as by a 429: the job returns to its queue, no attempt is counted, and nothing that names this budget of
    the job (with its key) starts before `for_ms` have passed.
    """

    def __init__(self, budget: str, for_ms: int, key: str | None = None) -> None:
        super().__init__(f"{budget} is blocked for {for_ms} ms")
        self.budget = budget
        self.for_ms = for_ms
        self.key = key


def told(error: BaseException, token: str) -> Fail | Release:
    """An exception of a handler, as the verb that ends the lease. Never raises, and returns what the server accepts, whatever
    the exception is.
    """
    try:
        return _told(error, token)
    except BaseException as worse:  # noqa: BLE001  (an exception of somebody else's class may do anything)
        reason = f"{type(error).__name__}, whose text can't be read: {type(worse).__name__}"
        return Fail(token=token, reason=cut(reason))


def _told(error: BaseException, token: str) -> Fail | Release:
    if isinstance(error, GiveBack):
        return Release(token=token, delay_ms=_delay(error.delay_ms) or 0)
    if isinstance(error, BackOff):
        for_ms = min(_delay(error.for_ms) or 1, BUDGET_BLOCK_MS_MAX)
        return Release(token=token, block=Block(error.budget, for_ms, UNSET if error.key is None else error.key))
    if isinstance(error, DoNotRetry):
        return Fail(token=token, reason=cut(words(error) or "DoNotRetry"), retry=False)
    reason = words(error) if isinstance(error, RetryIn | Failed) else ""
    if not isinstance(error, RetryIn):
        return _raised(Fail(token=token), error, reason)
    delay_ms = _delay(error.delay_ms)
    if delay_ms is UNSET:
        reason = f"{reason or 'RetryIn'} (its delay_ms is {error.delay_ms!r}, no number: tried again as the retry policy says)"
    return _raised(Fail(token=token, delay_ms=delay_ms), error, reason)


def _raised(entry: Fail, error: BaseException, reason: str) -> Fail:
    """The failure with its reason; where the handler gave none, with what it raised."""
    if reason:
        entry.reason = cut(reason)
    else:
        entry.error = raised(error)
    return entry


def kept(result: Any, follow_ups: Sequence[Any]) -> tuple[bytes, list[Any]]:
    """What a handler has returned and what follows it, as JSON. Raises `DoNotRetry`: the work was done, and would be done again for the same."""
    about = "its result"
    try:
        encoded = encode(result)
        about = "what follows it"
        return encoded, [Raw(encode(job)) for job in follow_ups]
    except Exception as error:  # whatever iterates or converts itself may raise anything
        raise DoNotRetry(f"{DONE}{about} can't be kept: {words(error)}") from error


def as_reason(entry: Fail) -> Fail:
    """The same failure for a server that takes no `error`: the traceback is its reason, as far as that reaches."""
    told = entry.error
    if isinstance(told, UnsetType):
        return entry
    return replace(
        entry, reason=entry.reason or cut(told.traceback or error_text.sentence(told.kind, told.message)), error=UNSET
    )


def _delay(given: Any) -> int | UnsetType:
    """A delay as the server accepts it: whole milliseconds within their bounds; UNSET if it is not a number."""
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        return UNSET
    return UNSET if math.isnan(number) else math.ceil(min(max(number, 0), DELAY_MS_MAX))


def cut(reason: str) -> str:
    """The reason within its bound, as valid UTF-8. Of a traceback that is too long, the end is kept."""
    reason = written(reason)
    return reason if len(reason) <= REASON_CHARS else _CUT + reason[-(REASON_CHARS - len(_CUT)) :]
