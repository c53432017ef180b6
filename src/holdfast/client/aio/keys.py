"""Access keys: who may do what, on which queues."""

from collections.abc import Sequence

from msgspec import UNSET, UnsetType

from holdfast.client.aio.caller import AsyncCaller
from holdfast.client.key_types import AccessKey, AccessKeys
from holdfast.client.retry import LONG_DEADLINE_S, path
from holdfast.errors import KeyNotFound


class Keys(AsyncCaller):
    """`keys`, `key`, `create_key`, `edit_key`, `rotate_key`, `revoke_key`; all of them need the ability `admin`."""

    async def keys(self) -> list[AccessKey]:
        """All keys by name, without their secrets."""
        return (await self._get(AccessKeys, "/v1/keys", deadline_s=LONG_DEADLINE_S)).keys

    async def key(self, name: str) -> AccessKey:
        """One key, by its id or its name, without its secret."""
        return await self._get(AccessKey, path("/v1/keys/{}", name))

    async def create_key(
        self,
        name: str,
        abilities: Sequence[str],
        queues: Sequence[str] = ("*",),
        *,
        expires_ms: int | None = None,
        sees_payloads: bool = True,
        note: str = "",
        requests_per_s: int | None = None,
        parked: int | None = None,
    ) -> AccessKey:
        """Make a key; its `secret` is in this answer only. After a lost answer this raises `OutcomeUnknown`: revoke the key, and make it again."""
        fields = {
            "name": name,
            "abilities": list(abilities),
            "queues": list(queues),
            "expires_ms": expires_ms,
            "sees_payloads": sees_payloads,
            "note": note,
            "requests_per_s": requests_per_s,
            "parked": parked,
        }
        return await self._post(AccessKey, "/v1/keys", fields, repeatable=False)

    async def edit_key(
        self,
        name: str,
        *,
        abilities: Sequence[str] | UnsetType = UNSET,
        queues: Sequence[str] | UnsetType = UNSET,
        expires_ms: int | UnsetType | None = UNSET,
        sees_payloads: bool | UnsetType = UNSET,
        note: str | UnsetType = UNSET,
        requests_per_s: int | UnsetType | None = UNSET,
        parked: int | UnsetType | None = UNSET,
    ) -> AccessKey:
        """Change a key, by its id or its name; what is left out stays, and so does its secret. `expires_ms` counts from now; None: it lives until it is
        revoked.
        """
        fields = {
            "abilities": abilities if isinstance(abilities, UnsetType) else list(abilities),
            "queues": queues if isinstance(queues, UnsetType) else list(queues),
            "expires_ms": expires_ms,
            "sees_payloads": sees_payloads,
            "note": note,
            "requests_per_s": requests_per_s,
            "parked": parked,
        }
        changes = {field: value for field, value in fields.items() if value is not UNSET}
        return await self._send(AccessKey, "PATCH", path("/v1/keys/{}", name), changes)

    async def rotate_key(self, name: str, *, old_ms: int | None = None) -> AccessKey:
        """Give a key another secret, which is in this answer only; the one before lives on for `old_ms` (a day, unless it is given)."""
        fields = None if old_ms is None else {"old_ms": old_ms}
        return await self._post(AccessKey, path("/v1/keys/{}/rotate", name), fields, repeatable=False)

    async def revoke_key(self, name: str) -> None:
        """Remove a key: it is refused everywhere within 2 s."""
        await self._delete(path("/v1/keys/{}", name), KeyNotFound)
