"""Where each line of a queue begins: by priority, a number that no ready job of the queue is below. A column of the queue's row."""

import msgspec

Lows = dict[int, int]

_decoder = msgspec.msgpack.Decoder(Lows)
_encoder = msgspec.msgpack.Encoder()


def lows_of(blob: bytes | None) -> Lows | None:
    """The numbers out of their column; None where too many priorities are in use."""
    return None if blob is None else _decoder.decode(blob)


def lows_blob(lows: Lows | None) -> bytes | None:
    """The column for them."""
    return None if lows is None else _encoder.encode(lows)
