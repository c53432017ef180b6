"""Forms as they are sent by browsers and dialects (`name=value&…`), decoded a chunk at a time: one of 17 MB may be nothing but escapes, which
would take seconds in one go, and a hundred bytes for each.
"""

import asyncio
from urllib.parse import parse_qsl, unquote_to_bytes

_AT_ONCE = 64 << 10  # decoded in some 5 ms
_ESCAPE = 3


async def pairs_of(
    body: bytes, *, max_fields: int, strict_parsing: bool = False, errors: str = "strict"
) -> list[tuple[str, str]]:
    """The fields of a form, empty ones too, as `parse_qsl` reads them; raises `ValueError` as it does."""
    text = body.decode()
    if len(body) <= _AT_ONCE:
        return parse_qsl(text, keep_blank_values=True, strict_parsing=strict_parsing, errors=errors, max_num_fields=max_fields)
    if body.count(b"&") >= max_fields:
        raise ValueError("too many fields")
    pairs = []
    for field in body.split(b"&"):
        name, equals, value = field.partition(b"=")
        if not equals and strict_parsing:
            raise ValueError("a field without a value")
        if field:
            pairs.append((await _decoded(name, errors), await _decoded(value, errors)))
    return pairs


async def _decoded(text: bytes, errors: str) -> str:
    text = text.replace(b"+", b" ")
    if b"%" not in text:
        return text.decode(errors=errors)
    parts, begin = [], 0
    while begin < len(text):
        end = begin + _AT_ONCE
        if end < len(text) and (cut := text.rfind(b"%", end - _ESCAPE + 1, end)) >= 0:
            end = cut  # an escape is not cut in two
        parts.append(unquote_to_bytes(text[begin:end]))
        begin = end
        await asyncio.sleep(0)
    return b"".join(parts).decode(errors=errors)
