"""OpenTelemetry for tasks, `holdfast-queue[otel]`: `tasks.use(OpenTelemetry())`.

A span `send QUEUE` for each job that is enqueued, which the job keeps as its `traceparent`; for each attempt a span `process QUEUE` in a trace of its own,
linked to that; and counts and durations of both.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from holdfast import __version__
from holdfast import messaging_attributes as names
from holdfast.client.types import NewJob
from holdfast.client.worker import HeldJob
from holdfast.tasks.middleware import is_failure, kind_of, with_room

_PROPAGATOR = TraceContextTextMapPropagator()
_SENDING: ContextVar[Context | None] = ContextVar("sending", default=None)  # that in which jobs are enqueued just now


class OpenTelemetry:
    """Middleware that records spans and metrics, by the providers of the program or these. With it, a worker makes no span of its own around handlers."""

    makes_spans = True

    def __init__(
        self, tracer_provider: trace.TracerProvider | None = None, meter_provider: metrics.MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer("holdfast.tasks", __version__, tracer_provider)
        meter = metrics.get_meter("holdfast.tasks", __version__, meter_provider)
        boundaries = list(names.BOUNDARIES)
        self._sent = meter.create_counter(names.SENT, "{message}", "Jobs that were to be enqueued.")
        self._consumed = meter.create_counter(names.CONSUMED, "{message}", "Attempts that have begun.")
        self._sending = meter.create_histogram(
            names.OPERATION_DURATION, "s", "Duration of enqueuing.", explicit_bucket_boundaries_advisory=boundaries
        )
        self._processing = meter.create_histogram(
            names.PROCESS_DURATION, "s", "Duration of attempts.", explicit_bucket_boundaries_advisory=boundaries
        )

    @contextmanager
    def around_enqueue(self, job: NewJob) -> Iterator[None]:
        """The span of a producer. Of jobs that are enqueued together, the first is that of the request."""
        outer = _SENDING.get()
        within = context.get_current() if outer is None else outer
        about = self._about("send", job.queue, str(job.type or ""))
        span = self._tracer.start_span(f"send {job.queue}", within, trace.SpanKind.PRODUCER, about)
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span, within))
        job.meta = with_room(job.meta or {}, carrier)
        sending = _SENDING.set(within)
        current = context.attach(trace.set_span_in_context(span, within)) if outer is None else None
        began = time.perf_counter()
        failed: dict[str, str] = {}
        try:
            yield
        except BaseException as error:
            failed = _failed(span, error)
            raise
        finally:
            if current is not None:
                context.detach(current)
                self._sending.record(time.perf_counter() - began, self._measured(about, failed))
            _SENDING.reset(sending)
            span.end()
            self._sent.add(1, self._measured(about, failed))

    @contextmanager
    def around_attempt(self, job: HeldJob) -> Iterator[None]:
        """The span of a consumer, in a trace of its own, linked to the producer's."""
        about = self._about("process", job.queue, job.type)
        producer = trace.get_current_span(_PROPAGATOR.extract(job.job.meta, Context())).get_span_context()
        span = self._tracer.start_span(
            f"process {job.queue}",
            Context(),
            trace.SpanKind.CONSUMER,
            about | {names.MESSAGE_ID: str(job.id), names.JOB_ATTEMPT: job.attempt},
            [trace.Link(producer)] if producer.is_valid else [],
        )
        sending = _SENDING.set(None)
        current = context.attach(trace.set_span_in_context(span))
        began = time.perf_counter()
        failed: dict[str, str] = {}
        try:
            yield
        except BaseException as error:
            if is_failure(error):
                failed = _failed(span, error)
            raise
        finally:
            context.detach(current)
            _SENDING.reset(sending)
            span.end()
            self._consumed.add(1, self._measured(about, failed))
            self._processing.record(time.perf_counter() - began, self._measured(about, failed))

    @staticmethod
    def _about(operation: str, queue: str, type: str) -> dict[str, Any]:
        return {
            names.SYSTEM: names.HOLDFAST,
            names.OPERATION_NAME: operation,
            names.OPERATION_TYPE: operation,
            names.DESTINATION: queue,
            names.JOB_TYPE: type,
        }

    @staticmethod
    def _measured(about: dict[str, Any], failed: dict[str, str]) -> dict[str, Any]:
        return {name: value for name, value in about.items() if name != names.OPERATION_TYPE} | failed


def _failed(span: trace.Span, error: BaseException) -> dict[str, str]:
    kind = kind_of(error)
    span.record_exception(error)
    span.set_status(trace.Status(trace.StatusCode.ERROR, str(error)))
    span.set_attribute(names.ERROR_TYPE, kind)
    return {names.ERROR_TYPE: kind}
