"""What the OpenAPI document says of a field beside its type."""

from typing import Any

from msgspec import Meta

from holdfast.limits import FIELD_CHARS, META_NAME_CHARS

META_NAMES = {"minLength": 1, "maxLength": META_NAME_CHARS}
"""The names in `meta`."""
FIELD_NAMES = {"minLength": 1, "maxLength": FIELD_CHARS}
"""Paths into payloads."""


def bounds(description: str, **schema: Any) -> Meta:
    """What the OpenAPI document says of a field."""
    return Meta(description=description, extra_json_schema=schema)
