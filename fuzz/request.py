"""An HTTP request in parts, the corruptions of each part, and its bytes."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from urllib.parse import quote

from fuzz import values

PREFIX = "/under"  # of `--root-path`
HOST = "Host: localhost"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "PURGE", "QUERY"]
ODD_METHODS = ["get", "CONNECT", "PRI", "X", "G\0T", "POST ", "BREW", "M" * 300, "ＧＥＴ"]
# Headers that do not affect how a message is read.
HEADERS = [
    "X-Forwarded-Prefix: /evil", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X-Forwarded-For: 1.2.3.4, <script>", 'Forwarded: host=evil.example;for="[::1]"',
    "X-Original-URL: /v1/queues/fuzz/purge", "X-Rewrite-URL: /web", "X-HTTP-Method-Override: DELETE", "X-Method-Override: DELETE", "X-Script-Name: /x", "Script-Name: //evil.example",
    "Range: bytes=0-", "If-None-Match: *", "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "Accept: */*;q=٣", "Accept: " + "a/b," * 300, "Accept-Language: " + "x" * 2_000,
    "Accept-Encoding: gzip, br;q=0, *;q=1e400", "Cookie: " + "a=b; " * 300, 'Cookie: holdfast_form="', "Cookie: =;;;=\xff", "Authorization: Basic !!!", "Authorization: Bearer " + "x" * 3_000,
    "Origin: null", "Origin: https://evil.example", "Origin: http://localhost", "Sec-Fetch-Site: cross-site", "Referer: javascript:alert(1)", "User-Agent: " + values.MARKUP,
    "X-Request-Id: mine", "X-Request-Id: \xff", "X-Request-Id: " + "x" * 129, "Idempotency-Key: one", "Idempotency-Key: ", "Idempotency-Key: \xe9", "Idempotency-Key: " + "k" * 129,
    "HX-Request: true", "HX-Target: <b>", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "Connection: keep-alive", "Connection: Host, Origin, X-Request-Id",
    "Proxy: http://evil.example", "TE: trailers, deflate", "Trailer: Host", "Last-Event-ID: -1", "Last-Event-ID: 99999999999999999999", "Max-Forwards: 0", "Via: 1.1 x", "Date: now", "Expect: ",
    "traceparent: 00-\0", "Priority: u=0, i", "Content-MD5: x", "X: " + "y" * 9_000, "_: _", "X_Forwarded_For: 1", ": empty", "\xff: x",
]  # fmt: skip
# Headers that make it ambiguous where a message ends, or for which host it is.
DOUBTFUL = [
    "Host: localhost", "Host: evil.example", "Host:", "Host: [::1].evil.example", "Host: localhost:evil", "Host: localhost.", "host : localhost", "Content-Length: 0", "Content-Length: 5, 5",
    "Content-Length: +5", "Content-Length: 0x5", "Content-Length: ٣", "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 4294967296", "Content-Length: 1e1",
    "Content-Length : 4", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding:\x0bchunked", "Transfer-Encoding : chunked", 'Transfer-Encoding: "chunked"', "transfer-encoding: CHUNKED", "Transfer_Encoding: chunked", "X: a\r\n b", " folded: x", "X: a\rb", "X: a\nY: b",
    "X: a\0b", "X", "Connection: close", "Connection: close, keep-alive", "Expect: 100-continue", "Expect: 200-ok", "Upgrade: websocket", "Content-Encoding: gzip", "Content-Encoding: identity",
    "X: \x01\x02", "X: " + "z" * 70_000, *["A: b"] * 2,
]  # fmt: skip
TYPES = [
    "application/json", "application/json; charset=utf-8", "application/json; charset=utf-16", "application/problem+json", "text/plain", "text/html", "application/octet-stream", "application/x-www-form-urlencoded",
    "multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary=" + "b" * 300, "application/x-msgpack", "/", "", "application/json, text/plain", "x" * 300, "image/png\xff",
]  # fmt: skip
VERSIONS = ["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "http/1.1", "HTTP/1.1.1", "HTTP/11", "", "HTTP/1.1 x", "ICY"]
CHUNK_SIZES = [
    b"5",
    b"05",
    b"0005",
    b"5;x",
    b'5;x="a\r\nb"',
    b"5 ",
    b" 5",
    b"+5",
    b"-5",
    b"0x5",
    b"5h",
    b"",
    b"FFFFFFFFFFFFFFFF",
    b"FFFFFFFFFFFFFFFFF",
    b"10000000000000005",
    b"5\t",
    b"5;" + b"x" * 3_000,
    b"0" * 3_000,
]


@dataclass(slots=True)
class Request:
    """`certain`: there is only one way to read it, so that it and the request after it must be answered."""

    method: str
    target: str
    body: bytes = b""
    headers: list[str] = field(default_factory=list)
    version: str = "HTTP/1.1"
    chunks: int = 0  # 0: it has a Content-Length
    certain: bool = True
    notes: list[str] = field(default_factory=list)

    def corrupt(self, draw: Random) -> None:
        """Make one part odd or wrong."""
        kind = draw.randrange(12)
        if kind < 3:
            self.headers.append(draw.choice(HEADERS))
            self.note(
                f"header {self.headers[-1][:40]!r}",
                "\xff: x" not in self.headers[-1]
                and not self.headers[-1].startswith((":", "\xff"))
                and "\0" not in self.headers[-1],
            )
        elif kind == 3:
            self.headers.append(draw.choice(DOUBTFUL))
            self.note(f"header {self.headers[-1][:40]!r}", False)
        elif kind == 4:
            self.headers = [one for one in self.headers if not one.lower().startswith("content-type")] + [
                f"Content-Type: {draw.choice(TYPES)}"
            ]
            self.note("type")
        elif kind == 5:
            self.method = draw.choice(METHODS)
            self.note(self.method)
        elif kind == 6:
            self.method = draw.choice(ODD_METHODS)
            self.note("method", False)
        elif kind == 7:
            self.version = draw.choice(VERSIONS)
            self.note(self.version, False)
        elif kind < 11:
            self.target, certain = odd_target(self.target, draw)
            self.note(f"target {self.target[:60]!r}", certain)
        else:
            self.chunks = draw.choice([1, 2, 5])
            self.note("in chunks")

    def note(self, what: str, certain: bool = True) -> None:
        """Record what was corrupted."""
        self.notes.append(what)
        self.certain &= certain

    def written(self, draw: Random) -> bytes:
        """Its bytes."""
        lines = [f"{self.method} {self.target} {self.version}", HOST, *self.headers]
        if self.chunks:
            lines.append("Transfer-Encoding: chunked")
        elif self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(self.body)}")
        head = "\r\n".join(lines).encode(
            "utf-8" if any(ord(sign) > 255 for line in lines for sign in line) else "latin-1", "surrogatepass"
        )
        return head + b"\r\n\r\n" + (self._in_chunks(draw) if self.chunks else self.body)

    def _in_chunks(self, draw: Random) -> bytes:
        size = max(1, len(self.body) // self.chunks)
        parts = [self.body[at : at + size] for at in range(0, len(self.body), size)]
        written = [b"%x%b\r\n%b\r\n" % (len(part), draw.choice([b"", b"", b";a", b";a=b"]), part) for part in parts]
        if draw.random() < 0.15:
            written.insert(
                draw.randint(0, len(written)),
                draw.choice(CHUNK_SIZES) + draw.choice([b"\r\n", b"\n", b"\r"]) + b"abcde" + draw.choice([b"\r\n", b"\n", b""]),
            )
            self.note("chunk", False)
        trailers = b""
        if draw.random() < 0.3:
            trailers = draw.choice(
                [
                    b"X: y\r\n",
                    b"Host: evil.example\r\n",
                    b"Content-Length: 3\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b" folded\r\n",
                    b"A: b\r\n" * 500,
                ]
            )
            self.note("trailers", trailers[:1] in (b"X", b"H", b"A"))
        return b"".join(written) + b"0\r\n" + trailers + b"\r\n"


def odd_target(target: str, draw: Random) -> tuple[str, bool]:
    """The target written in another way, a hostile one, or an invalid one; and whether it is valid."""
    path, _, query = target.partition("?")
    place = draw.randrange(len(path)) if path else 0
    certain = [
        PREFIX + target,
        PREFIX + PREFIX + target,
        PREFIX + "/.." + target,
        PREFIX.upper() + target,
        PREFIX[:-1] + target,
        PREFIX + "%2F" + target[1:],
        "/" + target,
        path + "/" + ("?" + query if query else ""),
        path.replace("/", "//", 2),
        path.replace("/", "/./", 2),
        "/x/.." + target,
        "/%2e%2e" + target,
        "/..;" + target,
        path[:place] + "%" + f"{ord(path[place]) & 255:02x}" + path[place + 1 :] if path else "/",
        path[:place] + "%00" + path[place:],
        path[:place] + "%ff" + path[place:],
        path[:place] + "%2f" + path[place:],
        path[:place] + "%zz" + path[place:],
        path[:place] + "%" + path[place:],
        path + ";x=y",
        path + "?" + query + "&x=1",
        path + "?" + query + "&" + query,
        path + "?limit=" + quote(draw.choice(values.NUMBERS)),
        path + "?wait_ms=" + quote(draw.choice(values.NUMBERS)),
        path + "?%",
        path + "?" + "a&" * 2_500,
        path + "?=&=&&;=%00",
        path + "?" + quote(draw.choice(values.TEXTS)[:2_000].encode("utf-8", "replace")),
        path.upper(),
        "http://localhost" + target,
        "http://evil.example" + target,
        "http://localhost@evil.example" + target,
        "http://localhost:99999" + target,
        path + "x" * 9_000,
        "/" * 200,
    ]
    doubtful = ["*", "", " ", target + " x", target.replace("/", "\\"), path[:place] + "\0" + path[place:], path[:place] + "ü" + path[place:], "//evil.example" + target,
                "///" + target, target + "#fragment", "evil.example:80", "http://", "http:///" + target, "://", "x" * 70_000, "http://[::1" + target, path[:place] + "\t" + path[place:]]  # fmt: skip
    if draw.random() < 0.25:
        return draw.choice(doubtful), False
    return draw.choice(certain), True
