"""What one HTTP connection has this process hold, and how much of what it sends is looked at in one go.

Bytes are charged as they come and for as long as they are here: of a head or a body that is not whole, of requests that wait behind another, of
answers that are not read. An ordinary request comes whole, is answered and read, and is never charged.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from holdfast.doors.rest.middleware import Middleware
from holdfast.errors import HoldfastError, Overloaded
from holdfast.limits import LINGER_S, PROGRESS_BYTES_HELD, REQUEST_BITE_BYTES, REQUEST_BYTES, UNREAD_S

READ_BEHIND = 16
"""Requests that may come behind one under way before nothing more is read; unread, a caller's leaving is not seen either."""
_LAST_WORDS_S = 2 * LINGER_S  # for a caller to read why it is hung up on


class Flow(FlowControl):
    """uvicorn's, which would read on after every answer: it does not while what has come is more than enough."""

    def __init__(self, transport: Any) -> None:
        super().__init__(transport)
        self.stopped = False
        self._in_line = self._wanted = False

    def pause_reading(self) -> None:
        """Read nothing more for now."""
        self._wanted = False
        super().pause_reading()

    def resume_reading(self) -> None:
        """Read on, unless the connection is stopped; when it is its turn."""
        if not self.stopped:
            self._wanted = True
            if not self._in_line:
                super().resume_reading()

    def stand_in_line(self) -> None:
        """Read nothing more until it is this connection's turn again."""
        if not self._in_line:
            self._in_line, self._wanted = True, not self.read_paused
            super().pause_reading()

    def read_on(self) -> None:
        """It is its turn; or the connection is somebody else's now, who reads when they like, and its turn comes to nothing."""
        if not self._in_line:
            return
        self._in_line = False
        if self._wanted and not self._transport.is_closing():
            super().resume_reading()

    def stop(self) -> None:
        """Read nothing more, whoever asks for it."""
        self.stopped = True
        self.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self.stopped:
            self.stopped = False
            self.resume_reading()


class Backpressure(HttpToolsProtocol):
    """uvicorn's protocol, with an account."""

    middleware: Middleware
    flow: Flow

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.account = self.middleware.budget.account(self._hang_up)
        self.refusing = False  # nothing more is read
        self.begun = 0  # requests
        self._head_open = self._body_open = False
        self._unseen: bytes | memoryview = b""  # what has come and is not looked at yet
        self._in_line = False  # for another bite of it
        self._unread = 0  # bytes of answers, when that was last looked at
        self._unread_timer: asyncio.TimerHandle | None = None

    # What a subclass knows

    def take(self, data: bytes | memoryview) -> None:
        """Look at what has come."""
        raise NotImplementedError

    def held_of_request(self) -> int:
        """Bytes of the request that is not whole."""
        raise NotImplementedError

    def refuse_rest(self, error: HoldfastError) -> None:
        """Refuse the request that is not whole."""
        raise NotImplementedError

    # What comes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has come."""
        super().connection_made(transport)
        self.flow = Flow(transport)

    def data_received(self, data: bytes) -> None:
        """Look at what has come: at once where it is little, else a bite at a time and in turn with other connections. Bodies of many of them
        may have come at once, and each may take some 10 ms to read.
        """
        if self.refusing:  # it is thrown away
            return
        if self._unseen or len(data) > REQUEST_BITE_BYTES:
            if not self.middleware.budget.turns.came(len(data), self.flow.read_on):
                self.flow.stand_in_line()
            is_first = not self._unseen and not self._body_open
            self._unseen = bytes(self._unseen) + data if self._unseen else memoryview(data)
            if is_first:
                self._take_bite()  # who may have to be refused before its turn is known by the head
            if self._unseen:
                self._take_bites_later()
            self.charge()
            return
        self.take(data)
        if self.account.held or self._head_open or self._body_open or self.pipeline:
            self.charge()

    def _take_bites_later(self) -> None:
        self.flow.stop()
        if not self._in_line:
            self._in_line = True
            self.middleware.budget.turns.later(self._take_bites)

    def _take_bites(self) -> None:
        """Go on with what has come, unless there is more than enough behind the request that is answered; in turn with other connections."""
        self._in_line = False
        begun = self.begun
        while self._unseen and not self.refusing and self.parser is not None:
            if len(self.pipeline) > READ_BEHIND:
                self.flow.stop()
                break
            if self.begun - begun > 1:
                self._take_bites_later()
                break
            self._take_bite()
        else:
            self._unseen = b""
            if self.parser is not None:
                self.flow.go_on()
        self.charge()

    def _take_bite(self) -> None:
        bite, self._unseen = self._unseen[:REQUEST_BITE_BYTES], self._unseen[REQUEST_BITE_BYTES:]
        self.take(bite)

    def let_go(self) -> bytes:
        """What is not looked at yet, for somebody else to look at: the connection is theirs now."""
        unseen, self._unseen = bytes(self._unseen), b""
        self.flow.go_on()
        self.flow.read_on()
        self.account.close()
        return unseen

    def answered(self) -> None:
        """A request was answered, and there may be room for more behind it."""
        if self.account.held:
            self.charge()
            if self._unseen and len(self.pipeline) <= READ_BEHIND // 2:
                self._take_bites_later()

    # What is held

    def charge(self) -> None:
        """Have the budget know what is held for this connection now."""
        held = 0 if self.refusing else len(self._unseen) + self.held_of_request()
        for cycle, _ in self.pipeline:
            held += REQUEST_BYTES + len(cycle.body)
        if self._unread_timer is not None:
            held += self.transport.get_write_buffer_size()
        self.account.hold(held)

    def _hang_up(self) -> None:
        """There is no room for what is held for this connection, and it has not moved for the longest."""
        self._unseen = b""
        is_open = self._body_open or self.held_of_request()  # a request, of which there may be no byte but the head yet
        if self.refusing or self._unread_timer is not None or not is_open or self.transport.is_closing():
            self.refusing = True
            self.transport.abort()
        else:
            self.refuse_rest(
                Overloaded(
                    "This server buffers too much for other clients to read the rest (backpressure).", retry_after_ms=1_000
                )
            )
            self.loop.call_later(_LAST_WORDS_S, self._hang_up_for_good)

    def _hang_up_for_good(self) -> None:
        if not self.transport.is_closing() or self._unread_timer is not None:
            self.transport.abort()

    # What is not read

    def pause_writing(self) -> None:
        """What was answered is not read, or not yet."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread = self.transport.get_write_buffer_size()
            self._unread_timer = self.loop.call_later(UNREAD_S, self._look_whether_read)
        self.charge()

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        self.charge()

    def _look_whether_read(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > self._unread - min(PROGRESS_BYTES_HELD, self._unread // 2):
            self.transport.abort()
            return
        self._unread = left
        self._unread_timer = self.loop.call_later(UNREAD_S, self._look_whether_read)
        self.charge()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is held for it any more."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        self._unseen = b""
        super().connection_lost(exc)
        self.account.close()
