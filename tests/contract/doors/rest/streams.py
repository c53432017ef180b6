"""What may come in on one connection: requests of all forms one behind the other, and what RFC 9110 and 9112 read in their bytes.

`connections` makes streams up. `read` knows nothing of how one was made, nor of the server's parser: it reads the bytes as the RFCs say, and
so says which requests there are, with which bodies, and where the stream ends or breaks.
"""

import contextlib
import dataclasses
import json
import re
import socket
from pathlib import Path

from hypothesis import strategies as st

from tests.system.whole.servers import until

METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"}
_FIELD = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x21-\x7e\x80-\xff]?(?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)[ \t]*"
)
_SIZE = re.compile(rb"([0-9A-Fa-f]+)(?:;[\t\x20-\x7e\x80-\xff]*)?")


class Broken(Exception):
    """This can't be read in one way only, or is nothing that this server takes: it is refused, and nothing behind it is read."""


class Cut(Exception):
    """The stream ends within a request."""


@dataclasses.dataclass
class Asked:
    """One request as it was read."""

    method: bytes
    target: bytes
    body: bytes
    last: bool  # nothing behind it is read


@dataclasses.dataclass
class Stream:
    """The bytes of a connection in the pieces that they are sent in."""

    pieces: list[bytes]

    @property
    def data(self):
        """All of it."""
        return b"".join(self.pieces)


# Reading


def read(data):
    """The requests of a stream, and whether it then breaks: "whole", "cut" or "broken"."""
    found, at = [], 0
    while at < len(data):
        try:
            one, at = _request(data, at)
        except Broken:
            return found, "broken"
        except Cut:
            return found, "cut"
        found.append(one)
        if one.last:
            break
    return found, "whole"


def _line(data, at):
    end = data.find(b"\r\n", at)
    if end < 0:
        raise Cut
    return data[at:end], end + 2


def _request(data, at):
    first, at = _line(data, at)
    fields, at = _fields(data, at)
    parts = re.fullmatch(rb"([A-Z]+) ([\x21-\x7e]+) HTTP/1\.([01])", first)
    if parts is None or parts[1] not in METHODS:
        raise Broken
    method, target, minor = parts.groups()
    hosts = [value for name, value in fields if name == b"host"]
    if len(hosts) > 1 or (minor == b"1" and not hosts):
        raise Broken
    options = [option.strip().lower() for name, value in fields if name == b"connection" for option in value.split(b",")]
    body, at = _body(data, at, fields, minor)
    return Asked(method, target, body, minor == b"0" or b"close" in options), at


def _fields(data, at):
    fields = []
    while True:
        line, at = _line(data, at)
        if not line:
            return fields, at
        parts = _FIELD.fullmatch(line)
        if parts is None:
            raise Broken
        fields.append((parts[1].lower(), parts[2]))


def _body(data, at, fields, minor):
    lengths = [value for name, value in fields if name == b"content-length"]
    codings = [value for name, value in fields if name == b"transfer-encoding"]
    if codings:
        if lengths or minor == b"0" or [coding.lower() for coding in codings] != [b"chunked"]:
            raise Broken
        return _chunks(data, at)
    if not lengths:
        return b"", at
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
        raise Broken
    end = at + int(lengths[0])
    if end > len(data):
        raise Cut
    return data[at:end], end


def _chunks(data, at):
    parts = []
    while True:
        line, at = _line(data, at)
        size = _SIZE.fullmatch(line)
        if size is None:
            raise Broken
        if (count := int(size[1], 16)) == 0:
            trailers, at = _fields(data, at)
            if {name for name, _ in trailers} & {b"content-length", b"transfer-encoding"}:
                raise Broken
            return b"".join(parts), at
        if at + count + 2 > len(data):
            raise Cut
        parts.append(data[at : at + count])
        at += count
        if data[at : at + 2] != b"\r\n":
            raise Broken
        at += 2


# Making up

