"""Which error a caller of kombu or Celery sees: what is lost with a connection is tried again by kombu, what was refused is not."""

from collections.abc import Iterator
from contextlib import contextmanager

from kombu.exceptions import ChannelError, OperationalError

from holdfast import errors
from holdfast.client import UnexpectedAnswer, Unreachable

CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    Unreachable,
    UnexpectedAnswer,
    errors.Unavailable,
    errors.OutcomeUnknown,
    errors.RateLimited,
    ConnectionError,
)
CHANNEL_ERRORS: tuple[type[Exception], ...] = (ChannelError, errors.HoldfastError)


class Refused(OperationalError):
    """The server refuses a message, for good: `code` is that of the error, which is the cause of this one."""

    code = ""


class QueueFull(Refused):
    """The queue has no room. `queue` is its name, `retry_after_ms` when to try again."""

    queue = ""
    retry_after_ms: int | None = None


@contextmanager
def told_as_kombu_does() -> Iterator[None]:
    """Within it, what the server refuses is an `OperationalError`, which Celery's callers expect."""
    try:
        yield
    except errors.QueueFull as error:
        full = QueueFull(str(error))
        full.code, full.queue = error.code, error.fields.get("queue", "")
        full.retry_after_ms = error.fields.get("retry_after_ms")
        raise full from error
    except errors.StorageFull as error:
        raise _refused(error) from error
    except CONNECTION_ERRORS:
        raise
    except errors.HoldfastError as error:
        raise _refused(error) from error


def _refused(error: errors.HoldfastError) -> Refused:
    refused = Refused(str(error))
    refused.code = error.code
    return refused
