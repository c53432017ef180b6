"""The words of this door, and which refusal of the engine is which of them."""

from holdfast.errors import (
    Draining,
    Forbidden,
    InternalError,
    JobNotFound,
    LeaseLost,
    NotReplicated,
    NotUnique,
    OutcomeUnknown,
    Overloaded,
    QueueFull,
    QueueNotFound,
    RateLimited,
    StorageFull,
    StoreUnavailable,
    Unauthorized,
    WrongState,
)
from holdfast.messages.answers import GrantedJob

NOT_FOUND = b"NOT_FOUND\r\n"
TIMED_OUT = b"TIMED_OUT\r\n"
DEADLINE_SOON = b"DEADLINE_SOON\r\n"
OUT_OF_MEMORY = b"OUT_OF_MEMORY\r\n"
INTERNAL_ERROR = b"INTERNAL_ERROR\r\n"
DRAINING = b"DRAINING\r\n"
DELETED = b"DELETED\r\n"
RELEASED = b"RELEASED\r\n"
BURIED = b"BURIED\r\n"
TOUCHED = b"TOUCHED\r\n"
KICKED = b"KICKED\r\n"
PAUSED = b"PAUSED\r\n"
NOT_IGNORED = b"NOT_IGNORED\r\n"
AUTHENTICATED = b"AUTHENTICATED\r\n"
UNAUTHENTICATED = b"UNAUTHENTICATED\r\n"
FORBIDDEN = b"FORBIDDEN\r\n"
RATE_LIMITED = b"RATE_LIMITED\r\n"

_WORDS = {
    JobNotFound.code: NOT_FOUND,
    QueueNotFound.code: NOT_FOUND,
    LeaseLost.code: NOT_FOUND,
    WrongState.code: NOT_FOUND,
    NotUnique.code: NOT_FOUND,
    QueueFull.code: OUT_OF_MEMORY,
    StorageFull.code: OUT_OF_MEMORY,
    Overloaded.code: OUT_OF_MEMORY,
    StoreUnavailable.code: OUT_OF_MEMORY,
    Draining.code: OUT_OF_MEMORY,
    NotReplicated.code: OUT_OF_MEMORY,
    Unauthorized.code: UNAUTHENTICATED,
    Forbidden.code: FORBIDDEN,
    RateLimited.code: RATE_LIMITED,
}
_NOT_PUT = {
    Unauthorized.code: UNAUTHENTICATED,
    Forbidden.code: FORBIDDEN,
    OutcomeUnknown.code: INTERNAL_ERROR,
    InternalError.code: INTERNAL_ERROR,
    Draining.code: DRAINING,
    NotReplicated.code: DRAINING,
}


def of_error(code: str) -> bytes:
    """The reply for a refusal. INTERNAL_ERROR is for an unknown outcome or a defect; OUT_OF_MEMORY says to retry later."""
    return _WORDS.get(code, INTERNAL_ERROR)


def not_put(code: str) -> bytes:
    """The reply for a job that was not put. Only here may DRAINING be sent."""
    return _NOT_PUT.get(code, OUT_OF_MEMORY)


def reserved(granted: GrantedJob) -> bytes:
    """A job for the one who has it now."""
    body = granted.content.payload
    return b"RESERVED %d %d\r\n%b\r\n" % (granted.job.id, len(body), body)


def found(job_id: int, body: bytes) -> bytes:
    """A job for peek."""
    return b"FOUND %d %d\r\n%b\r\n" % (job_id, len(body), body)


def ok(text: str) -> bytes:
    """A page in YAML."""
    body = text.encode()
    return b"OK %d\r\n%b\r\n" % (len(body), body)
