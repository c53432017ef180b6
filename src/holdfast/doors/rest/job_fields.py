"""The fields of a job as it is shown, each with what the OpenAPI document says of it."""

from typing import Annotated

import msgspec
from msgspec import Meta, Raw

from holdfast import limits
from holdfast.doors.rest.bounds import bounds
from holdfast.doors.rest.budget_types import ChargeIn
from holdfast.doors.rest.types import Id

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
ExpiresAt = Annotated[str, bounds("Its deadline: it ends if it still waits then.", format="date-time")]
Follows = Annotated[int, bounds("The job whose conclude enqueued it.", minimum=1, maximum=limits.ID_MAX)]
Budgets = Annotated[list[ChargeIn], Meta(description="The budgets that it names, and what it costs them.")]
FairKey = Annotated[str, Meta(description="Whose job it is, in a queue with fair shares.")]
FairCost = Annotated[int, Meta(description="What it counts for in the share of its fair key.")]
Progress = Annotated[Raw, Meta(description="What its worker reported last; the next attempt gets it.")]
Result = Annotated[Raw, Meta(description="The result that its worker gave.")]
Named = Annotated[
    dict[str, str], Meta(description="Names and values that its producer gave it, and the traceparent of its trace.")
]
Batch = Annotated[int, bounds("The batch of which it is a member.", minimum=1, maximum=limits.ID_MAX)]


class ClosesOut(msgspec.Struct, kw_only=True, gc=False):
    """The batch that a job closes, with its counts as they were when the job was enqueued. `on`: on_success, on_finish or on_failure."""

    batch: Id
    on: str
    name: str
    pending: int
    concluded: int
    dead: int
    cancelled: int
    total: int
