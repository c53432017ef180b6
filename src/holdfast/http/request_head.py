"""What RFC 9110 and 9112 ask about the head of a request beyond what the parser sees to."""

import re
from collections.abc import Iterable

import httptools

from holdfast.errors import InvalidRequest

Headers = Iterable[tuple[bytes, bytes]]

_ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://(?P<host>[^/?#]*)(?P<path>.*)", re.IGNORECASE | re.DOTALL)


def without_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """The same head without its offer to go on in another protocol, which a server may pass over (RFC 9110 7.8).

    The parser reads nothing behind an offer as the request's own, its body neither; behind this head it does.
    """
    lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    lines += [b"%b: %b\r\n" % pair for pair in headers if pair[0] != b"upgrade"]
    return b"".join(lines) + b"\r\n"


def is_handshake(method: bytes, path: bytes, headers: Headers, channel: str) -> bool:
    """Whether an upgrade is for a WebSocket: without a body, to the channel's path or with a key.

    Every other offer is passed over, so that a request is never less than it would be without one.
    """
    keyed = offered = False
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return False
        keyed = keyed or name == b"sec-websocket-key"
        offered = offered or (name == b"upgrade" and b"websocket" in [part.strip() for part in value.lower().split(b",")])
    return offered and (path.decode("latin-1").rstrip("/").endswith(channel) or (keyed and method == b"GET"))


def handshake(method: bytes, headers: Headers) -> bytes:
    """The head of a WebSocket handshake, reduced to the headers of one, with WebSocket as the only protocol."""
    kept = [pair for pair in headers if pair[0] == b"host" or pair[0].startswith(b"sec-websocket-")]
    lines = [
        b"%b / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n" % method,
        *(b"%b: %b\r\n" % pair for pair in kept),
    ]
    return b"".join(lines) + b"\r\n"


def flaw(version: str, method: bytes, headers: Headers) -> tuple[int, InvalidRequest] | None:
    """Why a request is ambiguous or can't be read by this server, and the status of its refusal: nothing behind it is read."""
    if method == b"CONNECT":
        return 400, InvalidRequest("This is no proxy: nothing is connected to.", field="request")
    if version not in ("1.0", "1.1"):
        return 505, InvalidRequest(f"HTTP/{version} is not spoken here, but HTTP/1.1.", field="request")
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and version == "1.0":
        return 400, InvalidRequest("HTTP/1.0 has no Transfer-Encoding.", field="Transfer-Encoding")
    if codings and codings != [b"chunked"]:
        shown = b", ".join(codings).decode("latin-1")
        ours = [coding.strip() for coding in shown.split(",")]
        unknown = ours[-1] == "chunked" and ours.count("chunked") == 1  # else the end of the body is ambiguous
        return 501 if unknown else 400, InvalidRequest(
            f"A body may come in chunks, and not in {shown[:100]}.", field="Transfer-Encoding"
        )
    return None


def asks_first(headers: Headers) -> bool:
    """Whether the caller waits for 100 Continue before it sends the body."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


def in_origin_form(target: bytes, method: bytes, headers: list[tuple[bytes, bytes]]) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """A target that names a host, without it. It is the host that counts then, and not the one of the header (RFC 9112 3.2.2).

    Raises `HttpParserError` for one that can't be read.
    """
    found = _ABSOLUTE.fullmatch(target)
    if found is None:
        return target, headers
    httptools.parse_url(target)
    if [name for name, _ in headers].count(b"host") == 1:
        headers = [(name, found["host"] if name == b"host" else value) for name, value in headers]
    path: bytes = found["path"] if found["path"][:1] == b"/" else b"/" + found["path"]
    return (b"*" if method == b"OPTIONS" and not found["path"] else path), headers
