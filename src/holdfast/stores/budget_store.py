"""The part of the store protocol that is about budgets, their accounts and the lines of these."""

from collections.abc import Sequence
from typing import Protocol

from holdfast.job.budget import Account, Budget
from holdfast.job.job import Job


class BudgetTransaction(Protocol):
    """See `stores.store.Transaction`."""

    def has_queue(self, name: str) -> bool:
        """Whether jobs of this queue can be changed without a further lock."""
        ...

    def budgets_in_memory(self) -> tuple[dict[str, Budget], dict[str, Account]]:
        """Budgets and accounts that need not be read, as they are stored; none in a shared store. Who changes a budget in it stores it, too."""
        ...

    async def budgets(self, names: Sequence[str]) -> dict[str, Budget]:
        """Those of these budgets that there are. On a shared store their accounts and lines are locked from here on, also of one that is not there."""
        ...

    async def budget_count(self) -> int:
        """How many budgets there are."""
        ...

    async def save_budget(self, budget: Budget) -> None:
        """Write a budget, new or changed."""
        ...

    async def delete_budget(self, name: str) -> None:
        """Remove a budget; its accounts stay until no job names them."""
        ...

    async def queues_with_budget(self, name: str) -> list[str]:
        """Queues whose settings name a budget."""
        ...

    async def budget_jobs(self, name: str) -> int:
        """How many unfinished jobs name a budget."""
        ...

    async def accounts(self, ids: Sequence[str]) -> dict[str, Account]:
        """Those of these accounts that there are."""
        ...

    async def accounts_due(self, now: int, limit: int) -> list[str]:
        """Accounts in which time has something to do by now, longest due first."""
        ...

    async def wake_accounts(self, budget: str, now: int) -> None:
        """Have all accounts of a budget looked at, because it has changed."""
        ...

    async def unblock_accounts(self, budget: str) -> None:
        """End the blocks of all accounts of a budget."""
        ...

    async def counting_accounts(self) -> list[str]:
        """Accounts that count jobs."""
        ...

    async def counted_again(self) -> dict[str, Account]:
        """What unfinished jobs add up to, by account; of those whose rows can be read."""
        ...

    async def save_accounts(self, kept: Sequence[Account], gone: Sequence[str]) -> None:
        """Write these accounts, and forget those."""
        ...

    async def waiting(self, account: str, limit: int) -> list[Job]:
        """The jobs that wait for an account, oldest first."""
        ...

    async def waiting_queues(self, account: str) -> dict[str, int]:
        """The queues of the jobs that wait for an account: their names and numbers."""
        ...

    async def waiting_in(self, account: str, queues: Sequence[int], limit: int) -> list[Job]:
        """Those of these queues, oldest first."""
        ...

    async def extended(self, fence: int) -> bool:
        """Whether this lease was extended by its holder."""
        ...
