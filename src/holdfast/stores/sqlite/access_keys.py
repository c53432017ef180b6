"""Reads and writes of access keys in a transaction: a base class of `SqliteTransaction`."""

from collections.abc import Mapping

import apsw

from holdfast.auth.keys import Key
from holdfast.stores import rows
from holdfast.stores.sqlite.sql import SQL


class KeyRows:
    """The methods of a transaction for access keys."""

    _db: apsw.Connection

    async def key(self, name: str) -> Key | None:
        """The key with this id or name."""
        row = self._db.execute(SQL["key_by"], (name,)).fetchone()
        return None if row is None else rows.key_of(row)

    async def key_count(self) -> int:
        """How many there are."""
        return int(self._db.execute(SQL["key_count"]).get)

    async def bump_keys(self) -> int:
        """Increment the version of all keys; returns the new one."""
        return int(self._db.execute(SQL["bump_keys"]).get)

    async def save_key(self, key: Key) -> None:
        """Write a key, new or changed."""
        self._db.execute(SQL["save_key"], rows.key_row(key))

    async def delete_key(self, key_id: str) -> None:
        """Remove a key."""
        self._db.execute(SQL["delete_key"], (key_id,))

    async def note_key_use(self, used: Mapping[str, int]) -> None:
        """Write when keys were last used."""
        self._db.executemany(SQL["note_key_use"], list(used.items()))
