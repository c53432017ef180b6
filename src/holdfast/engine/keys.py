"""The verbs about access keys: create, edit, rotate, revoke, list. A secret is made here and returned once; only its hash is
sent to the store.
"""

from collections.abc import Awaitable, Callable

from msgspec.structs import replace

from holdfast import limits
from holdfast.auth import keys as rules
from holdfast.auth.actor import Actor
from holdfast.auth.keys import Ability, Key, KeyChanges
from holdfast.engine import checks
from holdfast.engine.reader import Reader
from holdfast.engine.submitter import Submitter
from holdfast.messages.audit import Managed
from holdfast.messages.key_commands import CreateKey, EditKey, KeyAnswer, RevokeKey, RotateKey

ADMIN_KEY = "admin"
_SERVER = Actor(door="server")
_ADMIN_NOTE = "its secret is in the file that admin_key_file names"

_ANY_KEY = Key("", "any", (Ability.READ,), ("*",), (), 0)


class Keys:
    """The verbs. When a change is answered, it is in force in this process: `renewed` waits for that."""

    def __init__(self, submitter: Submitter, reading: Reader, renewed: Callable[[], Awaitable[None]]) -> None:
        self._submitter = submitter
        self._reading = reading
        self._renewed = renewed

    async def create(
        self,
        name: str,
        abilities: tuple[Ability, ...],
        queues: tuple[str, ...] = ("*",),
        expires_ms: int | None = None,
        sees_payloads: bool = True,
        note: str = "",
        requests_per_s: int | None = None,
        parked: int | None = None,
    ) -> tuple[Key, str]:
        """Create a key: the key, and its secret, which can't be read again."""
        secret = rules.new_secret()
        command = CreateKey(
            rules.new_id(),
            name,
            rules.hash_of(secret),
            abilities,
            queues,
            expires_ms,
            sees_payloads,
            note,
            requests_per_s,
            parked,
        )
        async with self._submitter.audited(command):
            rules.check(
                Key(command.id, name, abilities, queues, (), 0, None, None, sees_payloads, note, requests_per_s, parked)
            )
            rules.expiry(0, expires_ms)
        return await self._changed(command), secret

    async def ensure_admin(self, secret: str) -> None:
        """Create the key `admin`, which may do everything, or change it, so that this is its secret. For the server, before it
        accepts requests.
        """
        command = CreateKey(
            rules.new_id(),
            ADMIN_KEY,
            rules.hash_of(secret),
            (Ability.ADMIN,),
            ("*",),
            note=_ADMIN_NOTE,
            replace=True,
            actor=_SERVER,
        )
        await self._submitter.ask_as_server(command)

    async def edit(self, key_id: str, changes: KeyChanges) -> Key:
        """Change a key, but not its secret."""
        command = EditKey(key_id, changes)
        async with self._submitter.audited(command):
            rules.edited(_ANY_KEY, changes, 0)  # invalid changes are refused even if the key does not exist
        return await self._changed(command)

    async def rotate(self, key_id: str, old_ms: int = limits.KEY_OLD_MS) -> tuple[Key, str]:
        """Give a key another secret; the previous one stays valid for `old_ms`."""
        secret = rules.new_secret()
        command = RotateKey(key_id, rules.hash_of(secret), old_ms)
        async with self._submitter.audited(command):
            checks.number("old_ms", old_ms, 0, limits.KEY_EXPIRES_MS_MAX)
        return await self._changed(command), secret

    async def revoke(self, key_id: str) -> Key:
        """Remove a key; returns it as it was."""
        return await self._changed(RevokeKey(key_id))

    async def _changed(self, command: Managed[KeyAnswer]) -> Key:
        key = (await self._submitter.manage(command)).key
        await self._renewed()
        return key

    async def all(self) -> list[Key]:
        """All keys, by name, without their hashes."""
        return [replace(key, hashes=()) for key in await self._reading.keys()]

    async def one(self, key_id: str) -> Key:
        """A key by its id or its name."""
        keys = await self.all()
        found = next((key for key in keys if key.id == key_id), None) or next((key for key in keys if key.name == key_id), None)
        if found is None:
            raise rules.no_such_key(key_id)
        return found
