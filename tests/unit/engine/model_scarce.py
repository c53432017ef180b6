"""What scarce budgets allow, in plain Python: of each account what it owes and what is held, in fractions, from which follows what may start."""

from dataclasses import dataclass, field
from fractions import Fraction

from holdfast.job.budget import Budget, Charge


@dataclass
class Account:
    """One account: what it owes since when, until when it is blocked, and the jobs that hold units of it."""

    debt: Fraction = Fraction(0)
    at: int = 0
    blocked_until: int = 0
    held: dict[int, int] = field(default_factory=dict)


@dataclass
class Waiting:
    """A job; `fresh` until it was leased for the first time."""

    id: int
    queue: str
    priority: int
    charges: tuple[Charge, ...]
    fresh: bool = True
    leased: bool = False
    extended: bool = False
    started_at: int = 0


class Scarce:
    """All accounts and all unfinished jobs."""

    def __init__(self, budgets: dict[str, Budget]) -> None:
        self.budgets = budgets
        self.blocked: dict[str, int] = {}  # whole budgets
        self.accounts: dict[str, Account] = {}
        self.jobs: dict[int, Waiting] = {}
        self.now = 0

    def account(self, name: str) -> Account:
        return self.accounts.setdefault(name, Account())

    def owed(self, name: str) -> Fraction:
        account, budget = self.account(name), self.budgets[name.partition("/")[0]]
        assert budget.per_ms is not None
        return max(Fraction(0), account.debt - Fraction(budget.limit * (self.now - account.at), budget.per_ms))

    def left(self, name: str) -> Fraction:
        budget = self.budgets[name.partition("/")[0]]
        if budget.per_ms is None:
            return Fraction(budget.limit - sum(self.account(name).held.values()))
        return budget.burst - self.owed(name)

    def is_blocked(self, name: str) -> bool:
        return max(self.account(name).blocked_until, self.blocked.get(name.partition("/")[0], 0)) > self.now

    def obstacles(self, job: Waiting) -> list[str]:
        """The accounts that can't pay for the job now."""
        return [
            one.account
            for one in job.charges
            if self.is_blocked(one.account) or self.left(one.account) < self.budgets[one.name].need(one.cost)
        ]

    def keeps_waiting(self, job: Waiting) -> bool:
        """Whether it can't be paid for, or is behind one in the line of an account that can't be paid for."""
        named = {one.account for one in job.charges}
        ahead = [other for other in self.jobs.values() if other.id < job.id and not other.leased]
        return bool(self.obstacles(job)) or any(named.intersection(self.obstacles(other)) for other in ahead)

    def start(self, job: Waiting) -> None:
        assert not (short := self.obstacles(job)), f"job {job.id} has started, and {short} can't pay"
        for one in job.charges:
            account, budget = self.account(one.account), self.budgets[one.name]
            if budget.per_ms is None:
                account.held[job.id] = one.cost
            else:
                account.debt, account.at = self.owed(one.account) + budget.need(one.cost), self.now
        job.leased, job.fresh, job.extended, job.started_at = True, False, False, self.now

    def stop(self, job: Waiting, gives_back: bool) -> None:
        for one in job.charges:
            account, budget = self.account(one.account), self.budgets[one.name]
            account.held.pop(job.id, None)
            if gives_back and budget.per_ms is not None:
                refilled = Fraction((self.now - job.started_at) * budget.limit, budget.per_ms)  # which others may have used
                returned = max(Fraction(0), budget.need(one.cost) - refilled)
                account.debt, account.at = max(Fraction(0), self.owed(one.account) - returned), self.now
        job.leased = False

    def block(self, account: str, for_ms: int) -> None:
        one = self.account(account)
        one.blocked_until = max(one.blocked_until, self.now + for_ms)

    def overtaken(self, granted: list[Waiting]) -> tuple[int, int] | None:
        """Two jobs that never ran before and name the same account alone, of which the later was started and the earlier still waits."""
        for job in granted:
            for other in self.jobs.values():
                alike = (other.queue, other.priority) == (job.queue, job.priority) and len(job.charges) == len(
                    other.charges
                ) == 1
                behind = alike and other.charges[0].account == job.charges[0].account and other.id < job.id
                if behind and other.fresh and not other.leased:
                    return other.id, job.id
        return None
