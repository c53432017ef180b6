"""The bound on one event, all its copies together."""

from holdfast.errors import InvalidRequest
from holdfast.limits import FAN_OUT_BYTES


def check_bytes(field: str, size: int, copies: int) -> None:
    """Refuse an event of this size for this many queues if that exceeds `FAN_OUT_BYTES`. Raises `InvalidRequest`."""
    if copies > 1 and size * copies > FAN_OUT_BYTES:
        raise InvalidRequest(
            f"{field} may come to at most {FAN_OUT_BYTES} bytes, all copies together; {copies} queues want {size} bytes each.",
            field=field,
        )
