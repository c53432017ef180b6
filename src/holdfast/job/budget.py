"""Budgets: what jobs of any queue may start or hold together. Pure rules, exact in integers.

A budget is a policy: `limit` units in `per_ms`, refilled evenly, of which at most `burst` are saved up; or, without `per_ms`, `limit` units that are
held while a job is leased. An account is a budget with a key. What a job costs is paid by its start, from all of its accounts or from none.

    a rate owes       owed units × per_ms at owed_at: each unit adds per_ms, each millisecond takes `limit` away. It can pay as long as no more than
                      burst × per_ms are owed, so in any time t no more than burst + limit × t / per_ms units are paid.
    units held        running: what the leased jobs of the account cost.

A job that could pay now is *next*: in its queue's line, unpaid. As many are next as the account can pay for; the others wait in the account's line,
which is one for all queues: who costs much is not passed by who costs little elsewhere. But a queue from which nobody takes is *passed over*, after a
while or if it is paused: what is next there keeps nothing from the jobs of other queues, until somebody takes from it again.
"""

import msgspec

from holdfast.limits import BUDGET_CLOCK_MS, BUDGET_NEXT, BUDGET_PASSED, BUDGET_TOGETHER_MS, BUDGET_UNCLAIMED_MS

_FORGOTTEN_MS = 10_000
_TOGETHER_MS = 1_000  # queues that become passed over are looked at together
NOBODY = -1  # as the head of a line: only jobs of queues that are passed over wait


class Charge(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, gc=False):
    """What a job costs one account. No key: the account of all jobs that give none."""

    name: str
    key: str = ""
    cost: int = 1

    @property
    def account(self) -> str:
        """The account's id: a budget's name has no `/`."""
        return f"{self.name}/{self.key}"


