"""What a handler may raise to say how its attempt ended, and how an exception is told to the server."""

import traceback
from types import TracebackType

from msgspec import UNSET

from holdfast.client.types import Fail, Release
from holdfast.limits import REASON_CHARS

_OURS = "holdfast.client.worker"
_CUT = "… the beginning is cut\n"


class DoNotRetry(Exception):  # it says what is to be done
    """Another try is pointless: the job is dead at once, with this as its reason."""


class Failed(Exception):
    """The attempt failed, for this reason: it is told as it is, without a traceback."""


class RetryIn(Exception):
    """The attempt failed, and the next try is to come after `delay_ms`, whatever the retry policy says."""

    def __init__(self, delay_ms: int, reason: str = "") -> None:
        super().__init__(reason)
        self.delay_ms = delay_ms


class GiveBack(Exception):
    """Not now, not here: the job goes back to its queue, after `delay_ms`, and no try is spent."""

    def __init__(self, delay_ms: int = 0) -> None:
        super().__init__(f"given back for {delay_ms} ms")
        self.delay_ms = delay_ms


def told(error: BaseException, token: str) -> Fail | Release:
    """An exception of a handler, as the verb that ends the lease."""
    if isinstance(error, GiveBack):
        return Release(token=token, delay_ms=error.delay_ms)
    if isinstance(error, DoNotRetry):
        return Fail(token=token, reason=cut(str(error) or "DoNotRetry"), retry=False)
    delay_ms = error.delay_ms if isinstance(error, RetryIn) else UNSET
    reason = str(error) if isinstance(error, RetryIn | Failed) else ""
    return Fail(token=token, reason=cut(reason or story(error)), delay_ms=delay_ms)


def story(error: BaseException) -> str:
    """The error with its traceback, from the handler on."""
    return "".join(traceback.format_exception(type(error), error, trace(error))).rstrip()


def trace(error: BaseException) -> TracebackType | None:
    """The traceback of an error, from the handler on."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        found = found.tb_next
    return found


def cut(reason: str) -> str:
    """The reason within its bound. Of a traceback that is too long, the end says more than the beginning."""
    return reason if len(reason) <= REASON_CHARS else _CUT + reason[-(REASON_CHARS - len(_CUT)) :]
