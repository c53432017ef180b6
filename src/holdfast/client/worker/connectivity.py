"""What a worker writes in its log, `holdfast.worker`.

    DEBUG     an attempt begins
    INFO      a job is done; it is given back; a server answers again; the worker begins, winds down and ends
    WARNING   an attempt failed, with its traceback; a lease was lost; no server answers
    ERROR     a job is dead; what a job came to is refused by the server

A line about a job has `job_id`, `queue`, `job_type` and `attempt` as attributes of its record, for logs in JSON.
"""

import contextlib
import logging
import threading
import time

from holdfast.client.raised import trace, words
from holdfast.client.types import Conclude, Fail, Release
from holdfast.client.worker.held_job import HeldJob
from holdfast.client.worker.outcomes import DoNotRetry, Failed, RetryIn, as_reason, cut
from holdfast.errors import HoldfastError

log = logging.getLogger("holdfast.worker")
_SAID = (DoNotRetry, Failed, RetryIn)  # raised to say a reason: where from does not matter
_BUSY = frozenset({"overloaded", "rate_limited"})  # an answer, if not the one that was wanted


def about(level: int, held: HeldJob, words: str, *values: object, error: BaseException | None = None) -> None:
    """One line about a job; with an error, also the error's traceback from the handler on."""
    if not log.isEnabledFor(level):
        return
    line = f"job %d (%s), attempt %d: {words}"
    where = f"{held.queue}, {held.type}" if held.type else held.queue
    fields = {"job_id": held.id, "queue": held.queue, "job_type": held.type, "attempt": held.attempt}
    raised = (type(error), error, trace(error)) if error is not None else None
    with contextlib.suppress(Exception):  # a handler or a filter of the log that raises must not cost the outcome of a job
        log.log(level, line, held.id, where, held.attempt, *values, exc_info=raised, extra=fields)


def attempt_over(
    held: HeldJob, verdict: Conclude | Fail | Release, error: BaseException | None = None, seconds: float = 0
) -> None:
    """The outcome of an attempt, before it is sent to the server."""
    if isinstance(verdict, Conclude):
        about(logging.INFO, held, "done in %.3f s", seconds)
    elif isinstance(verdict, Release):
        about(logging.INFO, held, "released, ready again after %d ms", verdict.delay_ms)
    elif error is None or isinstance(error, _SAID):
        about(logging.WARNING, held, "failed: %s", as_reason(verdict).reason)
    else:
        about(logging.WARNING, held, "failed: %s: %s", type(error).__name__, cut(words(error)), error=error)


class Reach:
    """Whether a server answers: logs one line when none does any more, one when one does again, over all calls.

    May be called from any thread. One call that fails and succeeds at its second try is not logged: proxies and nodes come and
    go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed = 0
        self._since = 0.0
        self.lost = False

    def answered(self) -> None:
        """A server has answered."""
        with self._lock:
            lost, self.lost, self._failed = self.lost, False, 0
        if lost:
            log.info("a server answers again, after %.1f s", time.monotonic() - self._since)

    def failed(self, error: HoldfastError, why: str) -> None:
        """A try has failed."""
        if error.code in _BUSY:
            return
        with self._lock:
            self._failed += 1
            if self._failed == 1:
                self._since = time.monotonic()
            told, self.lost = self.lost, self._failed > 1
        if self.lost and not told:
            log.warning("no server answers, retrying until one does: %s", why)

    def hindered(self, words: str, error: HoldfastError) -> None:
        """Something could not be done and is tried again; no news while no server answers."""
        log.log(logging.DEBUG if self.lost else logging.WARNING, "%s, trying again: %s", words, error)
