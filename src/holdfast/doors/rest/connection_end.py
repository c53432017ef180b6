"""How a connection ends: what has come as a whole is answered first, and what was answered is not taken back."""

from typing import Any

from holdfast.doors.rest.backpressure import Backpressure
from holdfast.doors.rest.fast_request import FastRequest
from holdfast.http.linger import Lingering
from holdfast.http.receive import Receive
from holdfast.limits import LINGER_S


class ConnectionEnd(Backpressure):
    """uvicorn's protocol, with an end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._riding: FastRequest | None = None  # being answered in the lane
        self._running: Any = None  # being answered by ASGI, or the last that was
        self._body_open = False
        self.half_closed = False

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._running = cycle
        cycle.transport = Lingering(self.transport, self._linger)
        super()._start_asgi_task(cycle, Receive(self, cycle, app))

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has left."""
        if self._riding is not None:
            self._riding.leave()
        if is_busy(self._running):
            self._running.disconnected = True  # uvicorn tells only the last that came
            self._running.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server drains: close, once what is under way is answered."""
        if not (self.refusing and self._is_answering()):
            super().shutdown()

    def _close_behind(self) -> None:
        """Answer what has come as a whole, and then close."""
        if self._body_open and self.pipeline:
            self.pipeline.popleft()
            self._body_open = False
        last: Any = self.pipeline[0][0] if self.pipeline else self._riding or self._running
        last.keep_alive = False

    def _linger(self) -> None:
        """Close; but while the caller may still be sending, let it be read first that there is nothing more to come."""
        if self.half_closed or self.transport.is_closing() or not self.transport.can_write_eof():
            self.transport.close()  # over TLS this reads on by itself, until the caller has closed as well
            return
        self.refusing = True
        self.flow.go_on()
        self.flow.resume_reading()
        self.transport.write_eof()
        self.loop.call_later(LINGER_S, self.transport.close)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Nothing more comes from the caller, which may still listen: what came as a whole is answered. Nobody waits any longer for what may
        come: a caller that has left looks the same.
        """
        self.refusing = self.half_closed = True
        if (
            not self._is_answering() or not self.transport.can_write_eof()
        ):  # TLS has no half-closed connections that could be answered
            return False
        self._close_behind()
        if self._riding is not None:
            self._riding.leave()
        else:
            self._running.message_event.set()
        return True

    def _is_answering(self) -> bool:
        """Whether a request is under way that has come as a whole."""
        if self._riding is not None:
            return True
        return is_busy(self._running) and not (self._body_open and self._running is self.cycle)


def is_busy(cycle: Any) -> bool:
    """Whether there is something left to answer."""
    return cycle is not None and not cycle.response_complete


def is_begun(cycle: Any) -> bool:
    """Whether the answer has begun."""
    return cycle is not None and cycle.response_started
