"""Budgets, their accounts and lines in a file."""

from collections.abc import Sequence
from typing import Any

import apsw

from holdfast.job.budget import Account, Budget
from holdfast.limits import BUDGET_ACCOUNTS_KEPT
from holdfast.stores.budget_rows import counted
from holdfast.stores.rows import account_of, account_row, budget_row, queues_naming
from holdfast.stores.sqlite.cache import Cache
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.undecodable import fetch_undecodable


class BudgetRows:
    """This part of a transaction."""

    _db: apsw.Connection
    _cache: Cache

    def has_queue(self, name: str) -> bool:
        """One program has the file."""
        return bool(name)

    def budgets_in_memory(self) -> tuple[dict[str, Budget], dict[str, Account]]:
        """All budgets, and the accounts of late."""
        return self._known_budgets(), self._cache.accounts

    async def budgets(self, names: Sequence[str]) -> dict[str, Budget]:
        """Those of these budgets that there are."""
        known = self._known_budgets()
        return {name: known[name] for name in names if name in known}

    def _known_budgets(self) -> dict[str, Budget]:
        if self._cache.budgets is None:
            found: Any = self._db.execute(SQL["budgets"]).fetchall()
            self._cache.budgets = {row[0]: Budget(*row) for row in found}
        return self._cache.budgets

    async def budget_count(self) -> int:
        """How many budgets there are."""
        return len(self._known_budgets())

    async def save_budget(self, budget: Budget) -> None:
        """Write a budget."""
        self._known_budgets()[budget.name] = budget
        row = budget_row(budget)
        self._db.execute(SQL["save_budget"], row)

    async def delete_budget(self, name: str) -> None:
        """Remove a budget."""
        self._known_budgets().pop(name, None)
        self._db.execute(SQL["delete_budget"], (name,))

    async def queues_with_budget(self, name: str) -> list[str]:
        """Queues whose settings name it."""
        found: Any = self._db.execute(SQL["queues_with_budgets"]).fetchall()
        return queues_naming(name, found)

    async def budget_jobs(self, name: str) -> int:
        """How many unfinished jobs name it."""
        return int(self._db.execute(SQL["budget_jobs"], (name,)).get)

    async def accounts(self, ids: Sequence[str]) -> dict[str, Account]:
        """Those of these accounts that there are."""
        known, found = self._cache.accounts, {}
        for one in ids:
            account = known.get(one)
            if account is None:
                row: Any = self._db.execute(SQL["account"], (one,)).fetchone()
                if row is None:
                    continue
                if len(known) >= BUDGET_ACCOUNTS_KEPT:
                    known.clear()
                account = known[one] = account_of(row)
            found[one] = account
        return found

    async def accounts_due(self, now: int, limit: int) -> list[str]:
        """Accounts in which time has something to do."""
        found: Any = self._db.execute(SQL["accounts_due"], (now, limit)).fetchall()
        return [row[0] for row in found]

    async def wake_accounts(self, budget: str, now: int) -> None:
        """Have all accounts of a budget looked at."""
        self._db.execute(SQL["wake_accounts"], (now, budget))

    async def unblock_accounts(self, budget: str) -> None:
        """End the blocks of all accounts of a budget."""
        self._cache.accounts.clear()
        self._db.execute(SQL["unblock_accounts"], (budget,))

    async def counting_accounts(self) -> list[str]:
        """Accounts that count jobs."""
        return [row[0] for row in fetch_undecodable(self._db, SQL["counting_accounts"], ())]

    async def counted_again(self) -> dict[str, Account]:
        """What unfinished jobs add up to."""
        return counted(fetch_undecodable(self._db, SQL["charged_jobs"], (), of_jobs=False))

    async def save_accounts(self, kept: Sequence[Account], gone: Sequence[str]) -> None:
        """Write accounts."""
        known = self._cache.accounts
        if len(known) + len(kept) > BUDGET_ACCOUNTS_KEPT:
            known.clear()
        for account in kept:
            known[account.id] = account
            self._db.execute(SQL["save_account"], account_row(account))
        for one in gone:
            known[one] = Account(one)  # as if it was there: most come again soon
            self._db.execute(SQL["delete_account"], (one,))

    async def extended(self, fence: int) -> bool:
        """Whether this lease was extended."""
        return self._db.execute(SQL["extended"], (fence,)).fetchone() is not None
