"""What was committed: the only news that leaves a transaction, and only after it is stored.

Each batch gives one `Committed`. Its first two fields wake waiting callers; its job events are filled only while there is a
subscriber (an event stream, a call that waits for a job to end), which is rare.
"""

import msgspec

from holdfast.job.job import State
from holdfast.routing import interests as routing

ENQUEUED = "enqueued"
LEASED = "leased"
CONCLUDED = "concluded"
FAILED = "failed"
RELEASED = "released"
BURIED = "buried"
EXPIRED = "expired"
EXTENDED = "extended"
DUE = "due"
RETRIED = "retried"
PROMOTED = "promoted"
CANCELLED = "cancelled"
CANCEL_REQUESTED = "cancel_requested"
EDITED = "edited"
DELETED = "deleted"
FORGOTTEN = "forgotten"
ADMITTED = "admitted"
ORPHANED = "orphaned"
SET_ASIDE = "set_aside"
SETTLED = "settled"
DEADLINE_PASSED = "deadline_passed"
WAITS = "waits_for_budget"
REFUSED = "refused"
DIED = "died"
OPERATION = "operation"
BATCH = "batch"
"""What else is told: `operation.started`, `batch.closed` and the like. The number is that of the operation or batch, and there is no state."""

COUNTED = (
    ENQUEUED,
    LEASED,
    CONCLUDED,
    FAILED,
    RELEASED,
    EXPIRED,
    DIED,
    RETRIED,
    CANCELLED,
    DEADLINE_PASSED,
    DELETED,
    FORGOTTEN,
)
"""Verbs with a total per queue of their own. `died` counts jobs that became dead, whatever the verb that did it, and `deadline_passed`
those that ended because they expired; `expired` counts leases.
"""


class JobEvent(msgspec.Struct, frozen=True, array_like=True):
    """One job was changed by `verb`; `state` is None when it was removed."""

    verb: str
    id: int
    queue: str
    state: State | None
    at: int


class Commit(msgspec.Struct, frozen=True, array_like=True):
    """When a transaction of so many commands began and ended, in nanoseconds since 1970; `number` counts them since the start."""

    number: int
    began_ns: int
    ended_ns: int
    commands: int


class Committed(msgspec.Struct, frozen=True, array_like=True):
    """One batch is stored. `ready`: queues that now have this many jobs to lease; `freed`: queues with new room; `interests`:
    how they changed, if they did; `stop` and `lost`: leases, by fence, whose holder is asked to stop, and that have expired;
    `keys`: the version of the access keys, if they changed. `types`: of queues among `ready`, how many jobs of which types have come,
    where somebody asks by type and it is known that there is nothing else for those who do.
    """

    ready: dict[str, int] = {}
    freed: list[str] = []
    jobs: list[JobEvent] = []
    interests: routing.Change | None = None
    stop: list[int] = []
    lost: list[int] = []
    keys: int | None = None
    types: dict[str, dict[str, int]] = {}
