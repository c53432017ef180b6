"""What paths, queries and headers of native HTTP have, as types."""

from typing import Annotated, Any

from msgspec import Meta

from holdfast import limits
from holdfast.http.route import Parameter

Queue = Annotated[str, Meta(description="The queue's name.", pattern="^[A-Za-z0-9._:-]{1,600}$")]
JobType = Annotated[str, Meta(description="The type of jobs.", max_length=limits.TYPE_CHARS)]
JobId = Annotated[int, Meta(description="The job's number.", ge=1, le=limits.ID_MAX)]
Limit = Annotated[int, Meta(description="How many at most.", ge=1, le=limits.LIST_LIMIT)]
WaitMs = Annotated[int, Meta(description="How long to wait, in milliseconds.", ge=0, le=limits.WAIT_MS_MAX)]
Cursor = Annotated[str, Meta(description="`next_cursor` of the page before.", max_length=200)]

_MOMENT: dict[str, Any] = {"max_length": 40, "extra_json_schema": {"format": "date-time"}}
Before = Annotated[
    str, Meta(description="Only those that ended, or were enqueued where they have not, by this moment (RFC 3339).", **_MOMENT)
]
Since = Annotated[
    str, Meta(description="Only those that ended, or were enqueued where they have not, at or after this moment.", **_MOMENT)
]
OfWorker = Annotated[
    str, Meta(description="Only those that this worker holds, concluded, or failed to do.", max_length=limits.WORKER_CHARS)
]

_Key = Annotated[
    str, Meta(description="The same key and body again: the first answer again.", max_length=limits.REQUEST_ID_CHARS)
]
_WaitForRoomMs = Annotated[int, Meta(description="How long to wait for room in a full queue.", ge=0, le=limits.WAIT_MS_MAX)]
_Token = Annotated[str, Meta(description="The lease's token.", max_length=100)]

_Member = Annotated[
    str,
    Meta(description="The lease of a running job, which adds these to its own batch even if that is closed.", max_length=100),
]

QUEUE = Parameter("queue", "path", Queue)
TOKEN = Parameter("token", "path", _Token)
WAIT_FOR_ROOM = Parameter("wait_ms", "query", _WaitForRoomMs, 0)
KEY = Parameter("Idempotency-Key", "header", Annotated[_Key, Meta(pattern="^[ -~]+$", min_length=1)], None)
KEY_OR_NONE = Parameter("Idempotency-Key", "header", _Key, None)
MEMBER = Parameter("Lease-Token", "header", _Member, None)
MetaPairs = Annotated[dict[str, str], Meta(description="Only with these names and values in `meta`: `?meta.tenant=7`.")]
FieldPairs = Annotated[
    dict[str, str], Meta(description="Only with these values at these paths of a JSON payload: `?field.order.id=42`.")
]
OfError = Annotated[str, Meta(description="Only with this text in the last error.", max_length=limits.LIST_TEXT_CHARS)]
CancelledBy = Annotated[int, Meta(description="Only those that this operation cancelled.", ge=1, le=limits.ID_MAX)]
WithLastError = Annotated[
    bool, Meta(description="Whether to give the latest error of each, without what a program told of it.")
]
