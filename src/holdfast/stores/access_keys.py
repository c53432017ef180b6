"""What a transaction of a store can do with access keys: a part of the protocol in `store.py`."""

from collections.abc import Mapping
from typing import Protocol

from holdfast.auth.keys import Key


class KeyTransaction(Protocol):
    """The access keys of one transaction."""

    async def key(self, name: str) -> Key | None:
        """One access key by its id or its name."""
        ...

    async def key_count(self) -> int:
        """How many access keys there are."""
        ...

    async def bump_keys(self) -> int:
        """Increase the version of the key set; returns the new one. To be called before a key is read for a change."""
        ...

    async def save_key(self, key: Key) -> None:
        """Write an access key, new or changed."""
        ...

    async def delete_key(self, key_id: str) -> None:
        """Remove an access key."""
        ...

    async def note_key_use(self, used: Mapping[str, int]) -> None:
        """Write when access keys were last used, by their ids; the version does not grow."""
        ...
