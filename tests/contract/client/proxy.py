"""A proxy that does to the answers what it is told to: cut them off, or give others in their place."""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

PASS, CUT = "pass", "cut"


def answer(status: str, body: str = "<html>by a proxy</html>", *headers: str) -> bytes:
    """An answer of its own."""
    head = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*head, "", body]).encode()


class Proxy:
    """`plan` says what becomes of the next answers: PASS, CUT, or the bytes of another one; then they pass. The request always goes through,
    but with `refuse`, which answers without asking the server. `change`: what it makes of an answer that passes.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.plan: deque[str | bytes] = deque()
        self.refuse: deque[bytes] = deque()
        self.change: Callable[[bytes], bytes] = bytes
        self.requests: list[bytes] = []
        self.times: list[float] = []
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                caller, _ = self._listener.accept()
                self._open.add(caller)
                threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with contextlib.suppress(OSError), caller, socket.create_connection(("127.0.0.1", self._port)) as server:
            while request := message(caller):
                self.requests.append(request)
                self.times.append(time.monotonic())
                if self.refuse:
                    caller.sendall(self.refuse.popleft())
                    continue
                server.sendall(request)
                said = message(server)
                done = self.plan.popleft() if self.plan else PASS
                if done == CUT or not said:
                    return
                caller.sendall(self.change(said) if isinstance(done, str) else done)

    def close(self) -> None:
        """Take no more calls, and cut those that are open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # a close alone would leave it open to the thread that waits in it
        self._listener.close()
        for caller in self._open:
            with contextlib.suppress(OSError):
                caller.shutdown(socket.SHUT_RDWR)


class Relay:
    """Hands on whatever comes, and can be cut: then what passes through it breaks off, and what comes next passes."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                self._open |= {caller, server}
                for pair in ((caller, server), (server, caller)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break off all that passes through it."""
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take nothing more, and cut."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()


def message(source: socket.socket) -> bytes:
    """One whole HTTP message with a known length; empty when the other side has hung up."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = source.recv(65_536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        part = source.recv(65_536)
        data, body = data + part, body + part
    return data
