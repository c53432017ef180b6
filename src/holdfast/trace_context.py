"""The trace that a request or a job belongs to, as W3C Trace Context writes it: `00-TRACE-SPAN-FLAGS`.

A job keeps the `traceparent` that it was enqueued with in its `meta`, and who leases it gets it, whether or not this server records spans itself.
What records them is set here if that is wanted (`telemetry.py`); nothing else of a server knows OpenTelemetry.
"""

import re
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

HEADER = b"traceparent"
_is_traceparent = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z").match


class Span(Protocol):
    """A span that is recorded: of OpenTelemetry, as far as it is used here."""

    def get_span_context(self) -> Any:
        """Its ids."""
        ...

    def is_recording(self) -> bool:
        """Whether it has not ended."""
        ...


SPAN: ContextVar[Span | None] = ContextVar("span", default=None)
"""The span of the request whose code runs just now."""

leased: Callable[[Any, str], str] | None = None
"""Records the lease of a job with such a traceparent, and returns what its worker gets in its place."""


def traceparent_of(headers: dict[bytes, bytes]) -> str | None:
    """The traceparent of a request; None if it has none, or one that is invalid, which is ignored as the standard wants it."""
    given = headers.get(HEADER)
    return given.decode() if given is not None and _is_traceparent(given) else None


def is_traceparent(text: str) -> bool:
    """Whether this is one, and valid."""
    return _is_traceparent(text.encode()) is not None


def trace_id() -> str | None:
    """The id of the trace of the request whose code runs just now, if it is recorded."""
    span = SPAN.get()
    return None if span is None else f"{span.get_span_context().trace_id:032x}"
