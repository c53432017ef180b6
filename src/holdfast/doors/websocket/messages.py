"""The messages of a channel, as types: JSON texts, distinguished by `op`. Docs: docs/channel.md.

If there is an HTTP call for the same, the fields are the same. `body` stays the received bytes, because idempotency keys are
about bytes: the same key and body over HTTP is the same request.
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from holdfast.doors.rest import bodies, surrogates
from holdfast.doors.rest.answers import CopyOut, DurabilityOut, JobOut, PutOut
from holdfast.doors.rest.types import LeaseBatchIn, TypeNames
from holdfast.errors import MalformedJson
from holdfast.limits import QUEUES_PER_LEASE


class Start(msgspec.Struct, tag_field="op", tag="start", forbid_unknown_fields=True, kw_only=True):
    """Send me jobs of these queues, never more unfinished ones than `credits`. `on_break`: what becomes of them when the connection
    breaks. `types`: only jobs of these.
    """

    queues: Annotated[tuple[str, ...], msgspec.Meta(extra_json_schema={"maxItems": QUEUES_PER_LEASE})]
    credits: int
    worker: str = ""
    lease_ms: int | None = None
    order: str = "queue"
    on_break: str = "release"
    types: TypeNames | None = None
    ref: str | None = None


class Got(msgspec.Struct, tag_field="op", tag="got", forbid_unknown_fields=True, kw_only=True):
    """The jobs have arrived, up to this delivery."""

    delivery: int
    ref: str | None = None


class Credits(msgspec.Struct, tag_field="op", tag="credits", forbid_unknown_fields=True, kw_only=True):
    """The number of credits from now on; 0 stops the jobs."""

    credits: int
    ref: str | None = None


class Batch(LeaseBatchIn, tag_field="op", tag="batch", forbid_unknown_fields=True, kw_only=True):
    """Lease verbs, as in `POST /v1/leases/batch`."""

    ref: str | None = None


class Enqueue(msgspec.Struct, tag_field="op", tag="enqueue", forbid_unknown_fields=True, kw_only=True):
    """Jobs, as in `POST /v1/jobs`. `lease_token`: the lease of a running job, which adds to its own batch."""

    body: Raw
    idempotency_key: str | None = None
    wait_ms: int = 0
    lease_token: str | None = None
    ref: str | None = None


class Publish(msgspec.Struct, tag_field="op", tag="publish", forbid_unknown_fields=True, kw_only=True):
    """An event, as in `POST /v1/publish`."""

    body: Raw
    idempotency_key: str | None = None
    ref: str | None = None


class Ping(msgspec.Struct, tag_field="op", tag="ping", forbid_unknown_fields=True, kw_only=True):
    """Are you there?"""

    ref: str | None = None


Asked = Batch | Enqueue | Publish | Credits | Got | Ping | Start
OPS = tuple(kind.__struct_config__.tag for kind in (Start, Credits, Got, Batch, Enqueue, Publish, Ping))


class Started(msgspec.Struct, tag_field="op", tag="started", kw_only=True):
    """Jobs will follow. `message_bytes`: the largest accepted message."""

    ref: str | None
    credits: int
    message_bytes: int
    durability: DurabilityOut


class Jobs(msgspec.Struct, tag_field="op", tag="jobs", kw_only=True):
    """Jobs that are now the worker's, as `POST /v1/leases` shows them. `delivery` is what `got` names."""

    jobs: list[JobOut]
    delivery: int | UnsetType = UNSET


class Results(msgspec.Struct, tag_field="op", tag="results", kw_only=True):
    """What became of a batch: the four lists of the HTTP call."""

    ref: str | None
    conclude: list[Any]
    fail: list[Any]
    release: list[Any]
    extend: list[Any]


class Enqueued(msgspec.Struct, tag_field="op", tag="enqueued", kw_only=True):
    """The jobs are stored."""

    ref: str | None
    jobs: list[PutOut]
    durability: DurabilityOut
    duplicate: bool | UnsetType = UNSET


class Published(msgspec.Struct, tag_field="op", tag="published", kw_only=True):
    """The copies are stored."""

    ref: str | None
    jobs: list[CopyOut]
    durability: DurabilityOut
    duplicate: bool | UnsetType = UNSET
    others: int | UnsetType = UNSET


class Credited(msgspec.Struct, tag_field="op", tag="credits", kw_only=True):
    """So many from now on; `unfinished` are with the worker."""

    ref: str | None
    credits: int
    unfinished: int


class Pong(msgspec.Struct, tag_field="op", tag="pong", kw_only=True):
    """I am."""

    ref: str | None


class Draining(msgspec.Struct, tag_field="op", tag="draining", kw_only=True):
    """The server shuts down: no more jobs follow. When no lease is left, or after `grace_ms`, it closes."""

    grace_ms: int


class Cancel(msgspec.Struct, tag_field="op", tag="cancel", kw_only=True):
    """This job has a cancel request: stop, and fail or release it."""

    job: int
    attempt: int


class Lost(msgspec.Struct, tag_field="op", tag="lost", kw_only=True):
    """The time of this lease was up: the job is no longer the worker's."""

    job: int
    attempt: int


def read(data: bytes) -> tuple[Any, str]:
    """A message, and the mark of invalid text in it: only a batch is accepted with those, because reasons are never refused."""
    try:
        return bodies.decode(data, Asked), ""  # type: ignore[arg-type]  # a union of types
    except MalformedJson:
        found = surrogates.repaired(data)
        if found is None:
            raise
        asked: Any = surrogates.again(found[0], Asked)
        if not isinstance(asked, Batch) or surrogates.is_broken(asked.ref, found[1]):
            raise
        return asked, found[1]


class _Reference(msgspec.Struct):
    ref: str | None = None


def reference(data: bytes) -> str | None:
    """The `ref` of an invalid message, if it can be read at all."""
    try:
        return msgspec.json.decode(data, type=_Reference).ref
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
