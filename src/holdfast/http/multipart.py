"""Forms of parts (`multipart/form-data`), a chunk at a time: one may have megabytes."""

import asyncio
import re
from typing import TYPE_CHECKING

from holdfast.errors import InvalidRequest
from holdfast.http.request import Request

if TYPE_CHECKING:
    from multipart import MultipartSegment

_AT_ONCE = 64 << 10
_PARTS = 1_000
_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1"))
"""Others that Python knows may take seconds for some kilobytes (`punycode`), or raise what no decoder of UTF-8 does."""
_PARAMETER = re.compile(r';\s*([\w!#$%&\'*+\-.^_`|~]+)=(?:([\w!#$%&\'*+\-.^_`|~]+)|"([^"]*)")', re.ASCII)


def content_type_of(request: Request) -> tuple[str, dict[str, str]]:
    """The type of a body, in lower case, and its parameters."""
    kind, semicolon, rest = request.header("content-type").partition(";")
    found = _PARAMETER.finditer(semicolon + rest)
    return kind.strip().lower(), {one[1].lower(): one[2] or one[3] for one in found}


async def parts_of(request: Request) -> list[tuple[str, str | bytes]]:
    """The parts by name: texts, and files as bytes. Raises `UnicodeDecodeError` if a text is not in its charset, and
    `LookupError` if that charset is not supported.
    """
    boundary = content_type_of(request)[1].get("boundary", "")
    if not boundary:
        raise InvalidRequest("multipart boundary missing in Content-Type at body.", field="body")
    if not request.body:
        return []
    found: list[tuple[str, str | bytes]] = []
    import multipart  # noqa: PLC0415  (4 ms of every start, for what few servers are sent)

    part: MultipartSegment | None = None
    data = bytearray()
    try:
        with multipart.PushMultipartParser(boundary, max_segment_count=_PARTS) as parser:
            for start in range(0, len(request.body), _AT_ONCE):
                for piece in parser.parse(request.body[start : start + _AT_ONCE]):
                    if isinstance(piece, multipart.MultipartSegment):
                        part, data = piece, bytearray()
                    elif piece:
                        data += piece
                    elif part is not None:
                        found.append((part.name, bytes(data) if part.filename else _text(data, part.charset or "utf-8")))
                if start:
                    await asyncio.sleep(0)
            parser.close()
    except (multipart.ParserError, multipart.ParserLimitReached):
        raise InvalidRequest("Invalid multipart/form-data", field="body") from None
    return found


def _text(data: bytearray, charset: str) -> str:
    if charset.lower() not in _CHARSETS:
        raise LookupError(charset[:100])
    return data.decode(charset)
