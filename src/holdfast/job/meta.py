"""What a producer gives to a job beside its payload: names and values, such as a tenant. The trace that it belongs to is one of them, and the
schedule that made it.
"""

from holdfast.limits import META_BYTES
from holdfast.trace_context import is_traceparent

Meta = tuple[tuple[str, str], ...]
"""In the producer's order."""
NAME = "traceparent"
"""The name of the trace."""
SCHEDULE = "schedule"
"""The name of the schedule."""


def traceparent_in(meta: Meta) -> str | None:
    """The traceparent in the meta of a job; None if it has none, or something else of that name."""
    for name, value in meta:
        if name == NAME:
            return value if is_traceparent(value) else None
    return None


def with_traceparent(meta: Meta, traceparent: str) -> Meta:
    """The meta of a job with that of the request that enqueues it, if it has none of its own and there is room."""
    return _with(meta, NAME, traceparent)


def with_schedule(meta: Meta, schedule: str) -> Meta:
    """The meta of a job with the schedule that made it, if its producer has given no such name and there is room."""
    return _with(meta, SCHEDULE, schedule)


def _with(meta: Meta, own: str, text: str) -> Meta:
    if any(name == own for name, _ in meta):
        return meta
    size = len(own) + len(text) + sum(len(name.encode()) + len(value.encode()) for name, value in meta)
    return meta if size > META_BYTES else (*meta, (own, text))


def inherited(own: Meta, parent: Meta) -> Meta:
    """The meta of a job that follows another: its own, or else that of the other; the trace goes on in any case."""
    if not own or not parent:
        return own or parent
    traceparent = traceparent_in(parent)
    return own if traceparent is None else with_traceparent(own, traceparent)
