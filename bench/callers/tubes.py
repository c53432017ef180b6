"""The protocol of beanstalkd over one blocking socket, at Holdfast's door for it or at beanstalkd itself."""

import socket

from bench.peerwire import ReplyReader, beanstalk_body


class Refused(Exception):
    """An unexpected reply."""


class Put:
    """One put after the other."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        host, _, port = address.partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = ReplyReader(beanstalk_body, 1)
        self._put = b"put 1024 0 300 %d\r\n%b\r\n" % (payload_bytes, b"x" * payload_bytes)
        self._ask(b"use %b\r\n" % queue.encode(), b"USING")

    def turn(self, n: int) -> None:
        self._ask(self._put, b"INSERTED")

    def _ask(self, command: bytes, expected: bytes) -> None:
        self._socket.sendall(command)
        while not (replies := self._reader.feed(received := self._socket.recv(65_536))):
            if not received:
                raise ConnectionError("the server closed the connection")
        line = replies[0][0][0]
        if not line.startswith(expected):
            raise Refused(line.decode(errors="replace"))


class Reserve(Put):
    """One reserve after the other, of jobs that are ready; they stay reserved."""

    def __init__(self, address: str, queue: str, payload_bytes: int) -> None:
        super().__init__(address, queue, payload_bytes)
        self._ask(b"watch %b\r\n" % queue.encode(), b"WATCHING")

    def turn(self, n: int) -> None:
        self._ask(b"reserve-with-timeout 0\r\n", b"RESERVED")
