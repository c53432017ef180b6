"""The fields of a job as it is shown, each with what the OpenAPI document says of it."""

from typing import Annotated

from msgspec import Meta, Raw

from holdfast import limits
from holdfast.doors.rest.types import ChargeIn, bounds

HandlerType = Annotated[str, Meta(description="Names the handler that runs it; may be empty.")]
StateName = Annotated[str, Meta(description="scheduled, ready, leased, concluded, dead or cancelled.")]
Attempt = Annotated[int, Meta(description="Leases granted so far; never shrinks.")]
Failures = Annotated[int, Meta(description="Attempts that a worker reported as failed.")]
Crashes = Annotated[int, Meta(description="Leases that expired, and attempts whose process was killed.")]
EnqueuedAt = Annotated[str, bounds("When it was enqueued.", format="date-time")]
ReadyAt = Annotated[str, bounds("From when it may run.", format="date-time")]
Base64 = Annotated[str, Meta(description="A payload that is not JSON.")]
ContentType = Annotated[str, Meta(description="The type of a payload that is not JSON.")]
Hidden = Annotated[bool, Meta(description="True where the access key sees no payloads: what they say was left out.")]
PayloadBytes = Annotated[int, Meta(description="The size of the payload.")]
LeasedAt = Annotated[str, bounds("When its last lease began; not shown while it waits.", format="date-time")]
EndedAt = Annotated[str, bounds("When it ended.", format="date-time")]
EndReason = Annotated[str, Meta(description="Why it ended, such as attempts_exhausted.")]
Holder = Annotated[str, Meta(description="Who holds it, or who concluded it.")]
LeaseLeft = Annotated[int, Meta(description="How long its lease lives, in milliseconds; shown to others than its holder.")]
CancelRequested = Annotated[bool, Meta(description="Its holder is asked to stop.")]
UniqueKey = Annotated[str, Meta(description="No other job of its queue holds this key.")]
GroupKey = Annotated[str, Meta(description="The group to which it belongs.")]
GroupLimit = Annotated[int, Meta(description="How many of its group run at once, itself included.")]
OnlyWorker = Annotated[str, Meta(description="The one worker that may take it: its copy of an event for all.")]
Follows = Annotated[int, bounds("The job whose conclude enqueued it.", minimum=1, maximum=limits.ID_MAX)]
Budgets = Annotated[list[ChargeIn], Meta(description="The budgets that it names, and what it costs them.")]
Progress = Annotated[Raw, Meta(description="What its worker reported last; the next attempt gets it.")]
Result = Annotated[Raw, Meta(description="The result that its worker gave.")]
Named = Annotated[
    dict[str, str], Meta(description="Names and values that its producer gave it, and the traceparent of its trace.")
]
