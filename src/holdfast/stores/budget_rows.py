"""Budgets and their accounts as they are shown, for every SQL store."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from holdfast.errors import BudgetNotFound
from holdfast.job import budget as rules
from holdfast.job.budget import Account, Budget, Next
from holdfast.job.job import Job
from holdfast.limits import POSITION_COUNTED
from holdfast.messages.budget_commands import GetBudget
from holdfast.messages.budget_views import AccountInfo, BudgetInfo, BudgetList, WaitFacts
from holdfast.stores.formats import UNREADABLE, extras_of
from holdfast.stores.rows import Row, account_of

Fetch = Callable[..., Awaitable[Sequence[Any]]]


async def budgets(fetch: Fetch, now: int) -> BudgetList:
    """All of them."""
    sums = {row[0]: row for row in await fetch("budget_sums")}
    found = [Budget(*row) for row in await fetch("budgets")]
    return BudgetList([await _info(fetch, budget, sums.get(budget.name), now) for budget in found], now)


async def budget(fetch: Fetch, query: GetBudget, now: int) -> BudgetInfo:
    """One, with a page of its accounts."""
    found = {row[0]: Budget(*row) for row in await fetch("budgets")}.get(query.name)
    if found is None:
        raise BudgetNotFound(f"There is no budget {query.name}.", budget=query.name)
    sums = {row[0]: row for row in await fetch("budget_sums")}.get(query.name)
    if query.key is not None:
        one = await _account(fetch, f"{query.name}/{query.key}")
        return await _info(fetch, found, sums, now, [shown(one, found, now)])
    least, beyond = f"{query.name}/", f"{query.name}0"  # "0" comes next after "/"
    after = f"{query.name}/{query.after}" if query.after else ""
    rows = await fetch("accounts_after", least, after, beyond, query.limit + 1) if query.limit else ()
    page = [account_of(row) for row in rows]
    some = [shown(account, found, now) for account in page[: query.limit]]
    return await _info(fetch, found, sums, now, some, some[-1].key if len(page) > query.limit else None)


async def waits(fetch: Fetch, job: Job, now: int) -> list[WaitFacts]:
    """What the accounts that a job names look like."""
    there = {row[0]: Budget(*row) for row in await fetch("budgets")}
    facts = []
    for charge in job.extras.budgets:
        found = there.get(charge.name)
        account = await _account(fetch, charge.account)
        ahead = 0
        if job.waits == charge.account:
            ahead = (await fetch("waiting_ahead", charge.account, job.id, POSITION_COUNTED))[0][0]
        facts.append(WaitFacts(found, shown(account, found, now), charge.cost, ahead))
    return facts


def shown(account: Account, found: Budget | None, now: int) -> AccountInfo:
    """An account as it is shown."""
    if found is None:
        return AccountInfo(account.key, 0, account.jobs, account.waiting, account.running)
    earliest = rules.earliest(account, found, account.first_cost, now) if account.waiting else None
    until = rules.blocked_until(account, found, now)
    left = rules.left(account, found, now)
    return AccountInfo(account.key, left, account.jobs, account.waiting, account.running, until, earliest)


async def _account(fetch: Fetch, account: str) -> Account:
    found = await fetch("account", account)
    return account_of(found[0]) if found else Account(account)


async def _info(
    fetch: Fetch, found: Budget, sums: Any, now: int, some: list[AccountInfo] | None = None, after: str | None = None
) -> BudgetInfo:
    left = rules.left(await _account(fetch, f"{found.name}/"), found, now)
    accounts, jobs, waiting, running = (0, 0, 0, 0) if sums is None else sums[1:]
    return BudgetInfo(found, now, left, accounts, jobs, waiting, running, some or [], after)


def counted(found: Iterable[Row]) -> dict[str, Account]:
    """What unfinished jobs add up to by account, from rows of `charged_jobs`. Jobs whose extras can't be read are left out."""
    accounts: dict[str, Account] = {}
    for place, line, text, queue, count in found:
        try:
            charges = extras_of(text).budgets
        except UNREADABLE:
            continue
        for charge in charges:
            account = accounts.setdefault(charge.account, Account(charge.account))
            account.jobs += count
            if place == "leased":
                account.running += count * charge.cost
            elif place == "next":
                account.next_jobs += count
                account.next_units += count * charge.cost
                of = account.by_queue.setdefault(queue, Next())
                of.jobs += count
                of.units += count * charge.cost
            elif place == "waiting" and line == charge.account:
                account.waiting += count
    return accounts
