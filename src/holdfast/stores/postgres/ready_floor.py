"""Where each line of a queue begins: by priority, a number that no ready job of the queue is below. A column of the queue's row."""

from typing import Annotated

import msgspec

from holdfast.limits import ID_MAX
from holdfast.stores.unreadable import FOUND, shown

ReadyFloors = dict[int, int]
_Number = Annotated[int, msgspec.Meta(ge=0, le=ID_MAX + 1)]  # one more than the last job's is where an empty line begins

_decoder: msgspec.msgpack.Decoder[ReadyFloors] = msgspec.msgpack.Decoder(dict[_Number, _Number])
_encoder = msgspec.msgpack.Encoder()


def ready_floors_of(blob: bytes | None, queue: str) -> ReadyFloors | None:
    """The numbers out of their column; None where too many priorities are in use, or they can't be read: then all lines are looked through."""
    try:
        return None if blob is None else _decoder.decode(blob)
    except msgspec.DecodeError as error:
        FOUND.note("queue", queue, f"where its lines begin is {shown(blob)}: {error}; they are looked through")
        return None


def ready_floors_blob(lows: ReadyFloors | None) -> bytes | None:
    """The column for them."""
    return None if lows is None else _encoder.encode(lows)
