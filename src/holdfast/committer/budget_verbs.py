"""The managing verbs of budgets. What they change is in force at once: every account of the budget is looked at again, by a tick."""

from msgspec.structs import replace

from holdfast.committer.batch import Batch
from holdfast.committer.budgets import accounts_of, settle
from holdfast.errors import BudgetInUse, BudgetNotFound, InvalidRequest
from holdfast.job import budget as rules
from holdfast.job.budget import Budget
from holdfast.limits import BUDGETS
from holdfast.messages.answers import Counted
from holdfast.messages.budget_commands import BlockBudget, DeleteBudget, SetBudget
from holdfast.units import counted


async def put(batch: Batch, command: SetBudget) -> Counted:
    """Make a budget, or change it."""
    accounts = accounts_of(batch)
    await accounts.load_budgets([command.name])
    before = accounts.budgets.get(command.name)
    if before is None:
        await batch.demand_newest_only("budgets")
        if await batch.tx.budget_count() >= BUDGETS:
            raise InvalidRequest(f"There are {BUDGETS} budgets already; that is the limit.", field="name")
    burst = command.limit if command.per_ms is None or command.burst is None else command.burst
    if before is None:
        budget = Budget(command.name, command.limit, command.per_ms, burst, 0, batch.now, batch.now)
    else:
        budget = replace(before, limit=command.limit, per_ms=command.per_ms, burst=burst)
        if budget != before:
            budget = replace(budget, changed_at=batch.now)
    await _change(batch, budget)
    return Counted(1)


async def delete(batch: Batch, command: DeleteBudget) -> Counted:
    """Remove a budget; what waits for it is free."""
    await _named(batch, command.name)
    accounts = accounts_of(batch)
    await settle(batch)
    await batch.flush()
    await accounts.save()
    queues = [] if command.force else await batch.tx.queues_with_budget(command.name)
    if queues:
        raise BudgetInUse(
            f"The settings of the queue {queues[0]} name the budget {command.name}; with force it is no bound any more.",
            budget=command.name,
            queue=queues[0],
            jobs=0,
        )
    jobs = await batch.tx.budget_jobs(command.name)
    if jobs and not command.force:
        raise BudgetInUse(
            f"The budget {command.name} is named by {counted(jobs, 'unfinished job')}; with force they go on without it.",
            budget=command.name,
            jobs=jobs,
        )
    accounts.set_budget(command.name, None)
    await batch.tx.delete_budget(command.name)
    await _wake(batch, command.name)
    return Counted(jobs)


async def block(batch: Batch, command: BlockBudget) -> Counted:
    """Block or unblock a budget, or one of its accounts. To unblock a budget is to unblock all of its accounts."""
    budget = await _named(batch, command.name)
    accounts = accounts_of(batch)
    if command.key is None:
        until = 0 if command.for_ms is None else max(budget.blocked_until, batch.now + command.for_ms)
        if command.for_ms is None:
            await batch.tx.unblock_accounts(command.name)
            for account in accounts.loaded_of(command.name):
                account.blocked_until = 0
        await _change(batch, replace(budget, blocked_until=until))
        return Counted(1)
    one = f"{command.name}/{command.key}"
    await accounts.load_accounts([one])
    if command.for_ms is None:
        accounts.touch(one).blocked_until = 0
        accounts.free(one)
    else:
        rules.block(accounts.touch(one), batch.now + command.for_ms)
    return Counted(1)


async def _named(batch: Batch, name: str) -> Budget:
    accounts = accounts_of(batch)
    await accounts.load_budgets([name])
    budget = accounts.budgets.get(name)
    if budget is None:
        raise BudgetNotFound(f"There is no budget {name}.", budget=name)
    return budget


async def _change(batch: Batch, budget: Budget) -> None:
    accounts_of(batch).set_budget(budget.name, budget)
    await batch.tx.save_budget(budget)
    await _wake(batch, budget.name)


async def _wake(batch: Batch, name: str) -> None:
    """Have every account looked at: those of this batch now, the others by a tick at once."""
    accounts = accounts_of(batch)
    await batch.tx.wake_accounts(name, batch.now)
    for account in accounts.loaded_of(name):
        accounts.touch(account.id)
        accounts.free(account.id)
    if batch.earliest is None or batch.now < batch.earliest:
        batch.earliest = batch.now
