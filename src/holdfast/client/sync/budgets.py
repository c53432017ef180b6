# Generated from client/aio/budgets.py by `make client`. Change that one.
"""Budgets: how many jobs may start in a time, or run at once."""

from typing import Any

from holdfast.client.budgets import Budget, BudgetList
from holdfast.client.retry import LONG_DEADLINE_S, path
from holdfast.client.sync.caller import Caller
from holdfast.errors import BudgetNotFound


class Budgets(Caller):
    """`budgets`, `budget`, `set_budget`, `delete_budget`, `block_budget`, `unblock_budget`."""

    def budgets(self) -> list[Budget]:
        """All budgets, by name."""
        return (self._get(BudgetList, "/v1/budgets", deadline_s=LONG_DEADLINE_S)).budgets

    def budget(self, name: str, *, key: str | None = None, after: str | None = None, limit: int | None = None) -> Budget:
        """One budget with some of its accounts, in the order of their keys; or the one with this `key`. Raises `BudgetNotFound`."""
        return self._get(Budget, path("/v1/budgets/{}", name, key=key, after=after, limit=limit))

    def set_budget(self, name: str, limit: int, *, per_ms: int | None = None, burst: int | None = None) -> Budget:
        """Make a budget or change it, at once: `limit` units in `per_ms`, of which at most `burst` are saved up; or held while jobs are leased."""
        body: dict[str, Any] = {"limit": limit, "per_ms": per_ms, "burst": burst}
        return self._send(Budget, "PUT", path("/v1/budgets/{}", name), body)

    def delete_budget(self, name: str, *, force: bool = False) -> None:
        """Remove a budget. Raises `BudgetInUse` while unfinished jobs name it; with `force` they go on without it."""
        self._delete(path("/v1/budgets/{}", name, force=True if force else None), BudgetNotFound)

    def block_budget(self, name: str, for_ms: int, *, key: str | None = None) -> Budget:
        """Let nothing start that names the budget, or its account with this key, before so much time has passed."""
        return self._post(Budget, path("/v1/budgets/{}/block", name), {"for_ms": for_ms, "key": key})

    def unblock_budget(self, name: str, *, key: str | None = None) -> Budget:
        """End the blocks of the budget and all of its accounts, or of the one with this key."""
        return self._post(Budget, path("/v1/budgets/{}/unblock", name), {"key": key})
