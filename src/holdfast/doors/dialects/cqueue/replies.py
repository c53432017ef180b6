"""How this door shows a job, and an error: `{"error": "…", "code": "…"}`, by the one table from code to status."""

import base64
from typing import Any

import msgspec
from msgspec import UNSET, Raw, UnsetType

from holdfast.doors.rest.replies import encode
from holdfast.errors import HoldfastError, InternalError
from holdfast.http.problem import advice
from holdfast.http.reply import Reply
from holdfast.http.request import Request
from holdfast.job.job import Content, Job, State
from holdfast.messages.views import Durability

NULL_GIVEN = "null-payload"
"""The tag of a job whose payload was given as null. Without a payload the null that every job has stands for nothing."""

STATUS = {
    "invalid_request": 400,
    "malformed_json": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "job_not_found": 404,
    "worker_not_found": 404,
    "lease_lost": 409,
    "wrong_state": 409,
    "payload_too_large": 413,
    "idempotency_mismatch": 422,
    "queue_full": 429,
    "rate_limited": 429,
    "internal_error": 500,
    "draining": 503,
    "overloaded": 503,
    "store_unavailable": 503,
    "not_replicated": 503,
    "outcome_unknown": 503,
    "storage_full": 507,
}

SHOWN_STATUS = {
    State.SCHEDULED: "QUEUED",
    State.READY: "QUEUED",
    State.LEASED: "IN_PROGRESS",
    State.CONCLUDED: "CONCLUDED",
    State.DEAD: "DEAD",
    State.CANCELLED: "CANCELLED",
}
"""The last two are words of our own: such a job is none of the three that these clients know, and must not pass for one."""


class IdOut(msgspec.Struct):
    """The job is stored, under this id."""

    id: int = msgspec.field(name="ID")


class JobOut(msgspec.Struct, rename="pascal"):
    """A job. The payload is left out if there is none; bytes that another door accepted are base64, with their type."""

    id: int = msgspec.field(name="ID")
    type: str
    status: str
    payload: Raw | UnsetType = UNSET
    payload_base64: str | UnsetType = UNSET
    content_type: str | UnsetType = UNSET


class StatsOut(msgspec.Struct, rename="pascal"):
    """How many jobs the queue has, and for how long the server has run, in milliseconds."""

    queued: int
    in_progress: int
    concluded: int
    uptime_millis: int


class ErrorOut(msgspec.Struct):
    """Why not: a sentence for a person, and the code for a program."""

    error: str
    code: str


def job_out(job: Job, content: Content, state: State) -> JobOut:
    """A job in its current state, or in `state`."""
    shown = JobOut(job.id, content.type, SHOWN_STATUS[state])
    if content.content_type is not None:
        shown.payload_base64 = base64.b64encode(content.payload).decode()
        shown.content_type = content.content_type
    elif content.payload != b"null" or NULL_GIVEN in job.extras.tags:
        shown.payload = Raw(content.payload)
    return shown


def answer(shown: msgspec.Struct) -> Reply:
    """A value as an answer."""
    return Reply(200, encode(shown))


def kept(job_id: int, durability: Durability) -> Reply:
    """The answer to an enqueue. Its body is `{"ID": 1}` and nothing else, so a header says how the job is stored."""
    reply = answer(IdOut(job_id))
    reply.extra = ((b"holdfast-durability", f"{durability.level}; replicas={durability.replicas}".encode()),)
    return reply


def refused(_: Request, __: Any, error: HoldfastError) -> Reply:
    """An error as an answer."""
    if error.code not in STATUS:
        error = InternalError()
    return Reply(STATUS[error.code], encode(ErrorOut(error.detail, error.code)), extra=advice(error, STATUS[error.code]))
