"""The jobs that a program holds without a `Worker`, as an adapter of another framework does: a thread extends their leases until they are ended,
and tells the server how.

Ending one does not wait for the server, as an acknowledgement in AMQP. What is said while a call is under way goes into the next one, many together. While no
server answers it is kept and said again: tokens outlive a restart of the server.
"""

import atexit
import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from holdfast import errors
from holdfast.client.outcomes import Entry, portion
from holdfast.client.raised import words, written
from holdfast.client.refusals import UnexpectedAnswer, Unreachable
from holdfast.client.sync.client import Client
from holdfast.client.types import Conclude, Extend, Fail, Job, Raised, Release

logger = logging.getLogger(__name__)

_AT_ONCE = 500  # leases that one call extends
_PAUSE_S = 1.0
_AT_EXIT_S = 2.0
NO_ANSWER: tuple[type[errors.HoldfastError], ...] = (
    Unreachable,
    UnexpectedAnswer,
    errors.Unavailable,
    errors.OutcomeUnknown,
    errors.RateLimited,
    errors.InternalError,
)
_LATER: tuple[type[errors.HoldfastError], ...] = (errors.StorageFull, errors.QueueFull, *NO_ANSWER)
_UNTOLD: tuple[type[Exception], ...] = (*_LATER, OSError)

_EVERY: "weakref.WeakSet[HeldLeases]" = weakref.WeakSet()


@atexit.register
def _tell_all() -> None:
    """A program that ends without closing what it has opened still tells what it has said."""
    for held in list(_EVERY):
        held.close(_AT_EXIT_S)


def tag_of(job: Job) -> str:
    """Names one attempt of a job, and is no secret as its token is."""
    return f"{job.id}.{job.attempt}"


class HeldLeases:
    """What is held, by its tag."""

    def __init__(self, client: Client, lease_ms: int) -> None:
        self.lease_ms = lease_ms
        self._client = client
        self._process = os.getpid()
        self._held: dict[str, str] = {}
        self._said: list[Entry] = []
        self._telling = False
        self._ended = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._extend_at = time.monotonic() + lease_ms / 3_000
        _EVERY.add(self)

    def hold(self, job: Job) -> str:
        """A job was leased; returns its tag."""
        assert job.lease is not None
        tag, token = tag_of(job), job.lease.token
        with self._changed:
            self._held[tag] = token
            self._ended = False  # it goes on after a close
            if self._thread is None:
                self._extend_at = time.monotonic() + self.lease_ms / 3_000
                self._begin()
        return tag

    def conclude(self, tag: str, result: Any = UNSET) -> None:
        """It is done."""
        if (token := self._take(tag)) is not None:
            self._say(Conclude(token=token, result=result))

    def release(self, tag: str) -> None:
        """It goes back to its queue, to its place in it."""
        if (token := self._take(tag)) is not None:
            self._say(Release(token=token))

    def give_back(self) -> None:
        """All that is held."""
        for tag in list(self._held):
            self.release(tag)

    def reject(self, tag: str, reason: str, error: Raised | UnsetType = UNSET) -> None:
        """It is dead: to be looked at, and to be retried by hand."""
        if (token := self._take(tag)) is not None:
            self._say(Fail(token=token, reason=written(reason), retry=False, error=error))

    def note(self, tag: str, progress: Any) -> None:
        """How far it has come."""
        if (token := self._held.get(tag)) is not None:
            self._say(Extend(token=token, progress=progress))

    def flush(self, timeout_s: float) -> bool:
        """Wait until the server knows all that was said."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None or not (self._said or self._telling), timeout_s)

    def close(self, timeout_s: float = 5.0) -> None:
        """Tell what is to be told, and extend nothing any more."""
        if self._process != os.getpid() or self._thread is None:
            return
        self.flush(timeout_s)
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _take(self, tag: str) -> str | None:
        return self._held.pop(tag, None) if self._process == os.getpid() else None  # a fork brings along what its parent holds

    def _say(self, said: Entry) -> None:
        with self._changed:
            self._said.append(said)
            self._changed.notify_all()
            if self._thread is None:  # the connection is closed
                self._begin()

    def _begin(self) -> None:
        self._thread = threading.Thread(target=self._run, name="holdfast-leases", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._telling = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._said or self._ended, max(0.0, self._extend_at - time.monotonic()))
                if self._ended and not self._said:
                    self._thread = None
                    return
                count = _in_order(self._said[: portion(self._said)])
                said, self._said = self._said[:count], self._said[count:]
                self._telling = bool(said)
            if said and (again := self._tell(said)):
                with self._changed:
                    self._said[:0] = again
                    self._changed.wait_for(lambda: self._ended, _PAUSE_S)
            if time.monotonic() >= self._extend_at:
                self._extend()

    def _tell(self, said: Sequence[Entry]) -> list[Entry]:
        """Returns those that are to be told again."""
        try:
            outcomes = self._client.batch(said)
        except _UNTOLD as error:
            logger.warning("No server takes the outcomes of %d jobs, they will be sent again: %s", len(said), error)
            return list(said)
        except Exception as error:  # noqa: BLE001  (one of them is to blame, such as one that can't be sent, and nothing was done)
            return self._refused(said[0], error) if len(said) == 1 else self._tell_each(said)
        again: list[Entry] = []
        for entry, outcome in zip(said, outcomes, strict=True):
            if isinstance(outcome, _LATER):
                logger.warning("The outcome of a job is not taken, it will be sent again: %s", outcome)
                again.append(entry)
            elif isinstance(outcome, errors.LeaseLost):
                if not isinstance(entry, Release | Extend):
                    logger.warning("A job was ended after its lease was, and may run again: %s", outcome)
            elif isinstance(outcome, errors.HoldfastError):
                again += self._refused(entry, outcome)
        return again

    def _tell_each(self, said: Sequence[Entry]) -> list[Entry]:
        for told, entry in enumerate(said):
            if again := self._tell([entry]):
                return [*again, *said[told + 1 :]]
        return []

    def _refused(self, entry: Entry, error: Exception) -> list[Entry]:
        """What was done is not done again because its result can't be kept, such as one that is too large."""
        logger.error("An outcome is refused: %s", error)
        if not isinstance(entry, Conclude):
            return []
        reason = written(f"The work was done, but the job could not be concluded: {words(error)}")
        return self._tell([Fail(token=entry.token, reason=reason, retry=False)])

    def _extend(self) -> None:
        self._extend_at = time.monotonic() + self.lease_ms / 3_000
        held = list(self._held.items())
        for begin in range(0, len(held), _AT_ONCE):
            part = held[begin : begin + _AT_ONCE]
            try:
                outcomes = self._client.batch([Extend(token=token, lease_ms=self.lease_ms) for _, token in part])
            except errors.HoldfastError as error:
                logger.warning("The leases of %d jobs could not be extended: %s", len(held), error)
                return
            for (tag, _), outcome in zip(part, outcomes, strict=True):
                if isinstance(outcome, errors.LeaseLost) and self._take(tag):
                    logger.warning("A job that is run here is not held any more: %s", outcome)


def _in_order(said: Sequence[Entry]) -> int:
    """How many of these, the first first, are about different jobs: progress in the same request as the end of its job would be lost."""
    tokens: set[str] = set()
    for count, entry in enumerate(said):
        if entry.token in tokens:
            return count
        tokens.add(entry.token)
    return len(said)
