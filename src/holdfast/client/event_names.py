"""The names of what is streamed."""

EVENTS = (
    "enqueued", "leased", "concluded", "failed", "released", "buried", "expired", "extended", "due", "retried", "promoted", "cancelled",
    "cancel_requested", "edited", "deleted", "forgotten", "admitted", "orphaned", "settled", "set_aside",
    "deadline_passed", "waits_for_budget", "refused", "gap",
    "operation.started", "operation.waits", "operation.paused", "operation.resumed", "operation.changed", "operation.finished", "operation.cancelled",
    "batch.made", "batch.closed", "batch.cancelled", "batch.finished",
)  # fmt: skip
"""What may happen to a job, an operation or a batch, as the stream of events names it."""
