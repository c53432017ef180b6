"""How much one event may come to, all its copies together."""

from holdfast.errors import InvalidRequest
from holdfast.limits import FAN_OUT_BYTES


def check_bytes(field: str, size: int, copies: int) -> None:
    """Refuse an event of so many bytes that so many queues want, where that is more than `FAN_OUT_BYTES`. Raises `InvalidRequest`."""
    if copies > 1 and size * copies > FAN_OUT_BYTES:
        raise InvalidRequest(
            f"{field} may come to at most {FAN_OUT_BYTES} bytes, all copies together; {copies} queues want {size} bytes each.",
            field=field,
        )
