"""The program's traces, where it uses OpenTelemetry: calls tell the current one to the server, and a handler runs in that of its job.

A program that does not has not imported it, so that this costs one look.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from holdfast import messaging_attributes as names
from holdfast.client.types import Job

_API = "opentelemetry.trace"
_is_traceparent = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z").match


def traceparent_line() -> str:
    """The current trace as a header; nothing without one."""
    trace: Any = sys.modules.get(_API)
    if trace is None:
        return ""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return ""
    return f"traceparent: 00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}\r\n"


@contextmanager
def processing(job: Job) -> Iterator[Any]:
    """The span of a handler, current within: a child of what enqueued the job, or of its lease. None without a trace."""
    trace: Any = sys.modules.get(_API)
    given = job.meta.get("traceparent", "") if trace is not None else ""
    if trace is None or not _is_traceparent(given):
        yield None
        return
    parent = trace.SpanContext(int(given[3:35], 16), int(given[36:52], 16), True, trace.TraceFlags(int(given[53:], 16)))
    attributes = {
        names.SYSTEM: names.HOLDFAST,
        names.OPERATION_TYPE: "process",
        names.DESTINATION: job.queue,
        names.MESSAGE_ID: str(job.id),
        names.JOB_TYPE: job.type,
        names.JOB_ATTEMPT: job.attempt,
    }
    context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
    with trace.get_tracer("holdfast").start_as_current_span(
        f"process {job.queue}", context, trace.SpanKind.CONSUMER, attributes
    ) as span:
        yield span


def failed(span: Any, reason: str) -> None:
    """The attempt that this span is about went wrong."""
    if span is not None:
        span.set_status(sys.modules[_API].Status(sys.modules[_API].StatusCode.ERROR, reason))
