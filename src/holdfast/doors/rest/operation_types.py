"""What native HTTP takes of operations, as types."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast import limits
from holdfast.doors.rest.bounds import FIELD_NAMES, META_NAMES, bounds
from holdfast.doors.rest.types import Id, QueueName
from holdfast.job.job import State
from holdfast.job.operation import Do


class FilterIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which jobs: those that a listing with these filters shows."""

    queue: QueueName | None = None
    state: State | None = None
    type: Annotated[str, bounds("Only of this type.", maxLength=limits.TYPE_CHARS)] | None = None
    tag: Annotated[str, bounds("Only with this tag.", maxLength=limits.TAG_CHARS)] | None = None
    text: Annotated[str, bounds("Only with this text in the payload or an error.", maxLength=limits.LIST_TEXT_CHARS)] | None = (
        None
    )
    meta: Annotated[dict[str, str], bounds("Only with these names and values.", propertyNames=META_NAMES)] = {}
    field: Annotated[
        dict[str, str],
        bounds(
            "Only with these values at these paths of a JSON payload.", propertyNames=FIELD_NAMES, maxProperties=limits.FIELDS
        ),
    ] = {}
    before: (
        Annotated[datetime, Meta(tz=True, description="Only those that ended, or were enqueued where they have not, by then.")]
        | None
    ) = None
    since: (
        Annotated[
            datetime, Meta(tz=True, description="Only those that ended, or were enqueued where they have not, at or after it.")
        ]
        | None
    ) = None
    worker: (
        Annotated[
            str,
            bounds("Only those that this worker holds, concluded, or failed to do.", maxLength=limits.WORKER_CHARS),
        ]
        | None
    ) = None
    error: Annotated[str, bounds("Only with this text in the last error.", maxLength=limits.LIST_TEXT_CHARS)] | None = None
    batch: Annotated[int, bounds("Only members of this batch.", minimum=1, maximum=limits.ID_MAX)] | None = None
    cancelled_by: (
        Annotated[int, bounds("Only those that this operation cancelled.", minimum=1, maximum=limits.ID_MAX)] | None
    ) = None


PerS = Annotated[
    float,
    bounds(
        "How many jobs a second, spread evenly; null: as fast as leaves room for others.",
        minimum=limits.OPERATION_PER_S_MIN,
        maximum=limits.OPERATION_PER_S_MAX,
    ),
]


class OperationIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One thing to be done to many jobs: to those that match a filter, or to the `jobs` named."""

    do: Do
    filter: FilterIn | UnsetType = UNSET
    jobs: (
        Annotated[
            list[Id],
            bounds(
                "Ids, in place of a filter, which may have `before` alone beside them.",
                minItems=1,
                maxItems=limits.OPERATION_JOBS,
            ),
        ]
        | UnsetType
    ) = UNSET
    to: Annotated[QueueName, bounds("The queue to move to.")] | None = None
    per_s: PerS | None = None
    limit: Annotated[int, bounds("After so many are done it ends.", minimum=1, maximum=limits.OPERATION_LIMIT_MAX)] | None = (
        None
    )
    dry_run: Annotated[bool, bounds("Only count the jobs.")] = False


class RateIn(msgspec.Struct, forbid_unknown_fields=True):
    """Another pace."""

    per_s: PerS | None
