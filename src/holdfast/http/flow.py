"""Flow control of one HTTP connection: the memory that it may hold, and how much input is processed in one go.

Bytes are charged when they arrive and for as long as they are held: an incomplete head or body, requests that wait behind
another, answers that are not read. An ordinary request arrives whole, is answered and read, and is never charged.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import httptools

from holdfast.busy import LOOP
from holdfast.errors import HoldfastError, Overloaded
from holdfast.http.app import App
from holdfast.http.request import Request
from holdfast.limits import LINGER_S, PROGRESS_BYTES_HELD, REQUEST_BYTES, REQUEST_CHUNK_BYTES, UNREAD_S

if TYPE_CHECKING:
    from holdfast.http.server import Connections

READ_BEHIND = 16
"""Requests that may come behind one under way before nothing more is read; unread, a caller's leaving is not seen either."""
_LAST_WORDS_S = 2 * LINGER_S  # for a caller to read why it is disconnected

# Why nothing is read of a connection
TURN, UNSEEN, BEHIND, LARGE = 1, 2, 4, 8


class Flow(asyncio.Protocol):
    """A connection that reads no more than it can answer, and charges what it holds."""

    transport: asyncio.Transport
    parser: httptools.HttpRequestParser | None

    def __init__(self, app: App, connections: "Connections") -> None:
        self.app = app
        self.connections = connections
        self.loop = asyncio.get_running_loop()
        self.account = app.budget.account(self._hang_up)
        self.current: Request | None = None  # being answered
        self.pipeline: deque[Request] = deque()  # that wait for their turn
        self.refusing = False  # nothing more is read
        self.begun = 0  # requests
        self._paused = 0  # for which of the reasons
        self._head_open = self._body_open = False
        self._unseen: bytes | memoryview = b""  # received and not processed yet
        self._in_line = False  # for another chunk of it
        self._unread = 0  # bytes of answers at the last check
        self._unread_timer: asyncio.TimerHandle | None = None
        self.until_read: asyncio.Future[None] | None = None  # while what was answered is not read: until it is

    # Implemented by subclasses

    def take(self, data: bytes | memoryview) -> None:
        """Process received bytes."""
        raise NotImplementedError

    def go_on(self) -> None:
        """Answer the next request that waits, if it is its turn."""
        raise NotImplementedError

    def held_of_request(self) -> int:
        """Bytes of the incomplete request."""
        raise NotImplementedError

    def turn_away(self, status: int | None, error: HoldfastError) -> None:
        """Refuse the incomplete request, close, and read no more."""
        raise NotImplementedError

    def is_answering(self) -> bool:
        """Whether a complete request waits for its answer."""
        return self.current is not None or bool(self.pipeline)

    # Input

    def pause(self, why: int) -> None:
        """Read nothing more, for this reason."""
        if not self._paused:
            self.transport.pause_reading()
        self._paused |= why

    def resume(self, why: int) -> None:
        """Read on, if that was the only reason."""
        if self._paused & why:
            self._paused &= ~why
            if not self._paused and not self.transport.is_closing():
                self.transport.resume_reading()

    def _resume_turn(self) -> None:
        self.resume(TURN)

    def data_received(self, data: bytes) -> None:
        """Process what has been received: at once if it is little, else in chunks and in turn with other connections. Bodies of
        many connections may arrive at once, and each may take some 10 ms to read.
        """
        if LOOP.asleep:
            LOOP.wake()
        if self.refusing:  # it is thrown away
            return
        if self._unseen or len(data) > REQUEST_CHUNK_BYTES:
            if not self.app.budget.turns.came(len(data), self._resume_turn):
                self.pause(TURN)
            is_first = not self._unseen and not self._body_open
            self._unseen = bytes(self._unseen) + data if self._unseen else memoryview(data)
            if is_first:
                self._take_chunk()  # the head tells who may have to be refused before its turn
            if self._unseen:
                self._take_chunks_later()
            self.charge()
            return
        self.take(data)
        if self.account.held or self._head_open or self._body_open or self.pipeline:
            self.charge()

    def _take_chunks_later(self) -> None:
        self.pause(UNSEEN)
        if not self._in_line:
            self._in_line = True
            self.app.budget.turns.later(self._take_chunks)

    def _take_chunks(self) -> None:
        """Continue with what has been received, unless more than enough waits behind the request being answered; in turn with
        other connections.
        """
        self._in_line = False
        begun = self.begun
        while self._unseen and not self.refusing and self.parser is not None:
            if self._paused & (BEHIND | LARGE):
                break  # the code that resumes reading continues here
            if self.begun - begun > 1:
                self._take_chunks_later()
                break
            self._take_chunk()
        else:
            self._unseen = b""
            if self.parser is not None:
                self.resume(UNSEEN)
        self.charge()

    def _take_chunk(self) -> None:
        chunk, self._unseen = self._unseen[:REQUEST_CHUNK_BYTES], self._unseen[REQUEST_CHUNK_BYTES:]
        self.take(chunk)

    def read_on(self, why: int) -> None:
        """There is room again: continue with what has been received, and read."""
        if self._paused & why:
            self.resume(why)
            if self._unseen:
                self._take_chunks_later()

    def let_go(self) -> bytes:
        """The bytes not processed yet, for the protocol that takes over the connection."""
        unseen, self._unseen = bytes(self._unseen), b""
        self.resume(TURN | UNSEEN | BEHIND | LARGE)
        self.account.close()
        return unseen

    # What is held

    def charge(self) -> None:
        """Report to the budget what is held for this connection now."""
        held = 0 if self.refusing else len(self._unseen) + self.held_of_request()
        for request in self.pipeline:
            held += REQUEST_BYTES + len(request.body)
        if self._unread_timer is not None:
            held += self.transport.get_write_buffer_size()
        self.account.hold(held)

    def _hang_up(self) -> None:
        """There is no room for what is held for this connection, and it has been stalled for longest."""
        self._unseen = b""
        is_open = self._body_open or self.held_of_request()  # a request, of which there may be no byte but the head yet
        if self.refusing or self._unread_timer is not None or not is_open or self.transport.is_closing():
            self.refusing = True
            self.transport.abort()
        else:
            detail = "This server buffers too much for other clients to read the rest (backpressure)."
            self.turn_away(None, Overloaded(detail, retry_after_ms=1_000))
            self.loop.call_later(_LAST_WORDS_S, self._hang_up_for_good)

    def _hang_up_for_good(self) -> None:
        if not self.transport.is_closing() or self._unread_timer is not None:
            self.transport.abort()

    # What is not read

    def pause_writing(self) -> None:
        """What was answered is not read, or not yet."""
        self.until_read = self.loop.create_future()
        if self._unread_timer is None:
            self._unread = self.transport.get_write_buffer_size()
            self._unread_timer = self.loop.call_later(UNREAD_S, self._look_whether_read)
        self.charge()

    def resume_writing(self) -> None:
        """It was read."""
        self._forget_unread()
        self.charge()
        self.go_on()

    def _forget_unread(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        if self.until_read is not None:
            read, self.until_read = self.until_read, None
            if not read.done():
                read.set_result(None)

    def _look_whether_read(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > self._unread - min(PROGRESS_BYTES_HELD, self._unread // 2):
            self.transport.abort()
            return
        self._unread = left
        self._unread_timer = self.loop.call_later(UNREAD_S, self._look_whether_read)
        self.charge()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio calls it so)
        """Nothing is held for it any more."""
        self._forget_unread()
        self._unseen = b""
        self.account.close()
