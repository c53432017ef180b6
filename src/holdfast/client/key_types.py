"""The client's types of access keys and of the audit log: instants are `datetime`s in UTC. Unknown fields are ignored."""

from datetime import datetime

import msgspec


class AuditEntry(msgspec.Struct, kw_only=True):
    """One entry of the audit log: who did what by hand. `outcome`: `done`, `going_on`, or the code of the refusal; `done` and
    `refused` count the items.
    """

    id: int
    at: datetime
    action: str
    queue: str | None = None
    target: str | None = None
    note: str | None = None
    outcome: str
    done: int
    refused: int
    who: str | None = None
    address: str | None = None
    door: str | None = None
    run: str | None = None


class AuditPage(msgspec.Struct):
    """A page of the audit log."""

    entries: list[AuditEntry]
    next_cursor: str | None = None


class AccessKey(msgspec.Struct, kw_only=True):
    """An access key. `secret` is only in the answer that created it, and is not shown by `repr`."""

    id: str
    name: str
    abilities: list[str]
    queues: list[str]
    sees_payloads: bool = True
    note: str = ""
    created_at: datetime
    expires_at: datetime | None = None
    used_at: datetime | None = None
    old_until: datetime | None = None
    requests_per_s: int | None = None
    parked: int | None = None
    secret: str | None = None

    def __repr__(self) -> str:
        return f"AccessKey({self.id!r}, {self.name!r}, can={','.join(self.abilities)}, queues={','.join(self.queues)})"


class AccessKeys(msgspec.Struct):
    """All access keys."""

    keys: list[AccessKey]