def with_charges(own: tuple[Charge, ...], of_queue: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """What a job costs if its queue's settings add to it: an account that both name gets both costs."""
    costs = {charge.account: charge for charge in own}
    for charge in of_queue:
        before = costs.get(charge.account)
        costs[charge.account] = charge if before is None else Charge(charge.name, charge.key, before.cost + charge.cost)
    return tuple(costs.values())


def without_charges(charges: tuple[Charge, ...], of_queue: tuple[Charge, ...]) -> tuple[Charge, ...]:
    """The same without what the queue's settings have added: for a job that leaves it."""
    added = {charge.account: charge.cost for charge in of_queue}
    left = []
    for charge in charges:
        cost = charge.cost - added.get(charge.account, 0)
        if cost > 0:
            left.append(charge if cost == charge.cost else Charge(charge.name, charge.key, cost))
    return tuple(left)


class Block(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Nothing that names this account starts before so much time has passed. No key: that of the job that says so."""

    budget: str
    for_ms: int
    key: str | None = None


class Budget(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The policy, since when it has been this one, and until when all of its accounts are blocked by hand."""

    name: str
    limit: int
    per_ms: int | None
    burst: int
    blocked_until: int = 0
    created_at: int = 0
    changed_at: int = 0

    def need(self, cost: int) -> int:
        """What a job of this cost needs: all there is, if the budget was made smaller than that."""
        return min(cost, self.limit if self.per_ms is None else self.burst)


class Next(msgspec.Struct, array_like=True):
    """The next jobs of one queue, what they cost, and since when nobody took one. 0: the queue is passed over. Then the first that waits costs
    `first_cost`, as far as that is known.
    """

    jobs: int = 0
    units: int = 0
    since: int = 0
    first_cost: int = 0


class Account(msgspec.Struct):
    """One account while the committer works on a batch.

    `jobs` unfinished jobs name it: `waiting` of them are in its line, whose head is `first` (0: to be read) and costs `first_cost`; `next_jobs` are
    next, and cost `next_units`; the leased ones cost `running`. The next ones `by_queue`; of these queues so many are `passed` over, in which so many
    are next, `passed_jobs`, and cost `passed_units`.
    """

    id: str
    jobs: int = 0
    waiting: int = 0
    next_jobs: int = 0
    next_units: int = 0
    running: int = 0
    owed: int = 0
    owed_at: int = 0
    per_ms: int = 0
    blocked_until: int = 0
    first: int = 0
    first_cost: int = 1
    by_queue: dict[str, Next] = {}
    wake_at: int | None = None
    passed: int = 0
    passed_jobs: int = 0
    passed_units: int = 0

    @property
    def budget(self) -> str:
        """The name of its budget."""
        return self.id.partition("/")[0]

    @property
    def key(self) -> str:
        """Its key; "" for none."""
        return self.id.partition("/")[2]

    @property
    def counts(self) -> tuple[int, int, int, int, int, dict[str, tuple[int, int]]]:
        """What follows from its jobs."""
        by_queue = {name: (of.jobs, of.units) for name, of in self.by_queue.items()}
        return self.jobs, self.waiting, self.next_jobs, self.next_units, self.running, by_queue

    def is_passed(self, queue: str) -> bool:
        """Whether this queue is passed over."""
        return self.passed > 0 and (of := self.by_queue.get(queue)) is not None and not of.since

    def count_passed(self) -> None:
        """Count from `by_queue` what is passed over."""
        passed = [of for of in self.by_queue.values() if not of.since]
        self.passed = len(passed)
        self.passed_jobs, self.passed_units = sum([of.jobs for of in passed]), sum([of.units for of in passed])

    def _pass(self, of: Next, n: int) -> None:
        """A queue is passed over, or (-1) not any more."""
        self.passed += n
        self.passed_jobs += n * of.jobs
        self.passed_units += n * of.units
        self.first = 0

    def join(self, job_id: int, cost: int, queue: str) -> None:
        """A job goes into its line."""
        if self.is_passed(queue):
            self.first = self.first if self.waiting else NOBODY
        elif not self.waiting or self.first == NOBODY or (self.first and job_id < self.first):
            self.first, self.first_cost = job_id, cost
        self.waiting += 1

    def leave(self, job_id: int) -> None:
        """A job leaves its line."""
        self.waiting -= 1
        if job_id == self.first or not self.waiting:
            self.first, self.first_cost = 0, 1

    def come_next(self, queue: str, cost: int, now: int) -> None:
        """A job is next. `now` is 0 if nobody can take it."""
        self.next_jobs += 1
        self.next_units += cost
        of = self.by_queue.get(queue)
        if of is None:
            since = now or int(self.passed >= BUDGET_PASSED)  # long ago: as soon as there is a place
            of = self.by_queue[queue] = Next(1, cost, since)
            if not since:
                self._pass(of, 1)
            return
        of.jobs += 1
        of.units += cost
        if not of.since:
            self.passed_jobs += 1
            self.passed_units += cost

    def go(self, queue: str, cost: int) -> None:
        """A job is not next any more."""
        self.next_jobs -= 1
        self.next_units -= cost
        of = self.by_queue.get(queue)
        if of is None:
            return
        if of.jobs <= 1:
            del self.by_queue[queue]
            if not of.since:
                self._pass(of, -1)
            return
        of.jobs -= 1
        of.units -= cost
        if not of.since:
            self.passed_jobs -= 1
            self.passed_units -= cost

    def start(self, queue: str, cost: int, now: int) -> None:
        """A job that was next is leased."""
        self.running += cost
        of = self.by_queue.get(queue)
        if of is None or of.jobs == 1 or not of.since:
            self.take(queue, now)
            self.go(queue, cost)
            return
        self.next_jobs -= 1
        self.next_units -= cost
        of.jobs -= 1
        of.units -= cost
        of.since = now

    def take(self, queue: str, now: int) -> None:
        """Somebody wanted a job of this queue: it is passed over no more."""
        of = self.by_queue.get(queue)
        if of is not None:
            if not of.since:
                self._pass(of, -1)
            of.since = now

    def pass_over(self, now: int) -> None:
        """Pass over the queues from which nobody has taken for long, at most `BUDGET_PASSED`."""
        for of in self.by_queue.values():
            if of.since > now + BUDGET_CLOCK_MS:
                of.since = now  # the clock was set back
            elif of.since and of.since + BUDGET_UNCLAIMED_MS <= now and self.passed < BUDGET_PASSED:
                of.since = of.first_cost = 0
                self._pass(of, 1)

    def look_again(self) -> None:
        """Who is at the head of its lines is not known: a tick looks."""
        self.first = 0
        for of in self.by_queue.values():
            of.first_cost = of.first_cost or int(not of.since)

    def kept(self, queue: str | None = None) -> tuple[int, int]:
        """How many next jobs there are, and the units that they keep, for one more of this queue."""
        jobs, units = self.next_jobs - self.passed_jobs, self.next_units - self.passed_units
        if queue is not None and self.passed and (of := self.by_queue.get(queue)) is not None and not of.since:
            return jobs + of.jobs, units + of.units
        return jobs, units


def blocked_until(account: Account, budget: Budget, now: int) -> int:
    """When its block ends; 0 if it is not blocked."""
    until = max(account.blocked_until, budget.blocked_until)
    return until if until > now else 0


def owed(account: Account, budget: Budget, now: int) -> int:
    """What a rate owes now, in units × per_ms of the present policy."""
    assert budget.per_ms is not None, "only a rate owes"
    debt = account.owed
    if not debt:
        return 0
    if account.per_ms != budget.per_ms:
        debt = -(-debt * budget.per_ms // max(1, account.per_ms))
    debt = min(debt, budget.burst * budget.per_ms)
    return max(0, debt - max(0, now - account.owed_at) * budget.limit)


def left(account: Account, budget: Budget, now: int) -> int:
    """How many units it could pay now, were it not blocked."""
    if budget.per_ms is None:
        return max(0, budget.limit - account.running)
    return (budget.burst * budget.per_ms - owed(account, budget, now)) // budget.per_ms


def can_pay(account: Account, budget: Budget | None, cost: int, now: int) -> bool:
    """Whether a job that costs this may start now. Without a budget, which was deleted, everything may."""
    if budget is None:
        return True
    if account.blocked_until > now or budget.blocked_until > now:
        return False
    return left(account, budget, now) >= budget.need(cost)


def can_be_next(account: Account, budget: Budget | None, cost: int, now: int, queue: str | None = None) -> bool:
    """Whether one more job that costs this could start now, besides those that are next."""
    jobs, units = (account.next_jobs, account.next_units) if not account.passed else account.kept(queue)
    if jobs >= BUDGET_NEXT:
        return False
    if budget is None:
        return True
    if account.blocked_until > now or budget.blocked_until > now:
        return False
    return left(account, budget, now) - units >= budget.need(cost)


def room(account: Account, budget: Budget | None, now: int, queue: str | None = None) -> int:
    """How many jobs more could be next at most."""
    jobs, units = account.kept(queue)
    most = max(0, BUDGET_NEXT - jobs)
    return most if budget is None else max(0, min(most, left(account, budget, now) - units))


def pay(account: Account, budget: Budget | None, cost: int, now: int) -> None:
    """A job that costs this starts. Units that are held follow from the leased jobs."""
    if budget is None or budget.per_ms is None:
        return
    if account.per_ms == budget.per_ms and account.owed and now <= account.owed_at <= now + BUDGET_CLOCK_MS:
        account.owed += budget.need(cost) * budget.per_ms  # nothing is refilled since
        return
    account.owed = owed(account, budget, now) + budget.need(cost) * budget.per_ms
    account.per_ms = budget.per_ms
    if (
        not now <= account.owed_at <= now + BUDGET_CLOCK_MS
    ):  # another node's clock may be a little ahead; more is a clock that was set back
        account.owed_at = now


def give_back(account: Account, budget: Budget | None, cost: int, started_at: int, now: int) -> None:
    """A start that counts as none: its units are there again, but for those that time has refilled since, which others may have used.

    One under another policy may have paid something else, or nothing.
    """
    if budget is None or budget.per_ms is None or started_at < budget.changed_at:
        return
    left_of_it = budget.need(cost) * budget.per_ms - max(0, now - started_at) * budget.limit
    if left_of_it <= 0:
        return
    account.owed = max(0, owed(account, budget, now) - left_of_it)
    account.per_ms = budget.per_ms
    if not now <= account.owed_at <= now + BUDGET_CLOCK_MS:
        account.owed_at = now


def block(account: Account, until: int) -> None:
    """Nothing starts before that; the longest block wins."""
    account.blocked_until = max(account.blocked_until, until)


def is_idle(account: Account, budget: Budget | None, now: int) -> bool:
    """Whether a new account would be the same."""
    if account.jobs or account.waiting or account.next_jobs or account.running or account.blocked_until > now:
        return False
    return budget is None or budget.per_ms is None or not owed(account, budget, now)


def wake_at(account: Account, budget: Budget | None, now: int) -> int | None:
    """When time alone lets the head of a line be next, has a queue be passed over, or lets the account be forgotten; None: never, something else
    has to happen.
    """
    if not account.waiting:
        return None if account.jobs else _idle_at(account, budget, now)
    moments: list[int | None] = [_first_at(account, budget, now)]
    for queue, of in account.by_queue.items():
        if of.since and account.passed >= BUDGET_PASSED:
            continue
        if of.since:
            moments.append(-(-(of.since + BUDGET_UNCLAIMED_MS) // _TOGETHER_MS) * _TOGETHER_MS)
        elif of.first_cost and budget is not None and account.kept(queue)[0] < BUDGET_NEXT:
            moments.append(earliest(account, budget, of.first_cost, now, BUDGET_TOGETHER_MS, queue))
    return min([moment for moment in moments if moment is not None], default=None)


def _first_at(account: Account, budget: Budget | None, now: int) -> int | None:
    """When the head of the line can be next."""
    if account.first == NOBODY or account.kept()[0] >= BUDGET_NEXT:
        return None
    if budget is None or (not account.first and not blocked_until(account, budget, now)):
        return now
    return earliest(account, budget, account.first_cost, now, BUDGET_TOGETHER_MS)


def earliest(
    account: Account, budget: Budget, cost: int, now: int, together_ms: int = 0, queue: str | None = None
) -> int | None:
    """When time alone lets one more job be next. `together_ms`: up to so much later, if nothing is lost by that: then several are."""
    until = blocked_until(account, budget, now)
    room = (budget.limit if budget.per_ms is None else budget.burst) - account.kept(queue)[1] - budget.need(cost)
    if budget.per_ms is None:
        return until or None if room - account.running < 0 else until or now
    if room < 0:
        return until or None
    debt = owed(account, budget, now)
    base = max(now, min(account.owed_at, now + BUDGET_CLOCK_MS)) if debt else now
    moment = base + _ms(debt - room * budget.per_ms, budget.limit)
    if now < moment < now + together_ms:
        moment = max(moment, min(now + together_ms, base + _ms(debt, budget.limit)))
    return max(moment, until)


def _idle_at(account: Account, budget: Budget | None, now: int) -> int:
    full = now
    if budget is not None and budget.per_ms is not None:
        full += _ms(owed(account, budget, now), budget.limit)
    return -(-max(full, account.blocked_until, now + 1) // _FORGOTTEN_MS) * _FORGOTTEN_MS  # many at once


def _ms(debt: int, limit: int) -> int:
    """How long it takes to refill this much."""
    return -(-debt // limit) if debt > 0 else 0
