"""What the OpenAPI document says of a field beside its type."""

from typing import Any

from msgspec import Meta


def bounds(description: str, **schema: Any) -> Meta:
    """What the OpenAPI document says of a field."""
    return Meta(description=description, extra_json_schema=schema)