OFFERS = [
    (),
    (b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA", b"Connection: Upgrade, HTTP2-Settings"),
    (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"),
    (b"Upgrade: h2c, websocket", b"Connection: upgrade"),
    (b"Upgrade: TLS/1.0", b"Upgrade: HTTP/2.0, IRC/6.9", b"Connection: keep-alive", b"Connection: UPGRADE"),
    (b"upgrade: WebSocket", b"CONNECTION: keep-alive,  upgrade"),
    (
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Connection: Upgrade",
    ),
    (b"Upgrade: h2c",),
    (b"Connection: upgrade",),
    (b"Connection: keep-alive, Upgrade", b"Upgrade: "),
]
TRAILERS = [
    (),
    (b"Digest: x",),
    (b"Host: evil.example", b"Origin: https://evil.example", b"Sec-Fetch-Site: cross-site"),
    (b"Content-Length: 3", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip"),
    (b"Idempotency-Key: one", b"Idempotency-Key: two", b"Connection: close", b"Expect: 100-continue", b"X-Request-Id: t"),
    (b"Connection: Upgrade", b"Upgrade: h2c"),
]
SMUGGLED = b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
_POST = b"POST /v1/queues/smuggled/jobs HTTP/1.1\r\nHost: localhost\r\n"
_OFFERING = _POST + b"Upgrade: h2c\r\nConnection: Upgrade\r\n"
_IN_CHUNKS = b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
ENDS = [
    b"CONNECT localhost:4653 HTTP/1.1\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    b"CONNECT localhost:4653 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}" + SMUGGLED,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SMUGGLED,
    _POST + b"Transfer-Encoding: gzip, chunked" + _IN_CHUNKS + SMUGGLED,
    _POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked" + _IN_CHUNKS + SMUGGLED,
    _POST + b"Transfer-Encoding: chunked, chunked" + _IN_CHUNKS + SMUGGLED,
    _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked" + _IN_CHUNKS + SMUGGLED,
    _POST + b"Transfer-Encoding: chunked;q=1" + _IN_CHUNKS + SMUGGLED,
    _POST + b"Transfer-Encoding: identity\r\n\r\n" + SMUGGLED,
    _OFFERING + b"Transfer-Encoding: gzip, chunked" + _IN_CHUNKS + SMUGGLED,
    _OFFERING + b"Content-Length: 2\r\nTransfer-Encoding: chunked" + _IN_CHUNKS,
    _OFFERING + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    _OFFERING + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nContent-Length: 3\r\n\r\n" + SMUGGLED,
    _POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked" + _IN_CHUNKS,
    *[
        _POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + SMUGGLED
        for chunk in (
            b"0x2\r\n{}\r\n0\r\n\r\n",
            b"+2\r\n{}\r\n0\r\n\r\n",
            b" 2\r\n{}\r\n0\r\n\r\n",
            b"2 \r\n{}\r\n0\r\n\r\n",
            b"2\n{}\n0\n\n",
            b"1\r\n{}\r\n0\r\n\r\n",
            b"\r\n{}\r\n0\r\n\r\n",
            b"2;\x01\r\n{}\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n",
        )
    ],
    *[
        _POST + b"Content-Length: " + length + b"\r\n\r\n{}" + SMUGGLED
        for length in (
            b"0x2",
            b"+2",
            b"-2",
            b"2, 2",
            b"2 2",
            b"",
            b"2a",
            b"18446744073709551618",
        )
    ],
    _POST + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    _POST + b"X: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    _POST + b"X: \x01\r\nContent-Length: 2\r\n\r\n{}",
    _POST + b"X: a\rContent-Length: 2\r\n\r\n{}",
    _POST + b"X : a\r\nContent-Length: 2\r\n\r\n{}",
    _POST.replace(b"1.1", b"2.0") + b"Content-Length: 2\r\n\r\n{}",
    b"GET /v1/queues HTTP/0.9\r\nHost: localhost\r\n\r\n" + SMUGGLED,
    b"GET /v1/queues\r\n\r\n" + SMUGGLED,
    b"\x16\x03\x01\x00\xa5\x01\r\n\r\n",
]


def _chunked(draw, body):
    parts, at = [], 0
    while at < len(body):
        size = draw(st.integers(1, max(1, min(len(body) - at, draw(st.sampled_from([1, 7, 64, 5_000]))))))
        note = draw(st.sampled_from([b"", b"", b";note=1", b';a="b c"']))
        parts.append(b"%x%b\r\n%b\r\n" % (size, note, body[at : at + size]))
        at += size
    trailers = draw(st.sampled_from(TRAILERS))
    return b"".join([*parts, draw(st.sampled_from([b"0\r\n", b"000\r\n"])), *(line + b"\r\n" for line in trailers), b"\r\n"])


@st.composite
def requests(draw, queue):
    """One request: mostly one that puts a job whose payload tells it from every other."""
    mark = draw(st.integers(0, 10**9))
    json_body = json.dumps({"payload": [mark, draw(st.text(max_size=30))]}).encode()
    kind, method, path, body = draw(
        st.sampled_from(
            [
                (b"application/json", b"POST", f"/v1/queues/{queue}/jobs", json_body),
                (b"text/plain", b"POST", f"/v1/queues/{queue}/jobs", b"%d " % mark + SMUGGLED * draw(st.integers(0, 3))),
                (b"application/json", b"POST", f"/v1/queues/{queue}/jobs?", json_body),
                (b"application/json", b"POST", f"http://localhost/v1/queues/{queue}/jobs", json_body),
                (b"text/plain", b"POST", f"/v1/queues/%{ord(queue[0]):x}{queue[1:]}/jobs", b"%d" % mark + b"\x00\xff" * 2_000),
                (b"text/plain", b"POST", "/v1/nowhere", SMUGGLED),
                (b"application/json", b"PUT", f"/v1/queues/{queue}-set", b'{"capacity_jobs": %d}' % (mark + 1)),
                (b"text/plain", b"GET", "/healthz", b""),
                (b"text/plain", b"GET", "/healthz", SMUGGLED),
                (b"text/plain", b"GET", "/v1/channel", b""),
                (b"text/plain", b"HEAD", "/healthz", b""),
                (b"text/plain", b"OPTIONS", "*", b""),
            ]
        )
    )
    fields = [b"Host: localhost", b"Content-Type: " + kind]
    offer = draw(st.sampled_from(OFFERS))
    if method in (b"POST", b"PUT") or b"websocket" not in b" ".join(offer).lower():  # else it is meant: see the channel's tests
        fields += offer
    version = draw(st.sampled_from([b"1.1"] * 12 + [b"1.0"]))
    asks_first = version == b"1.1" and draw(st.integers(0, 9)) == 0
    fields += draw(st.sampled_from([[]] * 12 + [[b"Connection: close"]] + [[b"Connection: keep-alive"]] * 2))
    fields += [b"Expect: 100-continue"] * asks_first
    in_chunks = version == b"1.1" and bool(body) and draw(st.booleans())
    if in_chunks:
        fields.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:  Chunked "])))
        body = _chunked(draw, body)
    elif body or draw(st.booleans()):
        fields.append(b"Content-Length: %d" % len(body))
    fields = draw(st.permutations(fields))
    return (
        b"%b %b HTTP/%b\r\n" % (method, path.encode(), version) + b"".join(line + b"\r\n" for line in fields) + b"\r\n" + body
    )


@st.composite
def connections(draw, queue):
    """A connection: some requests, perhaps a last one that is none or that breaks off, cut into pieces at any place."""
    parts = draw(st.lists(requests(queue), min_size=1, max_size=6))
    end = draw(st.sampled_from(["whole"] * 4 + ["cut", "broken"]))
    if end == "cut":
        parts[-1] = parts[-1][: draw(st.integers(1, len(parts[-1]) - 1))]
    elif end == "broken":
        parts.append(draw(st.sampled_from(ENDS)))
    return Stream(draw(pieces(parts)))


@st.composite
def pieces(draw, parts):
    """The same bytes in other pieces."""
    data = b"".join(parts)
    match draw(st.sampled_from(["one", "each", "bytes", "anywhere", "heads"])):
        case "one":
            return [data]
        case "each":
            return parts
        case "bytes":
            size = 1 if len(data) < 1_500 else 11
            return [data[at : at + size] for at in range(0, len(data), size)]
        case "anywhere":
            cuts = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=12)))
            return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]
        case _:
            return [piece for piece in re.split(rb"(?<=\r\n\r\n)", data) if piece]


