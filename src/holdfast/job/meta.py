"""What a producer gives to a job beside its payload: names and values, such as a tenant. The trace that it belongs to is one of them."""

from holdfast.limits import META_BYTES
from holdfast.trace_context import is_traceparent

Meta = tuple[tuple[str, str], ...]
"""In the producer's order."""
NAME = "traceparent"
"""The name of the trace."""


def traceparent_in(meta: Meta) -> str | None:
    """The traceparent in the meta of a job; None if it has none, or something else of that name."""
    for name, value in meta:
        if name == NAME:
            return value if is_traceparent(value) else None
    return None


def with_traceparent(meta: Meta, traceparent: str) -> Meta:
    """The meta of a job with that of the request that enqueues it, if it has none of its own and there is room."""
    if any(name == NAME for name, _ in meta):
        return meta
    size = len(NAME) + len(traceparent) + sum(len(name.encode()) + len(value.encode()) for name, value in meta)
    return meta if size > META_BYTES else (*meta, (NAME, traceparent))


def inherited(own: Meta, parent: Meta) -> Meta:
    """The meta of a job that follows another: its own, or else that of the other; the trace goes on in any case."""
    if not own or not parent:
        return own or parent
    traceparent = traceparent_in(parent)
    return own if traceparent is None else with_traceparent(own, traceparent)
