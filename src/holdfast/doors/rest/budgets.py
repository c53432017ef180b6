"""Routes for budgets."""

from typing import Annotated

from msgspec import Meta

from holdfast import limits
from holdfast.doors.rest import replies
from holdfast.doors.rest.bounds import bounds
from holdfast.doors.rest.budget_answers import AccountOut, BudgetOut, BudgetsOut, FreedOut
from holdfast.doors.rest.budget_types import BlockBudgetIn, BudgetIn, UnblockBudgetIn
from holdfast.doors.rest.state import AppState
from holdfast.http.route import Route, delete, get, post, put
from holdfast.messages.budget_views import AccountInfo, BudgetInfo

Name = Annotated[str, Meta(description="The budget's name.", pattern="^[A-Za-z0-9._:-]{1,128}$")]
Key = Annotated[str, Meta(description="Only the account with this key; empty: that of jobs without one.")]


@put("/v1/budgets/{name}", tags=["budgets"], summary="Make or change a budget")
async def set_budget(state: AppState, name: Name, data: BudgetIn) -> BudgetOut:
    """It is in force at once, also for jobs that wait."""
    return shown(await state.engine.budgets.set(name, data.limit, data.per_ms, data.burst))


@get("/v1/budgets", tags=["budgets"], summary="All budgets")
async def list_budgets(state: AppState) -> BudgetsOut:
    """With what is left, and how many jobs wait."""
    return BudgetsOut([shown(info) for info in (await state.engine.budgets.all()).budgets])


@get("/v1/budgets/{name}", tags=["budgets"], summary="One budget")
async def get_budget(
    state: AppState,
    name: Name,
    limit: Annotated[int, bounds("How many accounts.", minimum=0, maximum=limits.LIST_LIMIT)] = limits.LIST_LIMIT_DEFAULT,
    after: Annotated[str, Meta(description="Accounts whose keys come after this.")] = "",
    key: Key | None = None,
) -> BudgetOut:
    """With some of its accounts, in the order of their keys."""
    info = await state.engine.budgets.one(name, limit, after, key)
    out = shown(info)
    out.some, out.next_after = [account_out(one) for one in info.some], info.after
    return out


@delete("/v1/budgets/{name}", status=200, tags=["budgets"], summary="Remove a budget")
async def delete_budget(
    state: AppState,
    name: Name,
    force: Annotated[bool, Meta(description="Also one that unfinished jobs name: they go on without it.")] = False,
) -> FreedOut:
    """Refused while unfinished jobs name it."""
    return FreedOut(await state.engine.budgets.delete(name, force))


@post("/v1/budgets/{name}/block", status=200, tags=["budgets"], summary="Let nothing start that names a budget")
async def block_budget(state: AppState, name: Name, data: BlockBudgetIn | None = None) -> BudgetOut:
    """For a time; the longest block wins. What runs goes on."""
    data = data or BlockBudgetIn()
    return shown(await state.engine.budgets.block(name, data.key, data.for_ms))


@post("/v1/budgets/{name}/unblock", status=200, tags=["budgets"], summary="End the block of a budget")
async def unblock_budget(state: AppState, name: Name, data: UnblockBudgetIn | None = None) -> BudgetOut:
    """Whoever made it."""
    return shown(await state.engine.budgets.unblock(name, None if data is None else data.key))


def shown(info: BudgetInfo) -> BudgetOut:
    """A budget as the API shows it."""
    budget = info.budget
    until = budget.blocked_until
    return BudgetOut(
        name=budget.name,
        limit=budget.limit,
        per_ms=budget.per_ms,
        burst=None if budget.per_ms is None else budget.burst,
        left=info.left,
        accounts=info.accounts,
        jobs=info.jobs,
        waiting=info.waiting,
        running=info.running,
        blocked_until=replies.instant(until) if until > info.now else None,
        created_at=replies.instant(budget.created_at),
    )


def account_out(one: AccountInfo) -> AccountOut:
    """An account as the API shows it."""
    return AccountOut(
        key=one.key,
        left=one.left,
        jobs=one.jobs,
        waiting=one.waiting,
        running=one.running,
        blocked_until=replies.instant(one.blocked_until) if one.blocked_until else None,
        earliest=None if one.earliest is None else replies.instant(one.earliest),
    )


ROUTES: list[Route] = [set_budget, list_budgets, get_budget, delete_budget, block_budget, unblock_budget]
