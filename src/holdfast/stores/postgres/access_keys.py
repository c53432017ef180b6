"""Reads and writes of access keys in a transaction: a base class of `PostgresTransaction`."""

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.auth.keys import Key
from holdfast.stores import rows
from holdfast.stores.postgres.sql import SQL


class KeyRows:
    """The methods of a transaction for access keys."""

    _db: Any

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Any]:
        raise NotImplementedError

    async def _value(self, statement: str, *values: Any) -> Any:
        raise NotImplementedError

    def _note_written(self) -> None:
        raise NotImplementedError

    async def key(self, name: str) -> Key | None:
        """The key with this id or name."""
        found = await self._fetch("key_by", name)
        return rows.key_of(found[0]) if found else None

    async def key_count(self) -> int:
        """How many there are."""
        return int(await self._value("key_count"))

    async def bump_keys(self) -> int:
        """Increment the version of all keys; returns the new one. Every change of keys does this first: the counter's row is
        the lock on all keys.
        """
        version: int = await self._value("bump_keys")
        self._note_written()
        return version

    async def save_key(self, key: Key) -> None:
        """Write a key, new or changed."""
        await self._db.execute(SQL["save_key"], *rows.key_row(key))
        self._note_written()

    async def delete_key(self, key_id: str) -> None:
        """Remove a key."""
        await self._db.execute(SQL["delete_key"], key_id)
        self._note_written()

    async def note_key_use(self, used: Mapping[str, int]) -> None:
        """Write when keys were last used; in order, so that two nodes can't deadlock."""
        await self._db.executemany(SQL["note_key_use"], sorted(used.items()))
        self._note_written()
