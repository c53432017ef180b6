"""Refusals as RFC 9457 documents, and the one table from an error's code to its status."""

from typing import Any

import msgspec

from holdfast.errors import BY_CODE, HoldfastError
from holdfast.http.reply import Pairs, Reply

STATUS = {
    "error": 500,
    "invalid_request": 400,
    "malformed_json": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "job_not_found": 404,
    "queue_not_found": 404,
    "worker_not_found": 404,
    "schedule_not_found": 404,
    "operation_not_found": 404,
    "batch_not_found": 404,
    "key_not_found": 404,
    "budget_not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "lease_lost": 409,
    "not_unique": 409,
    "wrong_state": 409,
    "batch_closed": 409,
    "upgrade_unfinished": 409,
    "budget_in_use": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "no_interest": 422,
    "stale_interests": 409,
    "idempotency_mismatch": 422,
    "queue_full": 429,
    "rate_limited": 429,
    "internal_error": 500,
    "unavailable": 503,
    "draining": 503,
    "store_unavailable": 503,
    "not_replicated": 503,
    "overloaded": 503,
    "outcome_unknown": 503,
    "storage_full": 507,
}
_LATER = frozenset((429, 503, 507))
_UNAUTHORIZED = 401
_HOW = ((b"www-authenticate", b'Bearer realm="holdfast", Basic realm="holdfast", charset="UTF-8"'),)
PROBLEM_JSON = b"application/problem+json"
_encode = msgspec.json.Encoder().encode


def problem(code: str, detail: str, fields: dict[str, Any], status: int | None = None) -> dict[str, Any]:
    """An error as an RFC 9457 document; the status is the code's unless it is given."""
    title = BY_CODE[code].title if code in BY_CODE else code.replace("_", " ").capitalize()
    return {
        "type": f"urn:holdfast:error:{code}",
        "title": title,
        "status": status or STATUS.get(code, 500),
        "detail": detail,
        "code": code,
        **fields,
    }


def advice(error: HoldfastError, status: int) -> Pairs:
    """The header that says when to retry, for those who may, or how to authenticate."""
    if status == _UNAUTHORIZED:
        return _HOW
    if status not in _LATER:
        return ()
    return ((b"retry-after", b"%d" % max(1, -(-error.fields.get("retry_after_ms", 1_000) // 1_000))),)


def refused(error: HoldfastError, status: int | None = None) -> Reply:
    """An error as an answer; the status is the code's unless it is given. Its traceback is dropped: the frames refer to the
    request, perhaps with a body of megabytes, and often to the error itself, so that all of it would stay until the next
    collection of cycles.
    """
    error.__traceback__ = error.__context__ = None
    found = status or STATUS.get(error.code, 500)
    return Reply(found, _encode(problem(error.code, error.detail, error.fields, status)), PROBLEM_JSON, advice(error, found))