# On the wire


class Caller:
    """One connection that says a stream and hears what is answered."""

    def __init__(self, server):
        self.socket = socket.create_connection((server.host, server.port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def say(self, pieces):
        """Each piece as a segment of its own; one that is closed upon may go unsaid."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def until_taken(self):
        """The server has read all that was said."""
        ends = [f":{end[1]:04X}" for end in (self.socket.getpeername(), self.socket.getsockname())]

        def queued():
            rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            return [row[4] for row in rows if row[1].endswith(ends[0]) and row[2].endswith(ends[1])]

        until(lambda: all(bytes_in.endswith(":00000000") for bytes_in in queued()), "the server reads what was said")

    def end(self):
        """Say nothing more, and go on listening."""
        with contextlib.suppress(OSError):  # it was closed upon
            self.socket.shutdown(socket.SHUT_WR)

    def answers(self, asked):
        """All answers until the other end closes, to these methods: status, headers and body. Those that only say "go on" are left out."""
        found, methods = [], iter(asked)
        while (answer := self.answer(next(methods, b""))) is not None:
            found.append(answer)
        return found

    def answer(self, method):
        """The next answer, to this method; None when the other end has closed."""
        status = 100
        while status == 100:
            if (first := self._line()) is None:
                return None
            status = int(re.fullmatch(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n", first)[1])
            headers = {}
            while (line := self._line()) not in (b"\r\n", None):
                name, _, value = line.partition(b":")
                headers[name.decode().lower()] = value.strip().decode()
        bodiless = method == b"HEAD" or status in (204, 304)
        return status, headers, b"" if bodiless else self._body(headers)

    def _line(self):
        try:
            return self.file.readline() or None
        except ConnectionResetError:
            return None  # closed while bytes of ours were still on their way

    def _body(self, headers):
        if headers.get("transfer-encoding") != "chunked":
            body = self.file.read(int(headers["content-length"]))
            assert len(body) == int(headers["content-length"]), "an answer breaks off"
            return body
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return body
