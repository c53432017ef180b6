"""Deciders for access keys: create, edit, rotate, revoke. Each increments the version of all keys first: with several nodes,
that row is the lock on the keys.
"""

from msgspec.structs import replace

from holdfast.auth import keys as rules
from holdfast.auth.keys import Key
from holdfast.committer.batch import Batch
from holdfast.errors import Conflict, InvalidRequest
from holdfast.limits import KEYS
from holdfast.messages.answers import Counted
from holdfast.messages.key_commands import CreateKey, EditKey, KeyAnswer, NoteKeyUse, RevokeKey, RotateKey


async def _key(batch: Batch, name: str) -> Key:
    found = await batch.tx.key(name)
    if found is None:
        raise rules.no_such_key(name)
    return found


async def create(batch: Batch, command: CreateKey) -> KeyAnswer:
    """Create a key, or with `replace` overwrite the one with this name."""
    key = rules.check(
        Key(
            command.id,
            command.name,
            command.abilities,
            command.queues,
            (command.hash,),
            batch.now,
            rules.expiry(batch.now, command.expires_ms),
            None,
            command.sees_payloads,
            command.note,
            command.requests_per_s,
            command.parked,
        )
    )
    before = await batch.tx.key(command.name)
    if before is not None and not (command.replace and before.name == command.name):
        raise Conflict(f"There is an access key {command.name} already.", key=before.id)
    if before is not None:
        key = replace(key, id=before.id, created_at=before.created_at, used_at=before.used_at)
        if key == before:
            return KeyAnswer(before)
    elif await batch.tx.key_count() >= KEYS:
        raise InvalidRequest(f"There are {KEYS} access keys already; that is the limit.", field="name")
    await _save(batch, key)
    return KeyAnswer(key)


async def edit(batch: Batch, command: EditKey) -> KeyAnswer:
    """Change a key; without a difference nothing is written, and the version stays."""
    before = await _key(batch, command.id)
    after = rules.edited(before, command.changes, batch.now)
    if after != before:
        await _save(batch, after)
    return KeyAnswer(after)


async def rotate(batch: Batch, command: RotateKey) -> KeyAnswer:
    """Give it another secret. The previous one stays valid for a while; an older one ends at once."""
    before = await _key(batch, command.id)
    old = before.hashes[:1] if command.old_ms else ()
    after = replace(before, hashes=(command.hash, *old), old_until=batch.now + command.old_ms if old else None)
    await _save(batch, after)
    return KeyAnswer(after)


async def revoke(batch: Batch, command: RevokeKey) -> KeyAnswer:
    """Remove it: every front refuses it as soon as it has loaded the keys again."""
    before = await _key(batch, command.id)
    batch.keys = await batch.tx.bump_keys()
    await batch.tx.delete_key(before.id)
    return KeyAnswer(before)


async def note_use(batch: Batch, command: NoteKeyUse) -> Counted:
    """Write when keys were last used."""
    await batch.tx.note_key_use(command.used)
    return Counted(len(command.used))


async def _save(batch: Batch, key: Key) -> None:
    batch.keys = await batch.tx.bump_keys()
    await batch.tx.save_key(key)
