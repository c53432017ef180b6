"""The query of an address."""

from urllib.parse import parse_qsl

from holdfast.errors import InvalidRequest, breach
from holdfast.limits import WHOLE


def query_of(query_string: bytes) -> dict[str, str]:
    """Query parameters, each at most once."""
    if not query_string:
        return {}
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=100
        )
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequest("The query string can't be read.", field="query") from None
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise InvalidRequest(f"The query parameter {name} is given twice.", field=name)
        values[name] = value
    return values


def whole(name: str, text: str) -> int:
    """An integer parameter."""
    if WHOLE.match(text) is None:
        raise breach(name, "must be a whole number of at least 0")
    return int(text)
