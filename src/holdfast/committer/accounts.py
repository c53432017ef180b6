"""The budgets and the accounts that one transaction has to do with: read once, changed in memory, and each written once."""

from collections.abc import Iterable, Sequence

from holdfast.job import budget as rules
from holdfast.job.budget import Account, Budget, Charge
from holdfast.job.job import LEASED, READY, UNFINISHED, Job
from holdfast.stores.store import Transaction


class Accounts:
    """What accounts count follows from the jobs: `move` is called with a job as it was and as it is."""

    __slots__ = ("_changed", "_loaded", "_tx", "budgets", "later", "now", "pause_ms", "seen", "to_admit")

    def __init__(self, tx: Transaction, now: int) -> None:
        self._tx = tx
        self.now = now
        self.budgets: dict[str, Budget] = {}
        self._loaded: dict[str, tuple[Account, str]] = {}  # with the names of their budgets
        self._changed: set[str] = set()
        self.to_admit: set[str] = set()  # whose line may have a job that can be next now
        self.seen: dict[int, Job | None] = {}  # each job as it was counted last
        self.later: set[str] = set()  # with a job at the head of the line whose queue is not locked
        self.pause_ms = 0  # before such a one is looked at again

    async def load(self, charges: Iterable[Charge]) -> None:
        """Read what is not read yet. On a shared store it is locked from here on."""
        missing = {charge.account for charge in charges} - self._loaded.keys()
        if missing:
            await self.load_accounts(sorted(missing))

    async def load_accounts(self, ids: Sequence[str]) -> None:
        """The same by the ids of accounts."""
        await self.load_budgets({one.partition("/")[0] for one in ids})
        ids = [one for one in ids if one not in self._loaded]
        found = await self._tx.accounts(ids)
        for one in ids:
            self._loaded.setdefault(one, (found.get(one) or Account(one), one.partition("/")[0]))

    async def load_budgets(self, names: Iterable[str]) -> None:
        """Budgets, whatever their accounts."""
        if missing := [name for name in sorted(set(names)) if name not in self.budgets]:
            self.budgets.update(await self._tx.budgets(missing))

    def of(self, account: str) -> tuple[Account, Budget | None]:
        """A loaded account, and its budget; None if it was deleted."""
        found, name = self._loaded[account]
        return found, self.budgets.get(name)

    def loaded_of(self, budget: str) -> list[Account]:
        """The loaded accounts of a budget."""
        return [account for account, name in self._loaded.values() if name == budget]

    def touch(self, account: str) -> Account:
        """A loaded account that is changed and will be written."""
        self._changed.add(account)
        return self._loaded[account][0]

    def free(self, account: str) -> None:
        """Its line may move on."""
        if self._loaded[account][0].waiting:
            self.to_admit.add(account)

    def obstacle(self, job: Job, line: str | None = None) -> str | None:
        """The first account that keeps a ready job from being next; None if there is none. It is at the head of the line of `line`."""
        for charge in job.extras.budgets:
            account, budget = self.of(charge.account)
            overtakes = account.waiting and account.id != line and not 0 < job.id < account.first
            if overtakes or not rules.can_be_next(account, budget, charge.cost, self.now):
                return account.id
        return None

    def cannot_pay(self, job: Job) -> str | None:
        """The first account that keeps a job that is next from starting now."""
        for charge in job.extras.budgets:
            if not rules.can_pay(*self.of(charge.account), charge.cost, self.now):
                return charge.account
        return None

    def move(self, before: Job | None, after: Job | None, given_back: bool = False) -> None:
        """Count a job as it is now instead of as it was."""
        some = after or before
        assert some is not None, "a change is about a job"
        self.seen[some.id] = after
        if before is not None and before.state in UNFINISHED:
            self._count(before, -1)
            if given_back and before.lease is not None:
                for charge in before.extras.budgets:
                    rules.give_back(*self.of(charge.account), charge.cost, before.lease.leased_at, self.now)
        if after is not None and after.state in UNFINISHED:
            self._count(after, 1)
            if after.state is LEASED and (before is None or before.state is not LEASED):
                for charge in after.extras.budgets:
                    rules.pay(*self.of(charge.account), charge.cost, self.now)

    def start(self, job: Job, leased: Job) -> None:
        """Count a job that was next and is leased, and have it pay."""
        self.seen[job.id] = leased
        for charge in job.extras.budgets:
            one, cost = charge.account, charge.cost
            account, budget = self.of(one)
            self._changed.add(one)
            account.next_jobs -= 1
            account.next_units -= cost
            account.running += cost
            if budget is not None and budget.per_ms is not None:
                rules.pay(account, budget, cost, self.now)

    def _count(self, job: Job, n: int) -> None:
        is_ready = job.state is READY and not job.held
        for charge in job.extras.budgets:
            one = charge.account
            self._changed.add(one)
            account = self._loaded[one][0]
            account.jobs += n
            if job.state is LEASED:
                account.running += n * charge.cost
            elif is_ready and job.waits is None:
                account.next_jobs += n
                account.next_units += n * charge.cost
            elif is_ready and job.waits == one:
                if n > 0:
                    account.join(job.id, charge.cost)
                else:
                    account.leave(job.id)
            if n < 0 and account.waiting:
                self.to_admit.add(one)

    async def save(self) -> int | None:
        """Write what has changed; the first moment at which time has something to do."""
        kept: list[Account] = []
        gone: list[str] = []
        first: int | None = None
        for one in self._changed:
            account, budget = self.of(one)
            if rules.is_idle(account, budget, self.now):
                gone.append(one)
                continue
            moment = account.wake_at = rules.wake_at(account, budget, self.now)
            if moment is not None and one in self.later:
                moment = account.wake_at = max(moment, self.now + self.pause_ms)
            if moment is not None and (first is None or moment < first):
                first = moment
            kept.append(account)
        if kept or gone:
            await self._tx.save_accounts(kept, gone)
        return first
