"""Jobs that name budgets: who may be next, who stands aside, and who comes back. See `job/budget.py` for what an account can pay.

    enqueue, due, retry, release ─▶ can all of its accounts pay, and does nobody wait there?  ─yes─▶ next: in its queue's line
                                        │ no                                      ▲                     │ lease: it pays
                                        ▼                                         │ as many as          ▼ (blocked meanwhile: aside again)
                                    aside: in the line of the account ────────────┘ it can pay for    leased
                                    that stands in its way, oldest first

A group's place comes first: a job that waits for its group is in no account's line, and one that waits for an account keeps its place. Each batch
settles the jobs that it changed once, after all other decisions, as groups are settled. A line moves on in the transaction that gives units back, or
by a tick when time does; in a store shared by nodes, for jobs of queues that the transaction has not locked, by a tick at once. Jobs of queues that are
passed over have a line for each queue.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from holdfast.committer import groups
from holdfast.committer.accounts import Accounts, Charges
from holdfast.committer.batch import Batch
from holdfast.committer.unreadable_jobs import set_aside
from holdfast.errors import InvalidRequest
from holdfast.job import budget as rules
from holdfast.job import lifecycle
from holdfast.job.budget import NOBODY, Account, Block, Budget, Charge, with_charges
from holdfast.job.job import LEASED, UNFINISHED, Job, NewJob, is_next
from holdfast.job.queue import Queue
from holdfast.limits import BUDGET_CHUNK
from holdfast.messages import events
from holdfast.messages.answers import Counted
from holdfast.messages.time_commands import AdmitWaiting
from holdfast.stores.store import Change

_READ = 64  # jobs of a line read in one go; most batches give back fewer units
_PAUSE_MS = 100  # before the next try where a queue that is held by others is in the way


def accounts_of(batch: Batch) -> Accounts:
    """The accounts of the batch."""
    if batch.accounts is None:
        batch.accounts = Accounts(batch.tx, batch.now, batch.queues)
    return batch.accounts


async def check(batch: Batch, jobs: Sequence[NewJob]) -> None:
    """Refuse new jobs that name an unknown budget, or cost more than one can ever pay."""
    accounts = accounts_of(batch)
    known, good = accounts.budgets, accounts.good
    for new in jobs:
        extras = new.extras
        if not extras.budgets:
            continue
        if (same := good.get(extras)) is not None:
            new.extras = same
            continue
        for charge in extras.budgets:
            budget = known.get(charge.name)
            if budget is None or charge.cost > budget.need(charge.cost):
                await demand(batch, extras.budgets)
        good[extras] = extras


async def demand(batch: Batch, charges: Sequence[Charge]) -> None:
    """The same of what one job, or each job of a queue, is to cost."""
    accounts = accounts_of(batch)
    await accounts.load_budgets([charge.name for charge in charges])
    for place, charge in enumerate(charges):
        budget = accounts.budgets.get(charge.name)
        if budget is None:
            raise InvalidRequest(f"There is no budget {charge.name}.", field=f"budgets[{place}].name", budget=charge.name)
        if charge.cost > budget.need(charge.cost):
            bound, most = ("limit", budget.limit) if budget.per_ms is None else ("burst", budget.burst)
            raise InvalidRequest(
                f"A cost of {charge.cost} is more than the {bound} of the budget {charge.name}, which is {most}.",
                field=f"budgets[{place}].cost",
                budget=charge.name,
                limit=most,
            )


def with_queues(new: NewJob, queue: Queue) -> NewJob:
    """The same new job, which pays what its queue's settings say, too. A copy: the batch may be tried again."""
    added = queue.policy.budgets
    return replace(new, extras=replace(new.extras, budgets=with_charges(new.extras.budgets, added), queue_budgets=added))


async def settle(batch: Batch) -> None:
    """Count every job of this batch in its accounts, decide which ready ones are next, and let those in who can be."""
    if batch.grouped:
        await groups.settle(batch)
    if batch.budgeted:
        await _settle(batch)
    if batch.accounts is not None and batch.accounts.to_admit:
        await admit(batch, BUDGET_CHUNK)


