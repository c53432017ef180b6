"""What is shown of budgets. Times are in milliseconds."""

from holdfast.job.budget import Budget
from holdfast.messages.frame import Answer, Frame


class AccountInfo(Frame, frozen=True):
    """An account: what is left of it now, how many jobs name it and wait for it, what the running ones hold, until when it is blocked, and when the
    first that waits can start at the earliest (None: when a unit comes back). `key` "": that of jobs without a key.
    """

    key: str
    left: int
    jobs: int = 0
    waiting: int = 0
    running: int = 0
    blocked_until: int = 0
    earliest: int | None = None


class BudgetInfo(Answer, frozen=True, tag=241):
    """A budget with its accounts: of all of them the sums, and of some each. `left` is of the account without a key."""

    budget: Budget
    now: int
    left: int
    accounts: int
    jobs: int
    waiting: int
    running: int
    some: list[AccountInfo] = []
    after: str | None = None


class BudgetList(Answer, frozen=True, tag=242):
    """All budgets, without their single accounts."""

    budgets: list[BudgetInfo]
    now: int


class WaitFacts(Frame, frozen=True):
    """An account that a job names, what the job costs it, and how many of its line are ahead of the job, counted up to a bound. No budget: it was
    deleted, and keeps nothing from starting.
    """

    budget: Budget | None
    account: AccountInfo
    cost: int
    ahead: int = 0
