"""Enqueueing over a live channel, one message after the other, on a blocking socket."""

import socket

from bench.channelwire import HANDSHAKE, OPENED, MessageReader, frame, heard


class Refused(Exception):
    """An answer other than `enqueued`."""


class Channel:
    """One channel that only enqueues, without idempotency keys."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = MessageReader()
        self._queue, self._fill = queue.encode(), b"x" * payload_bytes
        self._socket.sendall(HANDSHAKE)
        assert self._next()[0] == OPENED

    def turn(self, n: int) -> None:
        job = b'{"queue":"%b","payload":{"n":%d,"fill":"%b"}}' % (self._queue, n, self._fill)
        self._socket.sendall(frame(b'{"op":"enqueue","ref":"%d","body":{"jobs":[%b]}}' % (n, job)))
        said = heard(self._next()[1])
        if said.op != "enqueued" or said.ref != str(n):
            raise Refused(f"{said.op} {said.detail}")

    def _next(self) -> tuple[str, bytes]:
        while not (messages := self._reader.feed(received := self._socket.recv(65_536))):
            if not received:
                raise ConnectionError("the server closed the channel")
        return messages[0]
