"""The names of what is streamed."""

EVENTS = (
    "enqueued", "leased", "concluded", "failed", "released", "buried", "expired", "extended", "due", "retried", "promoted", "cancelled",
    "cancel_requested", "edited", "deleted", "forgotten", "admitted", "orphaned", "settled", "set_aside",
    "deadline_passed", "waits_for_budget", "refused", "gap",
)  # fmt: skip
"""What may happen to a job, as the stream of events names it."""
