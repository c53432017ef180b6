"""Commands and queries about budgets. Times are in milliseconds."""

from holdfast.messages.answers import Counted
from holdfast.messages.audit import Deed, Managed
from holdfast.messages.budget_views import BudgetInfo, BudgetList
from holdfast.messages.frame import Query


class SetBudget(Managed[Counted], frozen=True, tag=243):
    """Make a budget, or change it: at once, also for jobs that wait."""

    name: str
    limit: int
    per_ms: int | None = None
    burst: int | None = None

    def deed(self) -> Deed:
        """What it does."""
        rate = "" if self.per_ms is None else f" per {self.per_ms} ms, burst {self.burst or self.limit}"
        return Deed("budget.set", target=self.name, note=f"limit {self.limit}{rate}")


class DeleteBudget(Managed[Counted], frozen=True, tag=244):
    """Remove a budget; with `force` also one that unfinished jobs name, which then need nothing of it. The count is theirs."""

    name: str
    force: bool = False

    def deed(self) -> Deed:
        """What it does."""
        return Deed("budget.delete", target=self.name, note="by force" if self.force else "")


class BlockBudget(Managed[Counted], frozen=True, tag=245):
    """Let nothing start that names a budget, or one of its accounts, before so much time has passed. `for_ms` None: unblock."""

    name: str
    key: str | None = None
    for_ms: int | None = None

    def deed(self) -> Deed:
        """What it does."""
        whose = "" if self.key is None else f"key {self.key}"
        if self.for_ms is None:
            return Deed("budget.unblock", target=self.name, note=whose)
        return Deed("budget.block", target=self.name, note=", ".join(filter(None, (whose, f"for {self.for_ms} ms"))))


class GetBudget(Query[BudgetInfo], frozen=True, tag=246):
    """A budget, and its accounts by key after `after`; or the one with `key`."""

    name: str
    limit: int
    after: str = ""
    key: str | None = None


class ListBudgets(Query[BudgetList], frozen=True, tag=247):
    """All budgets."""
