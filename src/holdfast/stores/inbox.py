"""The inbox of a store in a database, where applications put jobs themselves (`messages/inbox.py`); a file has none."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from holdfast.messages.inbox import InboxRow


class InboxTransaction(Protocol):
    """What a transaction can do with the inbox."""

    async def lock_inbox(self, jobs: Sequence[int]) -> dict[int, bool]:
        """Of these jobs, those that are in the inbox, locked; and whether there is no job of this id yet."""
        ...

    async def remove_from_inbox(self, jobs: Sequence[int]) -> None:
        """Remove these, which are locked."""
        ...


class Inbox(Protocol):
    """What is read of it, beside the transactions."""

    async def arrived(self, passing_over: Mapping[int, Any]) -> list[InboxRow]:
        """The next rows, without those that are passed over; none while another node is at it. Raises `StoreUnavailable`."""
        ...

    def look_again(self, after_s: float) -> None:
        """Some were left behind: they have to be found again, in so many seconds."""
        ...
