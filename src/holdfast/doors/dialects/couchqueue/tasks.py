"""A task and the job that stores it.

    data ─▶ payload     publisher ─▶ tag      scope ─▶ tag, and the one worker of the copy
    singularlyEnqueue ─▶ unique_key           singularlyRun ─▶ group_key, one at a time

The payload is the data itself, so interests match on it and every other door shows it. Both keys are a hash of the data: two
tasks are the same when their data are, whatever the order of the members. A job that came through another door is a task too,
without a publisher.
"""

import base64
import hashlib
import json

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from holdfast import limits
from holdfast.doors.dialects.couchqueue.parameters import Parameters
from holdfast.engine import checks
from holdfast.errors import InvalidRequest
from holdfast.job.job import Content, Extras, Job, JobError, NewJob, State

ANY, ALL = "any", "all"
STATUS = {
    State.SCHEDULED: "scheduled",
    State.READY: "queued",
    State.LEASED: "processing",
    State.CONCLUDED: "success",
    State.DEAD: "failed",
    State.CANCELLED: "cancelled",
}
_PUBLISHER = "publisher:"
_FOR_ALL = "scope:all"
_NO_QUEUE = "-"  # of an event: its copies get theirs from the interests


class TaskOut(msgspec.Struct, rename="camel", omit_defaults=True):
    """A task. Times are in milliseconds since 1970; `failReason` is set once an attempt has failed."""

    task_id: int
    data: Raw
    publisher: str | None
    queue: str
    worker_id: str | None
    status: str
    scope: str
    singularly_enqueue: bool
    singularly_run: bool
    run_at: int
    created_at: int
    started_at: int | None
    fail_reason: str | UnsetType = UNSET
    data_base64: str | UnsetType = UNSET


def event(given: Parameters) -> NewJob:
    """A new task, to be copied to the queues that want it."""
    publisher, data = given.need("publisher"), given.data()
    checks.text("publisher", publisher, limits.TAG_CHARS - len(_PUBLISHER))
    to_all = for_all(given)
    enqueue, run = given.flag("singularlyEnqueue"), given.flag("singularlyRun")
    same = _same(data) if enqueue or run else None
    extras = Extras(
        unique_key=same if enqueue else None,
        group_key=same if run else None,
        tags=(_PUBLISHER + publisher, _FOR_ALL) if to_all else (_PUBLISHER + publisher,),
    )
    return NewJob(_NO_QUEUE, data, run_at=given.run_at(), extras=extras)


def for_all(given: Parameters) -> bool:
    """Whether every worker is to perform the task."""
    return given.get("scope") is not None and given.one_of("scope", ANY, ALL) == ALL


def again(job: Job, content: Content) -> NewJob:
    """The same task again, to run at once. A time to run from beanstalkd may be longer than a lease may be here."""
    extras = job.extras
    if extras.lease_ms is not None and extras.lease_ms > limits.LEASE_MS_MAX:
        extras = replace(extras, lease_ms=limits.LEASE_MS_MAX)
    return NewJob(
        job.queue,
        content.payload,
        content.type,
        content.content_type,
        job.priority,
        max_attempts=job.max_attempts,
        extras=extras,
    )


def task_out(job: Job, content: Content, errors: list[JobError] | None = None) -> TaskOut:
    """A task as it is shown."""
    tags = job.extras.tags
    holder = job.lease or job.ended_by
    shown = TaskOut(
        task_id=job.id,
        data=Raw(b"null" if content.content_type is not None else content.payload),
        publisher=next((tag.removeprefix(_PUBLISHER) for tag in tags if tag.startswith(_PUBLISHER)), None),
        queue=job.queue,
        worker_id=(holder.worker if holder is not None else job.extras.worker) or None,
        status=STATUS[job.state],
        scope=ALL if _FOR_ALL in tags or job.extras.worker is not None else ANY,
        singularly_enqueue=job.extras.unique_key is not None,
        singularly_run=job.extras.group_key is not None,
        run_at=job.ready_at,
        created_at=job.created_at,
        started_at=job.leased_at,
    )
    if content.content_type is not None:
        shown.data_base64 = base64.b64encode(content.payload).decode()
    if errors:
        shown.fail_reason = errors[-1].reason
        shown.worker_id = shown.worker_id or errors[-1].worker or None
    return shown


def _same(data: bytes) -> str:
    """The key that tasks with the same data share."""
    checks.payload("data", len(data), limits.PAYLOAD_BYTES)  # to compare more would take long
    try:
        canonical = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        raise InvalidRequest("data has a number that is too long to be compared", field="data") from None
    return "data:" + hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
