"""The WebSocket under one channel: bytes to messages and back, by the Sans-I/O half of `websockets`.

A worker that is silent for too long is gone: it would have answered a ping. One that does not read gets no more jobs, and one
that sends more than can be answered is not read.
"""

import asyncio
from traceback import clear_frames

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

from holdfast.busy import LOOP
from holdfast.connection_limit import Place
from holdfast.doors.websocket.channel import Channel
from holdfast.doors.websocket.door import Channels
from holdfast.errors import InvalidRequest
from holdfast.http.server import Connections
from holdfast.http.upgrade import Refused
from holdfast.limits import CHANNEL_CLOSE_S, CHANNEL_PING_S, CHANNEL_SILENCE_S, CHANNEL_UNREAD_BYTES

_ONLY_TEXT = 1003
_NOT_UTF8 = 1007
_TRY_AGAIN_LATER = 1013
_LAST_WORDS_S = 1.0  # for a worker to read why it is disconnected
_CHUNK = 1 << 10  # bytes that are parsed in one go: a hundred of the smallest messages
_LARGE_CHUNK = 8 << 10  # the same in the middle of a large message
_MESSAGES_AT_ONCE = 50
_SILENT_BEATS = CHANNEL_SILENCE_S // CHANNEL_PING_S


class WebSocketConnection(asyncio.Protocol):
    """One WebSocket."""

    def __init__(self, channels: Channels, connections: Connections, grace_s: float) -> None:
        self._channels = channels
        self._connections = connections
        self._grace_s = grace_s
        self._conn = ServerProtocol(max_size=channels.message_bytes)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._channel: Channel | None = None
        self._partial: bytearray | None = None
        self._flushing = False
        self._reading = True
        self._half_closed = False
        self._stuck = False
        self._beats = 0  # pings without a byte since
        self._timer: asyncio.TimerHandle | None = None
        self._end_timer: asyncio.TimerHandle | None = None
        self._backlog = 0  # bytes that were unread at the last ping
        self._unseen: bytes | memoryview = b""  # received and not parsed yet
        self._in_line = False  # for another chunk of it
        self._is_next = True  # to be read, see `Turns.came`
        self._budget = channels.engine.budget
        self._account = self._budget.account(self._give_up)
        self._given_up = False
        self.unread = False
        self.place: Place | None = None  # among all connections, returned with it

    def open(self, transport: asyncio.Transport, head: bytes, request_id: bytes) -> None:
        """Answer the handshake, whose head was read by the HTTP parser; raises `Refused`."""
        self._conn.receive_data(head)
        requests = self._conn.events_received()
        request = requests.pop() if requests else None
        if not isinstance(request, Request):
            raise Refused(InvalidRequest("This is no WebSocket handshake.", field="request"), 400)
        response = self._conn.accept(request)
        del request  # it has the error that it was refused for, and that refers to this frame by its traceback
        if response.status_code != 101:
            said = (response.body or b"").decode().partition("\n")[0].removeprefix("Failed to open a WebSocket connection: ")
            raise Refused(InvalidRequest(f"This is no WebSocket handshake: {said}", field="Upgrade"), response.status_code)
        self._channel = Channel(self._channels, self)
        response.headers["X-Request-Id"] = request_id.decode("latin-1")
        response.headers["Cache-Control"] = "no-store"
        self._conn.send_response(response)
        self._transport = transport
        transport.set_write_buffer_limits(CHANNEL_UNREAD_BYTES)
        transport.set_protocol(self)
        self._connections.add(self)
        self._flush()
        self._timer = self._loop.call_later(CHANNEL_PING_S, self._beat)

    # Called by the transport

    def data_received(self, data: bytes) -> None:
        """Bytes were received."""
        if LOOP.asleep:
            LOOP.wake()
        self._beats = 0
        if self._channel is not None and self._channel.unresponsive:
            self._channel.heard()
        if self._unseen or len(data) > _CHUNK:
            self._unseen = bytes(self._unseen) + data if self._unseen else memoryview(data)
            self._is_next = self._budget.turns.came(len(data), self._read_on) and self._is_next
            self._take_chunks()
        else:
            self._look_at(data)
            self._charge()

    def _take_chunks(self) -> None:
        """Continue with received bytes, as long as the answers are read and not too many; a few messages, then in turn with
        other connections.
        """
        self._in_line = False
        seen = 0
        while self._unseen and seen < _MESSAGES_AT_ONCE and not (self._stuck or self.unread or self._given_up):
            size = _LARGE_CHUNK if len(self._conn.reader.buffer) >= _LARGE_CHUNK else _CHUNK
            chunk, self._unseen = self._unseen[:size], self._unseen[size:]
            seen += self._look_at(bytes(chunk))
        if not self._unseen:
            self._unseen = b""  # a view refers to all that was received
        self._mind_reading()
        self._charge()

    def _look_at(self, data: bytes) -> int:
        """Take the messages that are whole with these bytes; how many frames there were."""
        if self._given_up:
            return 0
        self._conn.receive_data(data)
        events = self._conn.events_received()
        for event in events:
            if isinstance(event, Frame):
                self._take(event)
        self._soon()
        if self._conn.state is not State.OPEN and self._channel is not None:
            self._channel.on_closed(releases=self._conn.close_rcvd is not None)  # else failed by what it sent
        return len(events)

    def _charge(self) -> None:
        """Report to the budget what is held here: incomplete messages, and answers that are not read."""
        held = len(self._unseen) + len(self._conn.reader.buffer) + len(self._partial or b"")
        if self.unread and self._transport is not None:
            held += self._transport.get_write_buffer_size()
        self._account.hold(0 if self._given_up else held)

    def _give_up(self) -> None:
        """There is no room for what is held here, and the worker has been stalled for longest."""
        self._given_up = True
        self._unseen, self._partial = b"", None
        self._conn.reader.buffer.clear()
        if self.unread:
            self._hang_up()
        else:
            self._fail(_TRY_AGAIN_LATER, "overloaded: this server buffers too much for other clients to read the rest")
            self._hang_up_in(_LAST_WORDS_S)

    def eof_received(self) -> None:
        """The worker has gone silently: nothing would read what waits to be sent."""
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (asyncio calls it so)
        """There is nobody any more."""
        self._connections.discard(self)
        if self.place is not None:
            self.place.leave()
        self.let_go()

    def let_go(self) -> None:
        """Hold nothing any more. What refers to itself by way of this is taken apart: it would be kept until Python looks for cycles."""
        self._unseen, self._partial = b"", None
        self._given_up = True
        self._account.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._end_timer is not None:
            self._end_timer.cancel()
        if self._channel is not None:
            self._channel.on_closed()
            self._channel = None
        self._transport = None
        self._conn.parser.close()  # a generator, which holds on to its protocol
        for error in (self._conn.parser_exc, self._conn.handshake_exc):  # so do the frames of what it could not read
            if error is not None:
                clear_frames(error.__traceback__)
        self._conn.parser_exc = self._conn.handshake_exc = None

    def pause_writing(self) -> None:
        """What was sent is not read."""
        self.unread = True
        self._mind_reading()
        self._charge()

    def resume_writing(self) -> None:
        """It is read again."""
        self.unread = False
        self._mind_reading()
        self._charge()
        if self._channel is not None:
            self._channel.readable()

    # Called by the server

    def shutdown(self) -> None:
        """The server shuts down."""
        self._channels.drain(self._grace_s)

    def abort(self) -> None:
        """The server ends."""
        self._hang_up()

    # Called by the channel

    def send(self, message: bytes) -> None:
        """Send one text; texts of one turn of the loop are sent in one piece."""
        try:
            self._conn.send_text(message)
        except InvalidState:
            return  # closing: nothing would read it
        self._soon()

    def pause_reading(self, stuck: bool) -> None:
        """Whether to read no further for now."""
        if stuck is not self._stuck:
            self._stuck = stuck
            self._mind_reading()

    def close(self, code: int, reason: str) -> None:
        """Say why and close; hang up when the other side does not answer."""
        if self._conn.state is State.OPEN:
            self._conn.send_close(code, reason)
            self._flush()
            self._hang_up_in(CHANNEL_CLOSE_S)
            self._stuck = False  # its answer must be read
            self._mind_reading()

    def probe(self) -> None:
        """Ping, so that a live worker sends something."""
        if self._conn.state is State.OPEN:
            self._conn.send_ping(b"")
            self._soon()

    def _hang_up_in(self, seconds: float) -> None:
        """Hang up then, or when that was to be before."""
        if self._transport is None:
            return
        if self._end_timer is not None:
            if self._end_timer.when() <= self._loop.time() + seconds:
                return
            self._end_timer.cancel()
        self._end_timer = self._loop.call_later(seconds, self._hang_up)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # Within

    def _take(self, frame: Frame) -> None:
        channel = self._channel
        if frame.opcode is Opcode.TEXT and frame.fin:
            data = bytes(frame.data)
        elif frame.opcode is Opcode.TEXT:
            self._partial = bytearray(frame.data)
            return
        elif frame.opcode is Opcode.CONT and self._partial is not None:
            self._partial += frame.data
            if not frame.fin:
                return
            data, self._partial = bytes(self._partial), None
        elif frame.opcode is Opcode.BINARY:
            self._fail(_ONLY_TEXT, "only text messages are taken")
            return
        else:
            return
        if channel is not None and self._conn.state is State.OPEN:
            if not data.isascii() and not _is_utf8(data):
                self._fail(_NOT_UTF8, "a text message must be UTF-8")
            else:
                channel.take(data)

    def _fail(self, code: int, reason: str) -> None:
        if self._channel is not None:
            self._channel.close(code, reason)

    def _beat(self) -> None:
        """Ping; disconnect a worker that has been silent for too long. One that is not being read can't be heard: it counts as
        alive as long as it reads.
        """
        self._timer = self._loop.call_later(CHANNEL_PING_S, self._beat)
        backlog = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if self._stuck or backlog < self._backlog:
            self._beats = 0
        self._backlog = backlog
        if self._beats >= _SILENT_BEATS:
            self._hang_up()
            return
        self._beats += 1
        if self._conn.state is State.OPEN and not self.unread:
            self._conn.send_ping(b"")
            self._flush()

    def _mind_reading(self) -> None:
        going = not (self._stuck or self.unread)
        if going and self._unseen and not self._in_line:
            self._in_line = True
            self._budget.turns.later(self._take_chunks)
        reading = going and not self._unseen and self._is_next
        if reading is not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _read_on(self) -> None:
        self._is_next = True
        self._mind_reading()

    def _soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        parts = self._conn.data_to_send()
        transport = self._transport
        if not parts or transport is None or transport.is_closing():
            return
        if (rest := b"".join(parts)) and not self._half_closed:
            transport.write(rest)
        if SEND_EOF in parts and not self._half_closed:
            # Closing at once would make the kernel discard what was sent, if there is unread input.
            self._half_closed = True
            if transport.can_write_eof():
                transport.write_eof()
            else:
                transport.close()  # over TLS this reads on by itself, until the worker has closed as well
            self._hang_up_in(CHANNEL_CLOSE_S)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
