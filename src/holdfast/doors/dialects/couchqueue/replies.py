"""The answers of this door, and its errors: a sentence in `error`, in CouchQueue's own words where it has some."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.doors.rest.answers import DurabilityOut
from holdfast.doors.rest.replies import encode
from holdfast.errors import HoldfastError, InternalError
from holdfast.http.problem import advice
from holdfast.http.reply import Reply
from holdfast.http.request import Request

NO_WORKER = "no worker with that workerId"
NOT_WORKING = "this worker is not working on this task"
NO_TASKS = "no tasks found"

STATUS = {
    "invalid_request": 400,
    "malformed_json": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "job_not_found": 404,
    "queue_not_found": 404,
    "worker_not_found": 404,
    "lease_lost": 409,
    "not_unique": 409,
    "wrong_state": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_mismatch": 422,
    "no_interest": 422,
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
_WORDS = {"worker_not_found": NO_WORKER, "lease_lost": NOT_WORKING}


class CreatedOut(msgspec.Struct, rename="camel"):
    """The queues that have the task now, each once; of these, `alreadyEnqueued` had it before and got no second one."""

    interested_subscriptions: list[str]
    durability: DurabilityOut
    already_enqueued: list[str] | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET


class UpdatedOut(msgspec.Struct, rename="camel"):
    """What became of the task; `reEnqueuedAs` is the `taskId` under which it runs again."""

    task_id: int
    status: str
    re_enqueued_as: int | UnsetType = UNSET


class ErrorOut(msgspec.Struct):
    """Why not: a sentence for a person, and the code for a program."""

    error: str
    code: str


def answer(shown: Any) -> Reply:
    """A value as an answer."""
    return Reply(200, encode(shown))


def refused(_: Request, __: Any, error: HoldfastError) -> Reply:
    """An error as an answer."""
    if error.code not in STATUS:
        error = InternalError()
    shown = ErrorOut(_WORDS.get(error.code, error.detail), error.code)
    return Reply(STATUS[error.code], encode(shown), extra=advice(error, STATUS[error.code]))
