"""HTTP over one blocking socket that is kept: the least that a caller can do."""

import secrets
import socket

from bench.wire import HttpReader, http_request


class Refused(Exception):
    """An answer other than 201."""


class Plain:
    """One job a request, without an idempotency key."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = HttpReader()
        self._path, self._fill = f"/v1/queues/{queue}/jobs", b"x" * payload_bytes

    def turn(self, n: int) -> None:
        self._ask(self._request(n))

    def _request(self, n: int) -> bytes:
        return http_request("POST", self._path, b'{"payload":{"n":%d,"fill":"%b"}}' % (n, self._fill))

    def _ask(self, request: bytes) -> None:
        self._socket.sendall(request)
        while not (answers := self._reader.feed(received := self._socket.recv(65_536))):
            if not received:
                raise ConnectionError("the server closed the connection")
        if answers[0][0] != 201:
            raise Refused(str(answers[0]))


class Keyed(Plain):
    """The same with a new key for each request."""

    def _request(self, n: int) -> bytes:
        line = b"\r\nIdempotency-Key: %b\r\n" % secrets.token_hex(16).encode()
        return super()._request(n).replace(b"\r\n", line, 1)
