"""The audit log: the latest actions of the page, and who did them, in memory where the store is, so that every front shows the same.

It begins anew with the server, and says when it began; what has to last is in the log, where each of these is a line. What is done to many
jobs part by part is one note, whose counts grow.
"""

from collections import deque

from msgspec.structs import replace

from holdfast.limits import TRAIL_NOTES
from holdfast.messages.views import AuditEntries, AuditEntry

_LOOKED_BACK = 100  # notes, for the one that another part belongs to


class AuditLog:
    """The latest `TRAIL_NOTES` notes."""

    def __init__(self, began_at: int) -> None:
        self._began_at = began_at
        self._notes: deque[AuditEntry] = deque(maxlen=TRAIL_NOTES)
        self._total = 0

    def take(self, note: AuditEntry, now: int) -> AuditEntries:
        """Remember it, with the store's time."""
        note = replace(note, at=now)
        if not (note.run and self._continues(note)):
            self._notes.append(note)
            self._total += 1
        return AuditEntries(self._began_at, now, self._total)

    def _continues(self, note: AuditEntry) -> bool:
        """Add it to the note that it is a part of, if that is among the latest."""
        for back in range(1, min(_LOOKED_BACK, len(self._notes)) + 1):
            before = self._notes[-back]
            if (before.run, before.who, before.action) == (note.run, note.who, note.action):
                done, refused = before.done + note.done, before.refused + note.refused
                self._notes[-back] = replace(note, done=done, refused=refused)
                return True
        return False

    def latest(self, limit: int, now: int) -> AuditEntries:
        """The latest first."""
        return AuditEntries(
            self._began_at, now, self._total, [self._notes[-n] for n in range(1, min(limit, len(self._notes)) + 1)]
        )
