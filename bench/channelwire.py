"""Lives on live channels: a WebSocket client that costs a few microseconds per message, and a worker's messages.

Every channel keeps its window full: for each concluded job it enqueues another. In the end it withdraws its credits, so that
the remaining ready jobs are left for the drain.
"""

import asyncio
import struct

import msgspec

from bench.connections import Meter, close_all, open_connections, play_all
from bench.orders import Order, Outcome
from bench.scripts import Tally, clock
from bench.wire import HEAD_END, Script

HANDSHAKE = (
    b"GET /v1/channel HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
OPENED = "opened"
PATIENCE_S = 30.0
CHANNELS = {"channel": False, "channel batches": True}  # the phases: whether concludes go together
CONTROL = 8  # this opcode and those above it


class _Lease(msgspec.Struct, frozen=True):
    token: str


class _Job(msgspec.Struct):
    lease: _Lease = _Lease("")  # an enqueued job has none


class _Entry(msgspec.Struct):
    code: str | None = None


class Said(msgspec.Struct):
    """The relevant content of a server's message."""

    op: str
    ref: str | None = None
    jobs: list[_Job] = []
    conclude: list[_Entry] = []
    unfinished: int = 0
    detail: str = ""


heard = msgspec.json.Decoder(Said).decode
_OVER = Said("over")


def frame(text: bytes) -> bytes:
    """A text as a client sends it: masked, here with zeroes."""
    size = len(text)
    if size < 126:
        return struct.pack("!BB", 0x81, 0x80 | size) + b"\0\0\0\0" + text
    if size < 65_536:
        return struct.pack("!BBH", 0x81, 0x80 | 126, size) + b"\0\0\0\0" + text
    return struct.pack("!BBQ", 0x81, 0x80 | 127, size) + b"\0\0\0\0" + text


STOP = frame(b'{"op":"credits","credits":0}')


class MessageReader:
    """Cuts the messages out of a stream, however the network split or joined them; the first answer is the handshake's."""

    def __init__(self) -> None:
        self._rest = b""
        self._open = False

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        data = self._rest + data if self._rest else data
        answers: list[tuple[str, bytes]] = []
        at = 0
        if not self._open:
            end = data.find(HEAD_END)
            if end < 0:
                self._rest = data
                return []
            if b" 101 " not in data[:end]:
                raise ValueError(data[:200].decode("latin-1"))
            self._open, at = True, end + len(HEAD_END)
            answers.append((OPENED, b""))
        while (cut := _cut(data, at)) is not None:
            opcode, start, end = cut
            if opcode < CONTROL:
                answers.append(("message", data[start:end]))
            at = end
        self._rest = data[at:]
        return answers


def _cut(data: bytes, at: int) -> tuple[int, int, int] | None:
    """The opcode of the frame that begins here, and where its payload is; None when it is not whole."""
    left = len(data) - at
    if left < 2:
        return None
    size, start = data[at + 1], at + 2
    if size == 126:
        if left < 4:
            return None
        size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
    elif size == 127:
        if left < 10:
            return None
        size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
    return (data[at] & 15, start, start + size) if start + size <= len(data) else None


def _conclude(tokens: list[bytes], ref: int) -> bytes:
    entries = b",".join(b'{"token":"%b"}' % token for token in tokens)
    return frame(b'{"op":"batch","ref":"%d","conclude":[%b]}' % (ref, entries))


def channel_life(tally: Tally, credit: int, calls: tuple[str, int], together: bool) -> Script:
    """Lives on one channel, until it is sent None. `together`: the jobs of one message are concluded in one batch, and as many
    enqueued in one.
    """
    queue, payload_bytes = calls
    job = b'{"queue":"%b","payload":{"n":"0","fill":"%b"}}' % (queue.encode(), b"x" * payload_bytes)
    puts = [frame(b'{"op":"enqueue","body":{"jobs":[%b]}}' % b",".join([job] * count)) for count in range(credit + 1)]
    start = frame(b'{"op":"start","queues":["%b"],"credits":%d,"lease_ms":300000}' % (queue.encode(), credit))
    begun: dict[str, tuple[float, int]] = {}
    over, late, number = False, False, 0
    opened = yield HANDSHAKE
    while opened is None:  # the time is over before it is open: it does everything once all the same
        late = True
        opened = yield b""
    answer = yield start + puts[credit]
    while True:
        said, out = (heard(answer[1]), b"") if answer is not None else (_OVER, STOP)
        if said.op == "jobs":
            tokens = [job.lease.token.encode() for job in said.jobs]
            for some in [tokens] if together else [[token] for token in tokens]:
                number += 1
                begun[str(number)] = (clock(), len(some))
                out += _conclude(some, number)
        elif said.op == "results":
            began, count = begun.pop(said.ref or "")
            done = sum(entry.code is None for entry in said.conclude)
            tally.timed(began, done)
            tally.concluded += done
            if done < count:
                tally.failed("conclude", ("entry", answer[1]))
            out = STOP if late else b"" if over else puts[count]
            over, late = over or late, False
        elif said.op == "error":
            tally.failed("channel", ("error", answer[1]))
        elif said.op == "over":
            over = True
        elif said.op == "credits":
            answer = yield from _last(tally, begun)
            return
        answer = yield out


def _last(tally: Tally, begun: dict[str, tuple[float, int]]) -> Script:
    """No more jobs follow: wait for those in progress."""
    while begun:
        answer = yield b""
        said = heard(answer[1])
        if said.op == "results":
            began, _ = begun.pop(said.ref or "")
            done = sum(entry.code is None for entry in said.conclude)
            tally.timed(began, done)
            tally.concluded += done


async def live_on_channels(order: Order) -> Outcome:
    """Lives on `callers` channels with `batch` credits each, for this many seconds."""
    tally = Tally()
    about = (order.queue, order.payload_bytes)
    scripts = [channel_life(tally, order.batch, about, CHANNELS[order.phase]) for _ in range(order.callers)]
    connections = await open_connections(order.port, order.callers, MessageReader)
    meter = Meter(order.watch)
    asyncio.get_running_loop().call_later(order.seconds, lambda: [connection.resume() for connection in connections])
    await play_all(connections, scripts, tally, order.seconds + PATIENCE_S)
    outcome = meter.outcome(tally)
    close_all(connections)
    return outcome
