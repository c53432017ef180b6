"""The verbs about budgets: set, remove, block, unblock, show."""

from holdfast import limits
from holdfast.engine import checks
from holdfast.engine.reader import Reader
from holdfast.engine.submitter import Submitter
from holdfast.messages.budget_commands import BlockBudget, DeleteBudget, GetBudget, ListBudgets, SetBudget
from holdfast.messages.budget_views import BudgetInfo, BudgetList


class Budgets:
    """Verbs on budgets."""

    def __init__(self, submitter: Submitter, reading: Reader) -> None:
        self._submitter = submitter
        self._reading = reading

    async def set(self, name: str, limit: int, per_ms: int | None = None, burst: int | None = None) -> BudgetInfo:
        """Make a budget, or change it; at once, also for jobs that wait."""
        command = SetBudget(name, limit, per_ms, burst)
        async with self._submitter.audited(command):
            checks.budget(name, limit, per_ms, burst)
        await self._submitter.manage(command)
        return await self._reading.as_it_is(GetBudget(name, 0))

    async def delete(self, name: str, force: bool = False) -> int:
        """Remove a budget: with `force` also one that unfinished jobs name, whose number is returned."""
        return (await self._submitter.manage(DeleteBudget(name, force))).count

    async def block(self, name: str, key: str | None, for_ms: int) -> BudgetInfo:
        """Let nothing start that names the budget, or its account with this key, before so much time has passed."""
        command = BlockBudget(name, key, for_ms)
        async with self._submitter.audited(command):
            checks.block(key, for_ms)
        await self._submitter.manage(command)
        return await self._reading.as_it_is(GetBudget(name, 0))

    async def unblock(self, name: str, key: str | None = None) -> BudgetInfo:
        """End the blocks of the budget and of all its accounts, or of one of these."""
        command = BlockBudget(name, key)
        async with self._submitter.audited(command):
            checks.block(key, 1)
        await self._submitter.manage(command)
        return await self._reading.as_it_is(GetBudget(name, 0))

    async def all(self) -> BudgetList:
        """All budgets."""
        return await self._reading.ask(ListBudgets())

    async def one(self, name: str, limit: int = 0, after: str = "", key: str | None = None) -> BudgetInfo:
        """A budget, with some of its accounts by their keys, or the one with this key."""
        checks.number("limit", limit, 0, limits.LIST_LIMIT)
        checks.text("after", after, limits.BUDGET_KEY_CHARS)
        checks.text("key", key, limits.BUDGET_KEY_CHARS)
        return await self._reading.ask(GetBudget(name, limit, after, key))
