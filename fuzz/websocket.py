"""The grammar of the live channel: a handshake, and all messages, in frames; most of them are corrupted."""

from __future__ import annotations

import struct
from random import Random

from fuzz import mutation, values
from fuzz.case import CLOSE, HALF, RESET, Case
from fuzz.request import HOST
from fuzz.stock import Stock

HANDSHAKE = f"GET /v1/channel HTTP/1.1\r\n{HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
EXTRA = [b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", b"Sec-WebSocket-Protocol: a, b", b"Origin: https://evil.example", b"Content-Length: 2", b"Sec-WebSocket-Key: x",
         b"Transfer-Encoding: chunked", b"Sec-WebSocket-Version: 8", b"Host: localhost", b"X-Request-Id: mine", b"Upgrade: h2c"]  # fmt: skip
TEXT, BINARY, SHUT, PING, PONG = 1, 2, 8, 9, 10


def case(number: int, draw: Random, stock: Stock) -> Case:
    """One channel."""
    notes: list[str] = []
    handshake = HANDSHAKE
    if draw.random() < 0.1:
        handshake = HANDSHAKE.replace(b"\r\n", b"\r\n" + draw.choice(EXTRA) + b"\r\n", 1)
        notes.append("handshake")
    if draw.random() < 0.03:
        handshake = mutation.corrupted(handshake, draw)
        notes.append("handshake")
    frames = [one for _ in range(draw.choice([1, 2, 4, 8])) for one in _frames(draw, stock, notes)]
    if draw.random() < 0.1:
        draw.shuffle(frames)
    data = b"".join(frames)
    if draw.random() < 0.15:
        data = mutation.corrupted(data, draw, handshake)
        notes.append("bytes")
    if draw.random() < 0.5:
        data += frame(struct.pack("!H", draw.choice([1000, 1001])), SHUT)
    end = draw.choice([HALF] * 6 + [RESET] * 2 + [CLOSE])
    steps = (
        [("send", handshake), *mutation.segments(data, draw)]
        if draw.random() < 0.7
        else mutation.segments(handshake + data, draw)
    )
    return Case("websocket", f"{number}: {', '.join(notes)[:100]}", steps, end, draw.random() > 0.03, None, notes)


def _message(draw: Random, stock: Stock) -> dict:
    some = {"ref": draw.choice(["1", "x" * 128, "ü"])} if draw.random() < 0.6 else {}
    queue = draw.choice(values.QUEUES)
    match draw.randrange(8):
        case 0 | 1:
            return {
                "op": "start",
                "queues": [queue],
                "credits": draw.choice([0, 1, 3, 1_000]),
                "lease_ms": draw.choice([1, 100, 5_000]),
                "on_break": draw.choice(["release", "keep"]),
                "worker": "w",
                **some,
            }
        case 2:
            return {
                "op": "enqueue",
                "body": {"jobs": [{"queue": queue, "payload": values.payload(draw)} for _ in range(draw.choice([1, 3]))]},
                "wait_ms": draw.choice([0, 10]),
                **some,
            }
        case 3:
            return {"op": "publish", "body": {"data": values.payload(draw)}, "idempotency_key": draw.choice("abc"), **some}
        case 4:
            verb = draw.choice(["conclude", "fail", "release", "extend"])
            return {
                "op": "batch",
                verb: [
                    {"token": stock.token(draw), "x": 1} if draw.random() < 0.1 else {"token": stock.token(draw)}
                    for _ in range(draw.choice([1, 2, 50]))
                ],
                **some,
            }
        case 5:
            return {"op": "credits", "credits": draw.choice([0, 1, 1_000, 1_001, -1]), **some}
        case 6:
            return {"op": "got", "delivery": draw.choice([0, 1, 2, 1 << 62]), **some}
        case _:
            return {"op": draw.choice(["ping", "ping", "dance", ""]), **some}


def _frames(draw: Random, stock: Stock, notes: list[str]) -> list[bytes]:
    message = _message(draw, stock)
    if draw.random() < 0.35:
        name = draw.choice(list(message))
        message[draw.choice([name, name, "x", name.upper()])] = values.odd(draw)
        notes.append(f"{message.get('op')!s:.10}.{name}")
    text = values.document(message)
    if draw.random() < 0.08:
        text = mutation.corrupted(text, draw)
        notes.append("text")
    kind = draw.randrange(14)
    if kind < 8:
        return [frame(text)]
    if kind < 10:
        cuts = sorted(draw.randint(0, len(text)) for _ in range(draw.choice([1, 2, 5])))
        parts = [text[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(text)], strict=True)]
        made = [frame(part, TEXT if n == 0 else 0, n == len(parts) - 1) for n, part in enumerate(parts)]
        made.insert(draw.randint(0, len(made)), frame(b"p", draw.choice([PING, PONG])))
        notes.append("fragments")
        return made
    notes.append("frame")
    return [_odd_frame(text, draw)]


def _odd_frame(text: bytes, draw: Random) -> bytes:
    odd = [
        lambda: frame(text, draw.choice([BINARY, 3, 7, 11, 15, 0])),
        lambda: frame(text[:100], draw.choice([PING, PONG]), draw.random() < 0.8),
        lambda: frame(b"x" * 126, draw.choice([PING, PONG, SHUT])),
        lambda: frame(
            draw.choice(
                [
                    b"",
                    b"x",
                    struct.pack("!H", draw.choice([0, 999, 1000, 1004, 1005, 1006, 1015, 2999, 3000, 4999, 5000, 65535])),
                    b"\x03\xe8\xff",
                    b"\x03\xe8" + b"r" * 123,
                ]
            ),
            SHUT,
        ),
        lambda: frame(text, fin=False),
        lambda: frame(text, flags=draw.choice([0x40, 0x20, 0x10, 0x70])),
        lambda: frame(text, mask=None),
        lambda: frame(text, width=draw.choice([2, 8])),
        lambda: frame(text, declared=draw.choice([5 << 20, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])),
        lambda: frame(b"", 0, False) * draw.choice([1, 500]),
        lambda: frame(b"", PING) * draw.choice([1, 2_000]),
        lambda: frame(b"{}") * draw.choice([1, 2_000]),
        lambda: frame(b"\xff\xfe" + text),
        lambda: frame(b"\xf0\x9f", TEXT, False) + frame(b"\x98\x80", 0),
    ]
    return draw.choice(odd)()


def frame(
    data: bytes,
    opcode: int = TEXT,
    fin: bool = True,
    flags: int = 0,
    mask: bytes | None = b"\x01\x02\x03\x04",
    width: int = 0,
    declared: int | None = None,
) -> bytes:
    """A frame from a client; `width`: the number of bytes of its length field, `declared`: the length in it."""
    size = len(data) if declared is None else declared
    width = max(width, 0 if size < 126 else 2 if size < 1 << 16 else 8)
    first = bytes([(0x80 if fin else 0) | flags | opcode])
    masked = 0x80 if mask is not None else 0
    length = (
        bytes([masked | size]) if width == 0 else bytes([masked | (126 if width == 2 else 127)]) + size.to_bytes(width, "big")
    )
    if mask is not None:
        repeated = (mask * (len(data) // 4 + 1))[: len(data)]
        data = mask + (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(data), "big")
    return first + length + data
