"""The audit log: the latest actions of the page, and who did them, in memory where the store is, so that every front shows the same.

It begins anew with the server, and says when it began; what has to last is in the log, where each of these is a line. What is done to many
jobs part by part is one entry, whose counts grow.
"""

from collections import deque

from msgspec.structs import replace

from holdfast.limits import AUDIT_ENTRIES
from holdfast.messages.views import AuditEntries, AuditEntry

_LOOKED_BACK = 100  # entries, for the one that another part belongs to


class AuditLog:
    """The latest `AUDIT_ENTRIES` entries."""

    def __init__(self, began_at: int) -> None:
        self._began_at = began_at
        self._entries: deque[AuditEntry] = deque(maxlen=AUDIT_ENTRIES)
        self._total = 0

    def record(self, entry: AuditEntry, now: int) -> AuditEntries:
        """Keep it, with the store's time."""
        entry = replace(entry, at=now)
        if not (entry.run and self._continues(entry)):
            self._entries.append(entry)
            self._total += 1
        return AuditEntries(self._began_at, now, self._total)

    def _continues(self, entry: AuditEntry) -> bool:
        """Add it to the entry that it is a part of, if that is among the latest."""
        for back in range(1, min(_LOOKED_BACK, len(self._entries)) + 1):
            before = self._entries[-back]
            if (before.run, before.who, before.action) == (entry.run, entry.who, entry.action):
                done, refused = before.done + entry.done, before.refused + entry.refused
                self._entries[-back] = replace(entry, done=done, refused=refused)
                return True
        return False

    def latest(self, limit: int, now: int) -> AuditEntries:
        """The latest first."""
        return AuditEntries(
            self._began_at, now, self._total, [self._entries[-n] for n in range(1, min(limit, len(self._entries)) + 1)]
        )