async def _settle(batch: Batch) -> None:
    ids, batch.budgeted = batch.budgeted, set()
    accounts, changes, knows = accounts_of(batch), batch.changes, accounts_of(batch).knows
    moved: list[tuple[Job | None, Change]] = []
    unread: list[Charges] = []
    for job_id in ids if len(ids) == 1 else sorted(ids):
        change = changes.get(job_id)
        if change is None:
            continue
        before, after = accounts.seen.get(job_id, change.before), change.after
        if _counts_differ(before, after):
            moved.append((before, change))
            if before is not None and not knows(before.extras.budgets):
                unread.append(before.extras.budgets)
            if after is not None and not knows(after.extras.budgets):
                unread.append(after.extras.budgets)
    if unread:
        await accounts.load(unread)
    for change in [change for before, change in moved if _would_be_next(accounts, before, change.after, batch.given_back)]:
        _let_come(accounts, change)
    batch.given_back.clear()


def _would_be_next(accounts: Accounts, before: Job | None, after: Job | None, given_back: set[int]) -> bool:
    """Count a job as it is now; one that would be next is not counted yet."""
    if after is not None and is_next(after):
        if before is not None:
            accounts.move(before, None, before.id in given_back)
        return True
    if (
        before is not None
        and before.state is LEASED
        and (after is None or after.state not in UNFINISHED)
        and before.id not in given_back
    ):
        accounts.end(before, after)
    else:
        accounts.move(before, after, before is not None and before.id in given_back)
    return False


def _let_come(accounts: Accounts, change: Change) -> None:
    """A job that would be next is that, or stands aside."""
    job = change.after
    assert job is not None, "it is ready"
    account = accounts.obstacle(job)
    if account is None:
        accounts.come(job)
    else:
        change.after = aside = lifecycle.stand_aside(job, account)
        accounts.move(None, aside)


def _counts_differ(before: Job | None, after: Job | None) -> bool:
    """Whether the accounts count them differently."""
    if before is None:
        return after is not None and after.state in UNFINISHED
    was = before.state in UNFINISHED
    now = after is not None and after.state in UNFINISHED
    if not (was and now) or after is None:
        return was or now
    return (
        before.state is not after.state
        or before.held != after.held
        or before.waits != after.waits
        or before.extras.budgets != after.extras.budgets
    )


async def admit(batch: Batch, most: int) -> int:
    """Let the heads of lines be next, as far as their accounts can pay, and no more than so many jobs; how many left a line."""
    accounts, done = accounts_of(batch), 0
    while accounts.to_admit and done < most:
        one = accounts.to_admit.pop()
        account = accounts.touch(one)
        if account.waiting:
            done += await _admit(batch, one, most - done)
    for one in accounts.to_admit:
        accounts.touch(one).look_again()
    return done


async def _admit(batch: Batch, one: str, most: int) -> int:
    """The same of one account: those of each queue that is passed over, which may be next beside what is next there, and (None) of all others."""
    account, budget = accounts_of(batch).of(one)
    done, waiting = 0, None
    for queue in (None, *[name for name, of in account.by_queue.items() if not of.since]) if account.passed else (None,):
        gone = done >= most or not account.waiting or (queue is not None and not account.is_passed(queue))
        if gone or not _may_go_on(account, budget, queue, batch.now):
            continue
        limit = min(_READ, most - done, rules.room(account, budget, batch.now, queue) + 1)
        await batch.flush()
        if queue is None and not account.passed:
            line = await batch.tx.waiting(one, limit)
        else:
            waiting = await batch.tx.waiting_queues(one) if waiting is None else waiting
            wanted = [
                number for name, number in waiting.items() if name == queue or (queue is None and not account.is_passed(name))
            ]
            line = await batch.tx.waiting_in(one, wanted, limit) if wanted else []
        done += await _go_on(batch, one, line, queue)
    return done


def _may_go_on(account: Account, budget: Budget | None, queue: str | None, now: int) -> bool:
    """Whether a line has a head that may be next, as far as that is known."""
    if queue is None:
        known = account.first
        return known != NOBODY and (not known or rules.can_be_next(account, budget, account.first_cost, now))
    if rules.can_be_next(account, budget, 1, now, queue):
        return True
    of = account.by_queue[queue]
    of.first_cost = of.first_cost or 1  # at least: it is looked at again when one more could pay
    return False


async def _go_on(batch: Batch, one: str, line: list[Job], queue: str | None) -> int:
    """Let the head of a line be next; how many left it."""
    accounts = accounts_of(batch)
    if not line:
        _nobody(accounts.of(one)[0], queue)
        return 0
    await accounts.load([job.extras.budgets for job in line])
    left = await _let_in(batch, one, line, queue)
    if left == len(line):
        accounts.to_admit.add(one)
    return left


