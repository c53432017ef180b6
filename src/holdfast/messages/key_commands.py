"""Commands and queries about access keys. A secret is never sent to the store's side: only its hash is."""

from msgspec import UNSET

from holdfast.auth.keys import Ability, Key, KeyChanges
from holdfast.limits import KEY_OLD_MS
from holdfast.messages.answers import Counted
from holdfast.messages.audit import Deed, Managed
from holdfast.messages.frame import Answer, Command, Query

_NOTE_CHARS = 200


class KeyAnswer(Answer, frozen=True, tag=180):
    """A key as it is now."""

    key: Key


class KeyList(Answer, frozen=True, tag=181):
    """All keys, by name, and their common version; None instead of the keys if the version is the one that was known."""

    version: int
    keys: list[Key] | None


class CreateKey(Managed[KeyAnswer], frozen=True, tag=90):
    """Create a key. `expires_ms`: how long it is valid (None: until it is revoked). `replace`: overwrite a key of this name."""

    id: str
    name: str
    hash: bytes
    abilities: tuple[Ability, ...]
    queues: tuple[str, ...]
    expires_ms: int | None = None
    sees_payloads: bool = True
    note: str = ""
    requests_per_s: int | None = None
    parked: int | None = None
    replace: bool = False

    def deed(self) -> Deed:
        """What it does."""
        words = f"can {', '.join(self.abilities)} on {', '.join(self.queues)}"
        return Deed("key.create", target=self.name, note=words[:_NOTE_CHARS])


class EditKey(Managed[KeyAnswer], frozen=True, tag=95):
    """Change a key, by its id or its name, but not its secret."""

    id: str
    changes: KeyChanges

    def deed(self) -> Deed:
        """What it does; without the text of a new note of the key."""
        given = self.changes.given() | ({} if self.changes.note is UNSET else {"note": "…"})
        words = [f"{name} {', '.join(value) if isinstance(value, tuple) else value}" for name, value in given.items()]
        return Deed("key.edit", target=self.id, note="; ".join(words)[:_NOTE_CHARS])


class RotateKey(Managed[KeyAnswer], frozen=True, tag=91):
    """Give a key, by its id or its name, another secret; the previous one stays valid for `old_ms`."""

    id: str
    hash: bytes
    old_ms: int = KEY_OLD_MS

    def deed(self) -> Deed:
        """What it does."""
        return Deed("key.rotate", target=self.id)


class RevokeKey(Managed[KeyAnswer], frozen=True, tag=92):
    """Remove a key, by its id or its name."""

    id: str

    def deed(self) -> Deed:
        """What it does."""
        return Deed("key.revoke", target=self.id)


class NoteKeyUse(Command[Counted], frozen=True, tag=93):
    """When each of these keys was last used; it costs a write, so it is sent rarely."""

    used: dict[str, int]


class ListKeys(Query[KeyList], frozen=True, tag=94):
    """All keys. `known` is for the keyring of a front: only if their version is another one."""

    known: int | None = None
