"""What RFC 9110 and 9112 ask about the head of a request beyond what the parser sees to."""

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]


def without_offer(method: bytes, target: bytes, version: str, headers: Headers) -> bytes:
    """The same head without its offer to go on in another protocol, which a server may pass over (RFC 9110 7.8).

    The parser reads nothing behind an offer as the request's own, its body neither; behind this head it does.
    """
    lines = [b"%b %b HTTP/%b\r\n" % (method, target, version.encode())]
    lines += [b"%b: %b\r\n" % pair for pair in headers if pair[0] != b"upgrade"]
    return b"".join(lines) + b"\r\n"


def is_handshake(method: bytes, path: bytes, headers: Headers, channel: str) -> bool:
    """Whether an offer is a WebSocket that somebody means to open: one without a body, to the channel or with a key.

    Every other offer is passed over, so that a request is never less than it would be without one.
    """
    keyed = offered = False
    for name, value in headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return False
        keyed = keyed or name == b"sec-websocket-key"
        offered = offered or (name == b"upgrade" and b"websocket" in [part.strip() for part in value.lower().split(b",")])
    return offered and (path.decode("latin-1").rstrip("/").endswith(channel) or (keyed and method == b"GET"))
