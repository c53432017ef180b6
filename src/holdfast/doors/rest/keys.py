"""Routes for access keys. A secret is in the answer that creates it, and in no other."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast import limits
from holdfast.auth.keys import Key, KeyChanges, abilities_of
from holdfast.doors.rest import replies
from holdfast.doors.rest.state import AppState
from holdfast.doors.rest.types import Instant, KeyEditIn, KeyIn, RotateIn
from holdfast.http.route import Route, delete, get, patch, post

KeyId = Annotated[str, Meta(description="The key's id or its name.", pattern="^[A-Za-z0-9._:-]{1,128}$")]


class KeyOut(msgspec.Struct, kw_only=True):
    """An access key. `secret` only in the answer that made it; `old_until`: when the secret before the last one ends."""

    id: str
    name: str
    abilities: tuple[str, ...]
    queues: tuple[str, ...]
    sees_payloads: bool
    note: str
    created_at: Instant
    expires_at: Instant | None
    used_at: Instant | None
    old_until: Instant | UnsetType = UNSET
    requests_per_s: int | UnsetType = UNSET
    parked: int | UnsetType = UNSET
    secret: str | UnsetType = UNSET

    def __repr__(self) -> str:
        """Without its secret."""
        return f"KeyOut({self.id!r}, {self.name!r})"


class KeysOut(msgspec.Struct):
    """All access keys."""

    keys: list[KeyOut]


@post("/v1/keys", tags=["keys"], summary="Create an access key")
async def create_key(state: AppState, data: KeyIn) -> KeyOut:
    """Its secret is in this answer only. With the first key, keys are in force: from then on each request needs one."""
    key, secret = await state.engine.keys.create(
        data.name,
        abilities_of(data.abilities),
        data.queues,
        data.expires_ms,
        data.sees_payloads,
        data.note,
        data.requests_per_s,
        data.parked,
    )
    return shown(key, secret)


@get("/v1/keys", tags=["keys"], summary="All access keys")
async def list_keys(state: AppState) -> KeysOut:
    """By name, without their secrets."""
    return KeysOut([shown(key) for key in await state.engine.keys.all()])


@get("/v1/keys/{key}", tags=["keys"], summary="One access key")
async def get_key(state: AppState, key: KeyId) -> KeyOut:
    """Without its secret."""
    return shown(await state.engine.keys.one(key))


@patch("/v1/keys/{key}", tags=["keys"], summary="Change an access key")
async def edit_key(state: AppState, key: KeyId, data: KeyEditIn) -> KeyOut:
    """What is left out stays, and so does its secret. It takes effect everywhere within 2 s; for what the key has open, with
    the next command, job or event.
    """
    given = {name: value for name in data.__struct_fields__ if (value := getattr(data, name)) is not UNSET}
    if "abilities" in given:
        given["abilities"] = abilities_of(given["abilities"])
    return shown(await state.engine.keys.edit(key, KeyChanges(**given)))


@post("/v1/keys/{key}/rotate", status=200, tags=["keys"], summary="Give an access key another secret")
async def rotate_key(state: AppState, key: KeyId, data: RotateIn | None = None) -> KeyOut:
    """The previous secret stays valid for `old_ms`, by default a day."""
    return shown(*await state.engine.keys.rotate(key, limits.KEY_OLD_MS if data is None else data.old_ms))


@delete("/v1/keys/{key}", tags=["keys"], summary="Revoke an access key")
async def revoke_key(state: AppState, key: KeyId) -> None:
    """It is refused everywhere within 2 s; its open long polls, streams and channels are closed."""
    await state.engine.keys.revoke(key)


def shown(key: Key, secret: str | None = None) -> KeyOut:
    """A key as the API shows it."""
    return KeyOut(
        id=key.id,
        name=key.name,
        abilities=tuple(ability.value for ability in key.abilities),
        queues=key.queues,
        sees_payloads=key.sees_payloads,
        note=key.note,
        created_at=replies.instant(key.created_at),
        expires_at=None if key.expires_at is None else replies.instant(key.expires_at),
        used_at=None if key.used_at is None else replies.instant(key.used_at),
        old_until=UNSET if key.old_until is None else replies.instant(key.old_until),
        requests_per_s=UNSET if key.requests_per_s is None else key.requests_per_s,
        parked=UNSET if key.parked is None else key.parked,
        secret=UNSET if secret is None else secret,
    )


ROUTES: list[Route] = [create_key, list_keys, get_key, edit_key, rotate_key, revoke_key]
