"""All errors of Holdfast.

    HoldfastError
    ├── InvalidRequest ─ MalformedJson, PayloadTooLarge, UnsupportedMediaType
    ├── Unauthorized
    ├── Forbidden
    ├── RateLimited
    ├── NotFound ─ MethodNotAllowed, JobNotFound, QueueNotFound, WorkerNotFound, ScheduleNotFound, KeyNotFound, OperationNotFound
    ├── Conflict ─ LeaseLost, NotUnique, WrongState, IdempotencyMismatch, NoInterest, StaleInterests
    ├── QueueFull
    ├── Unavailable ─ Draining, StoreUnavailable, NotReplicated, Overloaded, StorageFull
    ├── OutcomeUnknown
    └── InternalError

Each leaf has a stable `code`: clients switch on it, and it is sent over the keeper's socket. Each door has one table from code
to reply; nothing else turns an error into a reply. All of them but `OutcomeUnknown` and `InternalError` mean that nothing was
changed.
"""

from typing import Any, ClassVar


class HoldfastError(Exception):
    """Base of all expected refusals.

    `detail` is one sentence for a person. `fields` are values that help a program (`queue`, `field`, `retry_after_ms`, ...), and can be
    read as attributes too. The client adds the HTTP `status`, the `request_id` of the answer, and whether the call was `repeated` after
    a try with an unknown outcome.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    status: int | None = None
    request_id: str = ""
    repeated: bool = False

    def __init__(self, detail: str = "", **fields: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}; its fields are {sorted(fields)}")


class InvalidRequest(HoldfastError):
    """The request breaks a rule; `field` is its path and `detail` has the bound."""

    code = "invalid_request"
    title = "The request is not valid"


class MalformedJson(InvalidRequest):
    """The body is not JSON, or not UTF-8."""

    code = "malformed_json"
    title = "The body is not valid JSON"


class PayloadTooLarge(InvalidRequest):
    """A payload, a result or a whole body is over its bound."""

    code = "payload_too_large"
    title = "The payload is too large"


class UnsupportedMediaType(InvalidRequest):
    """This route reads JSON only."""

    code = "unsupported_media_type"
    title = "This route reads application/json"


class Unauthorized(HoldfastError):
    """Access keys are in force, and the request has none, or one that is unknown, expired or revoked."""

    code = "unauthenticated"
    title = "An access key is needed"


class Forbidden(HoldfastError):
    """The caller may not do this: its key lacks the `ability`, or it is a web page of another site."""

    code = "forbidden"
    title = "Not allowed"


class RateLimited(HoldfastError):
    """The key makes too many requests, or has too many open; nothing was done. Try again after `retry_after_ms`."""

    code = "rate_limited"
    title = "Too many requests"


class NotFound(HoldfastError):
    """What the request names is not there."""

    code = "not_found"
    title = "Not found"


class MethodNotAllowed(NotFound):
    """The path exists, but not for this method."""

    code = "method_not_allowed"
    title = "Method not allowed"


class JobNotFound(NotFound):
    """No job has this id."""

    code = "job_not_found"
    title = "No such job"


class QueueNotFound(NotFound):
    """No queue has this name."""

    code = "queue_not_found"
    title = "No such queue"


class ScheduleNotFound(NotFound):
    """No schedule has this name."""

    code = "schedule_not_found"
    title = "No such schedule"


class BatchNotFound(NotFound):
    """No batch has this id."""

    code = "batch_not_found"
    title = "No such batch"


class BudgetNotFound(NotFound):
    """There is no such budget."""

    code = "budget_not_found"
    title = "There is no such budget"


class KeyNotFound(NotFound):
    """No access key has this id or name."""

    code = "key_not_found"
    title = "No such access key"


class OperationNotFound(NotFound):
    """There is no such operation, or it ended so long ago that it was forgotten."""

    code = "operation_not_found"
    title = "There is no such operation"


class WorkerNotFound(NotFound):
    """No worker is registered under this id."""

    code = "worker_not_found"
    title = "No such worker"


class Conflict(HoldfastError):
    """The request is valid, but conflicts with the current state."""

    code = "conflict"
    title = "Conflict"


class LeaseLost(Conflict):
    """The lease expired, was superseded or never existed."""

    code = "lease_lost"
    title = "The lease is not held"


class NotUnique(Conflict):
    """An unfinished job has this unique key; `job_id` names it."""

    code = "not_unique"
    title = "An unfinished job has this unique key"


class WrongState(Conflict):
    """The job or queue is not in a state that allows this."""

    code = "wrong_state"
    title = "The state does not allow this"


class BatchClosed(Conflict):
    """The batch takes no more jobs, but for those that its running members add."""

    code = "batch_closed"
    title = "The batch is closed"


class IdempotencyMismatch(Conflict):
    """The idempotency key was used with another body."""

    code = "idempotency_mismatch"
    title = "This idempotency key belongs to another request"


class NoInterest(Conflict):
    """No queue subscribes to this event, and the caller required one."""

    code = "no_interest"
    title = "No queue subscribes to this event"


class StaleInterests(Conflict):
    """The event was routed by interests that have changed since; the engine routes it again and no caller sees this error."""

    code = "stale_interests"
    title = "The subscriptions have changed"


class BudgetInUse(Conflict):
    """Unfinished jobs name the budget that is to be removed."""

    code = "budget_in_use"
    title = "The budget is in use"


class UpgradeUnfinished(Conflict):
    """What is asked for can't be stored while nodes of the release before may serve the database: they could not read it."""

    code = "upgrade_unfinished"
    title = "The upgrade is not finished"


class QueueFull(HoldfastError):
    """A bound of the queue is reached; nothing was enqueued and nothing was dropped."""

    code = "queue_full"
    title = "The queue is full"


class Unavailable(HoldfastError):
    """Not now; try again after `retry_after_ms`."""

    code = "unavailable"
    title = "Not available now"


class Draining(Unavailable):
    """This server is shutting down and takes nothing new."""

    code = "draining"
    title = "The server is shutting down"


class StoreUnavailable(Unavailable):
    """The store can't be reached or has failed."""

    code = "store_unavailable"
    title = "The store is not available"


class NotReplicated(Unavailable):
    """Too few standbys are in sync: nothing is accepted, because it could not be stored as promised."""

    code = "not_replicated"
    title = "Too few standbys are in sync"


class Overloaded(Unavailable):
    """Backpressure: more requests wait for the store than the server accepts."""

    code = "overloaded"
    title = "Too many requests are waiting for the store"


class StorageFull(Unavailable):
    """The disk is at its watermark: new jobs are refused, ending a lease still works."""

    code = "storage_full"
    title = "The disk is nearly full"


class OutcomeUnknown(HoldfastError):
    """The connection to the store broke while committing: the change may or may not be stored."""

    code = "outcome_unknown"
    title = "It is not known whether this was committed"


class InternalError(HoldfastError):
    """A defect in Holdfast. The committer raises it only if nothing was changed; in an answer the outcome is open."""

    code = "internal_error"
    title = "Internal error"


def breach(field: str, rule: str) -> InvalidRequest:
    """The refusal for a field that breaks a rule, such as "must be at most 5"."""
    return InvalidRequest(f"{field} {rule}.", field=field)


def _leaves(cls: type[HoldfastError]) -> list[type[HoldfastError]]:
    return [cls, *(leaf for child in cls.__subclasses__() for leaf in _leaves(child))]


BY_CODE: dict[str, type[HoldfastError]] = {cls.code: cls for cls in _leaves(HoldfastError)}
