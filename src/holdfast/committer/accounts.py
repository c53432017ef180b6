"""The budgets and the accounts that one transaction has to do with: read once, changed in memory, and each written once."""

from collections.abc import Iterable, Mapping

from holdfast.job import budget as rules
from holdfast.job.budget import NOBODY, Account, Budget, Charge, Next
from holdfast.job.job import LEASED, READY, UNFINISHED, Extras, Job
from holdfast.job.queue import Queue
from holdfast.limits import BUDGET_NEXT
from holdfast.stores.store import Transaction

Charges = tuple[Charge, ...]
Bill = list[tuple[Account, Budget | None, int]]
"""What a job costs: each of its accounts, the budget (None if it was deleted), and how much."""
_NO_CHARGES: Charges = ()
_LOTS = 1 << 53


class Accounts:
    """What accounts count follows from the jobs: `move` is called with a job as it was and as it is."""

    __slots__ = (
        "_bills",
        "_changed",
        "_kept",
        "_known",
        "_left",
        "_loaded",
        "_promised",
        "_queues",
        "_tx",
        "budgets",
        "good",
        "later",
        "now",
        "pause_ms",
        "seen",
        "sure",
        "to_admit",
    )

    def __init__(self, tx: Transaction, now: int, queues: Mapping[str, Queue]) -> None:
        self._tx = tx
        self._queues = queues
        self.now = now
        self.budgets, self._known = tx.budgets_in_memory()
        self._loaded: dict[str, tuple[Account, str]] = {}  # with the names of their budgets
        self._bills: dict[int, Bill] = {
            id(_NO_CHARGES): []
        }  # by the identity of the charges, which jobs that cost the same mostly share
        self._kept: list[Charges] = []  # so that these keep their identities
        self._changed: set[str] = set()
        self.good: dict[
            Extras, Extras
        ] = {}  # of new jobs that may name what they name: one and the same for those that are alike
        self._left: dict[str, int] = {}  # what accounts can pay, until that changes
        self._promised: dict[str, int] = {}  # what they could pay besides, once all jobs that were read for a lease have paid
        self.sure = True  # all of these can
        self.to_admit: set[str] = set()  # whose line may have a job that can be next now
        self.seen: dict[int, Job | None] = {}  # each job as it was counted last
        self.later: set[str] = set()  # with a job at the head of the line whose queue is not locked
        self.pause_ms = 0  # before such a one is looked at again

    async def load(self, some: Iterable[Charges]) -> None:
        """Read the accounts of these that are not read yet. On a shared store they are locked from here on."""
        unread = [charges for charges in some if not self.knows(charges)]
        if unread:
            await self.load_accounts([charge.account for charges in unread for charge in charges])
            for charges in unread:
                self._make_bill(charges)

    def knows(self, charges: Charges) -> bool:
        """Whether nothing has to be read for these."""
        return id(charges) in self._bills or self._make_bill(charges)

    def _make_bill(self, charges: Charges) -> bool:
        """Find the accounts of these; False if one has to be read."""
        bill: Bill = []
        for charge in charges:
            one = charge.account
            pair = self._loaded.get(one)
            if pair is None:
                account = self._known.get(one)
                if account is None:
                    return False
                pair = self._loaded[one] = account, charge.name
            bill.append((pair[0], self.budgets.get(pair[1]), charge.cost))
        self._bills[id(charges)] = bill
        self._kept.append(charges)
        return True

    async def load_accounts(self, ids: Iterable[str]) -> None:
        """The same by the ids of accounts."""
        missing = {one: one.partition("/")[0] for one in ids if one not in self._loaded}
        if missing:
            await self._read(missing)

    async def _read(self, missing: dict[str, str]) -> None:
        await self.load_budgets(missing.values())
        found = await self._tx.accounts(sorted(missing) if len(missing) > 1 else list(missing))
        for one, name in missing.items():
            self._loaded[one] = found.get(one) or Account(one), name

    async def load_budgets(self, names: Iterable[str]) -> None:
        """Budgets, whatever their accounts."""
        missing = [name for name in names if name not in self.budgets]
        if missing:
            self.budgets.update(await self._tx.budgets(sorted(set(missing)) if len(missing) > 1 else missing))

    def of(self, account: str) -> tuple[Account, Budget | None]:
        """A loaded account, and its budget; None if it was deleted."""
        found, name = self._loaded[account]
        return found, self.budgets.get(name)

    def blocked_until(self, account: str) -> int:
        """Until when an account is blocked; 0 for one that is not loaded."""
        found = self._loaded.get(account)
        return 0 if found is None else found[0].blocked_until

    def loaded_of(self, budget: str) -> list[Account]:
        """The loaded accounts of a budget."""
        return [account for account, name in self._loaded.values() if name == budget]

    def touch(self, account: str) -> Account:
        """A loaded account that is changed and will be written."""
        self._changed.add(account)
        self._left.pop(account, None)
        return self._loaded[account][0]

    def free(self, account: str) -> None:
        """Its line may move on."""
        if self._loaded[account][0].waiting:
            self.to_admit.add(account)

    def set_budget(self, name: str, budget: Budget | None) -> None:
        """A budget was made, changed or, with None, deleted."""
        if budget is None:
            self.budgets.pop(name)
        else:
            self.budgets[name] = budget
        self._bills = {id(_NO_CHARGES): []}
        self._left.clear()
        self.good.clear()

    def _can_pay(self, account: Account, budget: Budget | None) -> int:
        """How many units it can pay now, by all that is counted so far; a lot, if its budget was deleted."""
        if budget is None:
            left = _LOTS
        elif account.blocked_until > self.now or budget.blocked_until > self.now:
            left = 0
        else:
            left = rules.left(account, budget, self.now)
        self._left[account.id] = left
        return left

    def obstacle(self, job: Job, line: str | None = None) -> str | None:
        """The first account that keeps a ready job from being next; None if there is none. It is at the head of the line of `line`."""
        for account, budget, cost in self._bills[id(job.extras.budgets)]:
            one = account.id
            if account.waiting and one != line and self._overtakes(account, job):
                return one
            jobs, units = account.kept(job.queue) if account.passed else (account.next_jobs, account.next_units)
            left = self._left.get(one)
            if left is None:
                left = self._can_pay(account, budget)
            if jobs >= BUDGET_NEXT or (left - units < cost and (budget is None or left - units < budget.need(cost))):
                return one
        return None

    @staticmethod
    def _overtakes(account: Account, job: Job) -> bool:
        """Whether somebody waits in the line who comes before this job. In a queue that is passed over that has to be looked for."""
        if account.is_passed(job.queue):
            return True
        return account.first != NOBODY and not 0 < job.id < account.first

    def start_unasked(self) -> None:
        """A job is to start that was not promised anything: what was promised to others has to be looked at again."""
        self.sure = False

    def promise(self, jobs: Iterable[Job]) -> bool:
        """Whether all of these next jobs, which were read for a lease, can pay, besides all that were read before: then none has to be asked again."""
        promised = self._promised
        for job in jobs:
            for account, budget, cost in self._bills[id(job.extras.budgets)]:
                one = account.id
                promised[one] = left = (promised[one] if one in promised else self._can_pay(account, budget)) - cost
                if left < 0:
                    self.sure = False
        return self.sure

    def cannot_pay(self, job: Job) -> str | None:
        """The first account that keeps a job that is next from starting now."""
        for account, budget, cost in self._bills[id(job.extras.budgets)]:
            left = self._left.get(account.id)
            if left is None:
                left = self._can_pay(account, budget)
            if left < cost and (budget is None or left < budget.need(cost)):
                return account.id
        return None

    def move(self, before: Job | None, after: Job | None, given_back: bool = False) -> None:
        """Count a job as it is now instead of as it was."""
        some = after or before
        assert some is not None, "a change is about a job"
        self.seen[some.id] = after
        if before is not None and before.state in UNFINISHED:
            self._count(before, -1)
            if given_back and before.lease is not None:
                for account, budget, cost in self._bills[id(before.extras.budgets)]:
                    self._left.pop(account.id, None)
                    rules.give_back(account, budget, cost, before.lease.leased_at, self.now)
        if after is not None and after.state in UNFINISHED:
            self._count(after, 1)
            if after.state is LEASED and (before is None or before.state is not LEASED):
                for account, budget, cost in self._bills[id(after.extras.budgets)]:
                    self._left.pop(account.id, None)
                    rules.pay(account, budget, cost, self.now)

    def come(self, job: Job) -> None:
        """Count a new job that is next."""
        self.seen[job.id] = job
        queue, now = job.queue, self.now
        if (found := self._queues.get(queue)) is not None and found.paused:
            now = 0
        for account, _, cost in self._bills[id(job.extras.budgets)]:
            self._changed.add(account.id)
            account.jobs += 1
            account.come_next(queue, cost, now)

    def start(self, job: Job, leased: Job) -> None:
        """Count a job that was next and is leased, and have it pay."""
        self.seen[job.id] = leased
        queue, now = job.queue, self.now
        for account, budget, cost in self._bills[id(job.extras.budgets)]:
            one = account.id
            self._changed.add(one)
            self._left.pop(one, None)
            if account.passed and account.waiting and account.is_passed(queue):
                self.to_admit.add(one)
            account.start(queue, cost, now)
            if budget is not None and budget.per_ms is not None:
                rules.pay(account, budget, cost, now)

    def end(self, job: Job, after: Job | None) -> None:
        """Count a leased job no more."""
        self.seen[job.id] = after
        for account, _, cost in self._bills[id(job.extras.budgets)]:
            one = account.id
            self._changed.add(one)
            self._left.pop(one, None)
            account.jobs -= 1
            account.running -= cost
            if account.waiting:
                self.to_admit.add(one)

    def _is_paused(self, queue: str) -> bool:
        return (found := self._queues.get(queue)) is not None and found.paused

    def want(self, job: Job) -> None:
        """Somebody would have taken a job that is next and can't pay."""
        for account, _, _ in self._bills[id(job.extras.budgets)]:
            self._changed.add(account.id)
            if account.waiting and account.is_passed(job.queue):
                self.to_admit.add(account.id)
            account.take(job.queue, self.now)

    def _count(self, job: Job, n: int) -> None:
        is_ready = job.state is READY and not job.held
        for account, _, cost in self._bills[id(job.extras.budgets)]:
            one = account.id
            self._changed.add(one)
            account.jobs += n
            if job.state is LEASED:
                self._left.pop(one, None)
                account.running += n * cost
            elif is_ready and job.waits is None:
                if n > 0:
                    account.come_next(job.queue, cost, 0 if self._is_paused(job.queue) else self.now)
                else:
                    account.go(job.queue, cost)
            elif is_ready and job.waits == one:
                if n > 0:
                    account.join(job.id, cost, job.queue)
                    if account.passed:
                        self.to_admit.add(one)
                else:
                    account.leave(job.id)
            if n < 0 and account.waiting:
                self.to_admit.add(one)

    async def count_anew(self) -> None:
        """Count the jobs from their rows, once all that has changed is written: one that could not be read has left, and what it cost is not known."""
        ids = await self._tx.counting_accounts()
        if not ids:
            return
        await self.load_accounts(ids)
        found = await self._tx.counted_again()
        for one, (account, _) in self._loaded.items():
            right = found.get(one) or Account(one)
            if account.counts != right.counts:
                account.jobs, account.waiting, account.next_jobs, account.next_units, account.running = right.counts[:5]
                account.by_queue = {name: Next(of.jobs, of.units, self.now) for name, of in right.by_queue.items()}
                account.count_passed()
                account.first, account.first_cost = 0, 1
                self._changed.add(one)

    async def save(self) -> int | None:
        """Write what has changed; the first moment at which time has something to do."""
        kept: list[Account] = []
        gone: list[str] = []
        first: int | None = None
        for one in self._changed:
            account, name = self._loaded[one]
            kept.append(account)
            if account.jobs and not account.waiting:  # only what its jobs do is of interest
                account.wake_at = None
                continue
            budget = self.budgets.get(name)
            if rules.is_idle(account, budget, self.now):
                gone.append(kept.pop().id)
                continue
            moment = account.wake_at = rules.wake_at(account, budget, self.now)
            if moment is not None and one in self.later:
                moment = account.wake_at = max(moment, self.now + self.pause_ms)
            if moment is not None and (first is None or moment < first):
                first = moment
        if kept or gone:
            await self._tx.save_accounts(kept, gone)
        return first
