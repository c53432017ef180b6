"""Sentry for tasks, `holdfast-queue[sentry]`: `tasks.use(Sentry())` beside `sentry_sdk.init(…)`.

A transaction for each attempt, which goes on with the trace of the enqueue, and an event for each that fails, with the job in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.utils import event_from_exception

from holdfast import messaging_attributes as names
from holdfast.client.types import NewJob
from holdfast.client.worker import DoNotRetry, HeldJob, RetryIn
from holdfast.tasks.middleware import is_failure, with_room

_ORIGIN = "auto.queue.holdfast"
_HEADERS = ("sentry-trace", "baggage")
_SENDING: ContextVar[bool] = ContextVar("sending", default=False)


class Sentry:
    """Middleware that reports failed attempts, but for `RetryAfter`. Not `every_attempt`: only those after which the job is dead."""

    def __init__(self, *, every_attempt: bool = True) -> None:
        self._every = every_attempt
        ignore_logger("holdfast.worker")  # which says the same

    @contextmanager
    def around_enqueue(self, job: NewJob) -> Iterator[None]:
        """A span of the request that enqueues; the job keeps the trace."""
        if _SENDING.get():  # together with others
            self._keep_trace(job)
            yield
            return
        sending = _SENDING.set(True)
        try:
            with sentry_sdk.start_span(op="queue.publish", name=job.queue, origin=_ORIGIN) as span:
                span.set_data(names.SYSTEM, names.HOLDFAST)
                span.set_data(names.DESTINATION, job.queue)
                self._keep_trace(job)
                yield
        finally:
            _SENDING.reset(sending)

    @contextmanager
    def around_attempt(self, job: HeldJob) -> Iterator[None]:
        """A transaction, and an event if it fails."""
        sending = _SENDING.set(False)
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            scope.set_tag("queue", job.queue)
            scope.set_context("holdfast", {"job": job.id, "queue": job.queue, "type": job.type, "attempt": job.attempt})
            headers = {name: job.job.meta[name] for name in _HEADERS if name in job.job.meta}
            transaction = sentry_sdk.continue_trace(
                headers, op="queue.process", name=job.type or job.queue, source="task", origin=_ORIGIN
            )
            try:
                with sentry_sdk.start_transaction(transaction, custom_sampling_context={"holdfast_job": job}):
                    transaction.set_data(names.SYSTEM, names.HOLDFAST)
                    transaction.set_data(names.DESTINATION, job.queue)
                    transaction.set_data(names.MESSAGE_ID, str(job.id))
                    transaction.set_data("messaging.message.retry.count", job.attempt - 1)
                    yield
                    transaction.set_status("ok")
            except Exception as error:
                if self._is_reported(job, error):
                    _report(error)
                raise
            finally:
                _SENDING.reset(sending)

    def _is_reported(self, job: HeldJob, error: Exception) -> bool:
        if not is_failure(error):
            return False
        dead = isinstance(error, DoNotRetry) or job.job.failures + job.job.crashes + 1 >= job.job.max_attempts
        return dead or (self._every and not isinstance(error, RetryIn))

    @staticmethod
    def _keep_trace(job: NewJob) -> None:
        given = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
        job.meta = with_room(job.meta or {}, {name: value for name, value in given.items() if value})


def _report(error: Exception) -> None:
    event, hint = event_from_exception(
        error, client_options=sentry_sdk.get_client().options, mechanism={"type": "holdfast", "handled": False}
    )
    sentry_sdk.capture_event(event, hint=hint)
