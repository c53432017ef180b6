"""Corrupted bytes: flipped, left out, repeated, spliced; and cut into segments."""

from __future__ import annotations

from random import Random

INTERESTING = [
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b" ", b"\t", b":", b",", b";", b"%", b"%00", b"%0d%0a", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80", b"0", b"-1", b"9" * 20, b"\x80", b"\x7f", b"#", b"?", b"/", b"//", b"/../", b"\\", b'"', b"[", b"{", b"HTTP/1.1", b"chunked",
]  # fmt: skip
LONG = [b"x" * 300, b"x" * 5_000, b"\0" * 300, b"0" * 1_000]


def corrupted(data: bytes, draw: Random, other: bytes = b"") -> bytes:
    """The data with one corruption; a splice takes the rest from `other`."""
    at, behind = sorted((draw.randint(0, len(data)), draw.randint(0, len(data))))
    behind = min(behind, at + 200)
    match draw.randrange(9):
        case 0 if data:
            place = draw.randrange(len(data))
            return data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :]
        case 1:
            return data[:at] + data[behind:]
        case 2:
            return data[:at] + data[at:behind] * 2 + data[behind:]
        case 3:
            return data[:at] + draw.choice(INTERESTING) + data[behind if draw.random() < 0.5 else at :]
        case 4:
            return data[:at]
        case 5:
            return data[:at] + other[draw.randint(0, len(other)) :]
        case 6:
            return data[:at] + draw.randbytes(draw.choice([1, 2, 8, 60])) + data[at:]
        case 7:
            return data[:at] + draw.choice(LONG) + data[at:]
        case _:
            return data[behind:] + data[at:behind] + data[:at]


def segments(data: bytes, draw: Random) -> list[tuple[str, bytes | float]]:
    """Steps that send this: in one piece, in two, in several, or byte by byte."""
    kind = draw.randrange(8)
    if kind < 4 or len(data) < 2:
        return [("send", data)]
    if kind == 4 and len(data) <= 400:
        return [("send", data[at : at + 1]) for at in range(len(data))]
    cuts = sorted({draw.randrange(1, len(data)) for _ in range(1 if kind < 6 else draw.randint(2, 12))})
    steps: list[tuple[str, bytes | float]] = []
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        steps.append(("send", data[start:stop]))
        if draw.random() < 0.3:
            steps.append(("pause", draw.choice([0.0, 0.001, 0.01])))
    return steps
