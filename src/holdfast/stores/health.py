"""What a store measures of itself."""

import msgspec

from holdfast.messages.inbox import InboxState
from holdfast.messages.views import HeldQueue, Replication


class Health(msgspec.Struct, frozen=True):
    """Sizes in bytes. If `accepting` is false no new jobs are accepted, and `reason` is the error code."""

    file_bytes: int
    wal_bytes: int
    disk_free_bytes: int
    accepting: bool
    reason: str = "storage_full"
    replication: Replication | None = None
    held_queues: tuple[HeldQueue, ...] = ()
    inbox: InboxState | None = None  # of a store that has one
