"""What is wrong with an answer: pure functions, one for each protocol. They use only what `docs/` promise."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable

from fuzz.case import Case
from fuzz.play import Heard

# Refusals that `docs/protocol.md` lists for each 5xx: limits, and with 501 and 505 what is not supported.
REFUSALS = {
    503: {"overloaded", "draining"},
    507: {"storage_full"},
    501: {"invalid_request", "method_not_allowed"},
    505: {"invalid_request"},
}
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_CODE = re.compile(rb'"code":\s?"(\w+)"')
_HEAD = re.compile(rb"HTTP/1\.[01] \d{3} .*?\r\n\r\n", re.DOTALL)
_SPLIT = re.compile(rb"(?i)\r\n(?:x-evil|set-cookie: a=b)")
_PAGE = re.compile(rb"(?i)\r\ncontent-type: text/html.*?(?=HTTP/1\.1 \d|\Z)", re.DOTALL)
_MARKUP = re.compile(rb"<script>alert|<img src=x")


def wrong(case: Case, heard: Heard) -> str | None:
    """What is wrong, in a sentence, or None."""
    if heard.refused:
        return f"no connection: {heard.refused}"
    if heard.over is False:
        return "neither answered nor closed within the bound"
    return _BY_DOOR[case.door](case, heard)


def _http(case: Case, heard: Heard) -> str | None:
    if heard.data and not _STATUS.match(heard.data):
        return f"not HTTP: {heard.data[:60]!r}"
    if any(_SPLIT.search(head) for head in _HEAD.findall(heard.data)):
        return "a header from the request in the answer"
    if any(_MARKUP.search(page) for page in _PAGE.findall(heard.data)):
        return "markup from the request on a page"
    heads = [*_STATUS.finditer(heard.data)]
    ends = [*(following.start() for following in heads[1:]), len(heard.data)]
    for found, end in zip(heads, ends, strict=False):
        if said := _unexpected(int(found[1]), heard.data[found.end() : min(end, found.end() + 4_000)]):
            return said
    return None if case.answers is None or heard.cut else _all_answered(case.answers, heard.data)


def _unexpected(status: int, behind: bytes) -> str | None:
    if status < 500:
        return None
    code = _CODE.search(behind)
    named = code[1].decode() if code else ""
    bodiless = not code and status in (501, 503, 505)  # of a HEAD
    return None if bodiless or named in REFUSALS.get(status, ()) else f"answered {status} {named}"


def _all_answered(methods: list[str], data: bytes) -> str | None:
    """Each request has one complete answer, in order, up to an answer that closes the connection."""
    for place, method in enumerate(methods):
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            return f"{place} answers to {len(methods)} requests: {data[:80]!r}"
        status = _STATUS.match(head)
        if status is None:
            return f"after {place} answers: {data[:60]!r}"
        fields = head.lower()
        if method == "HEAD" or int(status[1]) in (204, 304):
            data = rest
        elif b"\r\ntransfer-encoding: chunked" in fields:
            body, data, whole = _unchunked(rest)
            if not whole:
                return "a chunked answer that does not end"
        else:
            length = re.search(rb"\r\ncontent-length: (\d+)", fields)
            size = int(length[1]) if length else 0
            body, data = rest[:size], rest[size:]
            if len(body) < size:
                return f"an answer of {size} bytes breaks off after {len(body)}"
            if b"json" in fields.partition(b"\r\ncontent-type:")[2].partition(b"\r\n")[0] and (said := _no_json(body)):
                return said
        if b"\r\nconnection: close" in fields and place < len(methods) - 1:
            return None if not data else f"bytes after an answer that closes the connection: {data[:60]!r}"
    return f"more answers than {len(methods)} requests: {data[:60]!r}" if data else None


def _no_json(body: bytes) -> str | None:
    try:
        json.loads(body.decode())
    except RecursionError:
        return "an answer nested too deeply to be parsed"
    except ValueError as error:
        return f"an answer that is not JSON: {error!s:.60} {body[:60]!r}"
    return None


def _unchunked(data: bytes) -> tuple[bytes, bytes, bool]:
    parts = []
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            return b"".join(parts), data, False
        size = int(line, 16)
        if size == 0:
            return b"".join(parts), data[2:], data[:2] == b"\r\n"
        parts.append(data[:size])
        data = data[size + 2 :]


def _websocket(case: Case, heard: Heard) -> str | None:
    head, found, rest = heard.data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 101 "):
        return _http(case, heard)
    if not found:
        return "half a head"
    while rest:
        if len(rest) < 2:
            return None if heard.over is not True or heard.cut else "half a frame"
        if rest[1] & 0x80:
            return "a masked frame from the server"
        size, at = rest[1] & 0x7F, 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(rest[2 : 2 + width], "big"), 2 + width
        data, opcode = rest[at : at + size], rest[0] & 0x0F
        if len(data) < size:
            return None if heard.over is not True or heard.cut else "half a frame"
        if said := _said(rest[0], opcode, data):
            return said
        rest = rest[at + size :]
    return None


def _said(first: int, opcode: int, data: bytes) -> str | None:
    if opcode == 8:
        code = struct.unpack("!H", data[:2])[0] if len(data) > 1 else 1005
        return f"closed with {code}: {data[2:]!r}" if code == 1011 else None
    if opcode in (9, 10):
        return None
    if first != 0x81:
        return f"a frame that begins with {first:#x}"
    try:
        message = json.loads(data.decode())
    except ValueError as error:
        return f"a message that is not JSON: {error!s:.60}"
    status, code = message.get("status", 0), message.get("code")
    return f"answered {status} {code}" if status >= 500 and code not in REFUSALS.get(status, ()) else None


_WORDS = re.compile(
    rb"(?:INSERTED \d+|BURIED \d+|BURIED|EXPECTED_CRLF|JOB_TOO_BIG|DRAINING|USING \S+|WATCHING \d+|NOT_IGNORED|DEADLINE_SOON|TIMED_OUT|DELETED|NOT_FOUND|RELEASED|TOUCHED|KICKED \d+|KICKED"
    rb"|PAUSED|OUT_OF_MEMORY|BAD_FORMAT|UNKNOWN_COMMAND)\r\n"
)
_WITH_BODY = re.compile(rb"(?:RESERVED \d+|FOUND \d+|OK) (\d+)\r\n")


def _beanstalkd(case: Case, heard: Heard) -> str | None:
    data, count, at = heard.data, 0, 0
    while at < len(data):
        if body := _WITH_BODY.match(data, at):
            end = body.end() + int(body[1]) + 2
            if end <= len(data) and data[end - 2 : end] != b"\r\n":
                return f"a body of another length than declared: {data[at : at + 60]!r}"
        elif word := _WORDS.match(data, at):
            end = word.end()
        else:
            partial = b"\r\n" not in data[at:]
            return None if partial and heard.over is not True else f"no reply of beanstalkd: {data[at : at + 60]!r}"
        count, at = count + 1, end
    if case.answers is not None and not heard.cut and count != len(case.answers):
        return f"{count} replies to {len(case.answers)} commands"
    return None


_BY_DOOR: dict[str, Callable[[Case, Heard], str | None]] = {
    "http": _http,
    "page": _http,
    "dialects": _http,
    "websocket": _websocket,
    "beanstalkd": _beanstalkd,
}
