"""What somebody asks for who looks after jobs, and no worker does: another queue for a job, or its end by what is known. See `commands.py`."""

import msgspec


class _Frame(msgspec.Struct, frozen=True, array_like=True, tag_field="frame"):
    pass


class MoveJob(_Frame, frozen=True, tag=60):
    """Put a job that is not leased anew into another queue, and remove it here, in one step."""

    id: int
    queue: str


class SettleJob(_Frame, frozen=True, tag=69):
    """End a job that waits or is dead by what is known of its work: concluded, perhaps with a result, or dead, for this reason."""

    id: int
    done: bool
    reason: str
    result: bytes | None = None
