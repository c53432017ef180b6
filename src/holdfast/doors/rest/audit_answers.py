"""What native HTTP answers about the audit log."""

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.doors.rest.types import Id, Instant


class AuditEntryOut(msgspec.Struct, kw_only=True, gc=False):
    """One entry of the audit log. `outcome`: `done`, `going_on` (one of several steps, not the last), or the code of the
    refusal; `done` and `refused` count the items. `run` is set for actions of several steps.
    """

    id: Id
    at: Instant
    action: str
    queue: str | None
    target: str | None
    note: str | None
    outcome: str
    done: int
    refused: int
    who: str | None
    address: str | None
    door: str | None
    run: str | UnsetType = UNSET


class AuditOut(msgspec.Struct):
    """A page of the audit log. `kept` is the number of entries, `removed` of those removed by age or number."""

    entries: list[AuditEntryOut]
    next_cursor: str | None
    kept: int
    kept_bytes: int
    removed: int
