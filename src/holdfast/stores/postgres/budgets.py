"""Budgets, their accounts and lines in PostgreSQL.

A lock of a budget's name is that of all of its accounts and of their lines, also after the budget was deleted, while jobs name it. A batch takes it
after its queues and batches of jobs, and several in the order of their names. A budget that comes up later and is before one that the batch has is only tried; if another
node has it, the batch begins again and locks all from the beginning.
"""

from collections.abc import Sequence

from holdfast.job.budget import Account, Budget
from holdfast.job.job import Job
from holdfast.stores.budget_rows import counted
from holdfast.stores.postgres.loader import Loader
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.rows import account_of, account_row, budget_row, queues_naming
from holdfast.stores.store import TryAgain


class BudgetRows(Loader):
    """This part of a transaction."""

    def has_queue(self, name: str) -> bool:
        """Whether its row is locked."""
        return name in self._queues

    def budgets_in_memory(self) -> tuple[dict[str, Budget], dict[str, Account]]:
        """Other nodes change them: all are read, and locked by that."""
        return {}, {}

    async def budgets(self, names: Sequence[str]) -> dict[str, Budget]:
        """Those of these budgets that there are, locked; also the name of one that is not there."""
        missing = sorted(set(names) - self._budgets.keys())
        if missing:
            waits = not self._budgets or missing[0] > max(self._budgets)
            if waits:
                await self._db.execute(SQL["lock_budgets"], missing)
            elif not await self._db.fetchval(SQL["lock_budgets_now"], missing):
                raise TryAgain("a budget is in use", budgets={*self._budgets, *missing})
            found = {row[0]: Budget(*row) for row in await self._db.fetch(SQL["budgets_of"], missing)}
            self._budgets.update({name: found.get(name) for name in missing})
        return {name: budget for name in names if (budget := self._budgets.get(name)) is not None}

    async def budget_count(self) -> int:
        """How many budgets there are."""
        return int(await self._value("budget_count"))

    async def save_budget(self, budget: Budget) -> None:
        """Write a budget."""
        self._budgets[budget.name] = budget
        row = budget_row(budget)
        await self._db.execute(SQL["save_budget"], *row)
        self._note_written()

    async def delete_budget(self, name: str) -> None:
        """Remove a budget."""
        self._budgets[name] = None
        await self._db.execute(SQL["delete_budget"], name)
        self._note_written()

    async def queues_with_budget(self, name: str) -> list[str]:
        """Queues whose settings name it."""
        return queues_naming(name, await self._fetch("queues_with_budgets"))

    async def budget_jobs(self, name: str) -> int:
        """How many unfinished jobs name it."""
        return int(await self._value("budget_jobs", name))

    async def accounts(self, ids: Sequence[str]) -> dict[str, Account]:
        """Those of these accounts that there are."""
        return {row[0]: account_of(row) for row in await self._db.fetch(SQL["accounts"], list(ids))}

    async def accounts_due(self, now: int, limit: int) -> list[str]:
        """Accounts in which time has something to do; they were looked for when the batch began, and the queues of their heads are locked."""
        if self._due_accounts is None:
            self._due_accounts = [row[0] for row in await self._fetch("accounts_due", now, limit)]
        return self._due_accounts

    async def wake_accounts(self, budget: str, now: int) -> None:
        """Have all accounts of a budget looked at."""
        await self._db.execute(SQL["wake_accounts"], now, budget)
        self._note_written()

    async def unblock_accounts(self, budget: str) -> None:
        """End the blocks of all accounts of a budget."""
        await self._db.execute(SQL["unblock_accounts"], budget)
        self._note_written()

    async def counting_accounts(self) -> list[str]:
        """Accounts that count jobs."""
        return [row[0] for row in await self._fetch("counting_accounts")]

    async def counted_again(self) -> dict[str, Account]:
        """What unfinished jobs add up to."""
        return counted(await self._fetch("charged_jobs"))

    async def save_accounts(self, kept: Sequence[Account], gone: Sequence[str]) -> None:
        """Write accounts."""
        if kept:
            many = [account_row(account) for account in sorted(kept, key=lambda account: account.id)]
            await self._db.execute(SQL["save_accounts"], *map(list, zip(*many, strict=True)))
        if gone:
            await self._db.execute(SQL["delete_accounts"], list(gone))
        self._note_written()

    async def waiting(self, account: str, limit: int) -> list[Job]:
        """Who waits for an account."""
        return await self._jobs("next_waiting", account, limit)

    async def waiting_queues(self, account: str) -> dict[str, int]:
        """The queues in which somebody waits for it."""
        return {row[1]: row[0] for row in await self._fetch("waiting_queues", account)}

    async def waiting_in(self, account: str, queues: Sequence[int], limit: int) -> list[Job]:
        """Who waits for it in these queues."""
        return await self._jobs("next_waiting_in", account, list(queues), limit)

    async def extended(self, fence: int) -> bool:
        """Whether this lease was extended."""
        return await self._value("extended", fence) is not None