def _nobody(account: Account, queue: str | None) -> None:
    """Nobody waits in a line."""
    if queue is not None:
        account.by_queue[queue].first_cost = 0
    elif account.passed:
        account.first = NOBODY
    else:  # fewer than were counted: `holdfast check` tells of it
        account.waiting, account.first, account.first_cost = 0, 0, 1


async def _let_in(batch: Batch, one: str, line: list[Job], passed: str | None) -> int:
    """How many of these, the head of a line, have left it."""
    accounts = accounts_of(batch)
    account, budget = accounts.of(one)
    for count, job in enumerate(line):
        if passed is None and account.is_passed(job.queue):
            return count
        queue = await batch.queue_if_locked(job.queue)
        if queue is None:
            _see(account, passed, job.id, 1)  # a tick locks it
            accounts.later.add(one)
            return count
        if job.extras.unreadable is not None:
            account.leave(job.id)
            account.jobs -= 1
            set_aside(batch, queue, job)
            continue
        cost = next((charge.cost for charge in job.extras.budgets if charge.account == one), 1)
        _see(account, passed, job.id, cost)
        if not rules.can_be_next(account, budget, cost, batch.now, passed):
            return count
        other = accounts.obstacle(job, line=one)
        after = lifecycle.let_in(job) if other is None else lifecycle.stand_aside(job, other)
        batch.change(events.ADMITTED if other is None else events.WAITS, queue, job, after)
        accounts.move(job, after)
    return len(line)


def _see(account: Account, passed: str | None, job_id: int, cost: int) -> None:
    """Remember the head of a line."""
    if passed is None:
        account.first, account.first_cost = job_id, cost
    elif (of := account.by_queue.get(passed)) is not None:
        of.first_cost = cost


async def hold_up(batch: Batch, queue: Queue, jobs: Sequence[Job]) -> int:
    """Put those of the next jobs aside again that can't pay: their account was blocked, or made smaller. How many."""
    accounts = accounts_of(batch)
    await accounts.load([job.extras.budgets for job in jobs])
    if accounts.promise(jobs):
        return 0
    found = 0
    for job in jobs:
        if (account := accounts.cannot_pay(job)) is not None:
            put_aside(batch, queue, job, account)
            found += 1
    return found


def cannot_pay(batch: Batch, job: Job) -> str | None:
    """The account that keeps one of the loaded next jobs from starting now; None if all can pay."""
    return accounts_of(batch).cannot_pay(job)


async def may_start(batch: Batch, job: Job) -> bool:
    """Whether a job that a caller leases by its id is next, and all of its accounts can pay."""
    accounts = accounts_of(batch)
    await accounts.load((job.extras.budgets,))
    accounts.start_unasked()
    return is_next(job) and cannot_pay(batch, job) is None


def put_aside(batch: Batch, queue: Queue, job: Job, account: str) -> None:
    """A job that was next waits again."""
    accounts = accounts_of(batch)
    accounts.want(job)
    after = lifecycle.stand_aside(job, account)
    batch.change(events.WAITS, queue, job, after)
    accounts.move(job, after)


async def block(batch: Batch, job: Job, word: Block) -> None:
    """The holder of a job says that nothing of one of its accounts is to start for a while."""
    accounts = accounts_of(batch)
    mine = [charge.account for charge in job.extras.budgets if charge.name == word.budget]
    named = mine[0] if word.key is None and mine else f"{word.budget}/{word.key or ''}"
    if named not in mine:
        raise not_named(job, word)
    await accounts.load_accounts([named])
    rules.block(accounts.touch(named), batch.now + word.for_ms)


def not_named(job: Job, word: Block) -> InvalidRequest:
    """The refusal of a block that is about no account of the job."""
    known = any(charge.name == word.budget for charge in job.extras.budgets)
    key = f" with the key {word.key!r}" if word.key else ""
    field = "block.key" if known else "block.budget"
    return InvalidRequest(f"Job {job.id} does not name the budget {word.budget}{key}.", field=field, budget=word.budget)


async def pass_time(batch: Batch, command: AdmitWaiting) -> Counted:
    """Let jobs in whose accounts can pay again, and forget accounts that a new one would equal."""
    due = await batch.tx.accounts_due(batch.now, command.limit)
    if not due:
        return Counted(0)
    accounts = accounts_of(batch)
    accounts.pause_ms = _PAUSE_MS
    await accounts.load_accounts(due)
    for one in due:
        accounts.touch(one).pass_over(batch.now)
        accounts.free(one)
    return Counted(await admit(batch, BUDGET_CHUNK) or len(due))
