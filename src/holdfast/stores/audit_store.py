"""The part of the store protocol that is about the audit log."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from holdfast.limits import AUDIT_ROW_BYTES
from holdfast.messages.audit import AuditEntry


class AuditTally(msgspec.Struct, frozen=True):
    """The last id of an audit log entry, how many entries there are, their bytes, and how many were removed."""

    last: int = 0
    kept: int = 0
    bytes: int = 0
    removed: int = 0

    def can_be(self, oldest: int) -> bool:
        """Whether these counts are possible if the oldest entry has this id."""
        return 0 < self.kept <= self.last - oldest + 1 and 0 <= self.bytes <= self.kept * AUDIT_ROW_BYTES


class AuditTransaction(Protocol):
    """See `stores.store.Transaction`."""

    async def write_audit(self, entries: Sequence[AuditEntry]) -> list[int]:
        """Add entries to the audit log, or to those of the same `run`; returns their ids. The last write before the commit."""
        ...

    async def audit_tally(self) -> AuditTally:
        """How many entries there are."""
        ...

    async def count_audit(self) -> AuditTally:
        """Recount the entries, if the tally can't be right."""
        ...

    async def oldest_audit(self, limit: int) -> list[tuple[int, int, int]]:
        """Number, time and size of the oldest entries."""
        ...

    async def forget_audit(self, up_to: int) -> int:
        """Remove the entries up to this number; how many there were."""
        ...
