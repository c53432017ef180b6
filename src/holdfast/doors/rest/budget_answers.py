"""What native HTTP answers about budgets."""

from typing import Annotated

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.doors.rest.bounds import bounds
from holdfast.doors.rest.types import Instant


class AccountOut(msgspec.Struct, kw_only=True):
    """An account. `left`: units that it could pay now; `waiting`: jobs that stand aside because it can't; `running`: units of leased jobs;
    `earliest`: when the first that waits can start at the earliest, if time alone lets it.
    """

    key: str
    left: int
    jobs: int
    waiting: int
    running: int
    blocked_until: Instant | None = None
    earliest: Instant | None = None


class BudgetOut(msgspec.Struct, kw_only=True):
    """A budget, with sums over all of its accounts. `left` is that of jobs without a key. `jobs`: unfinished ones that name it."""

    name: str
    limit: int
    per_ms: int | None
    burst: int | None
    left: int
    accounts: int
    jobs: int
    waiting: int
    running: int
    blocked_until: Instant | None
    created_at: Instant
    some: Annotated[list[AccountOut], bounds("Accounts by their keys.")] | UnsetType = UNSET
    next_after: Annotated[str, bounds("`after` of the next page.")] | UnsetType | None = UNSET


class BudgetsOut(msgspec.Struct):
    """All budgets."""

    budgets: list[BudgetOut]


class FreedOut(msgspec.Struct):
    """How many unfinished jobs named the budget that was removed."""

    jobs: int


class WaitOut(msgspec.Struct, kw_only=True):
    """An account of a budget that a ready job names. `in_its_line`: it is the one that the job waits for, with so many `ahead` of it; `earliest`: when
    the first in that line can start at the earliest, if time alone lets it.
    """

    budget: str
    key: str
    cost: int
    left: int
    in_its_line: bool
    ahead: int
    blocked_until: Instant | None
    earliest: Instant | None


class BudgetStatsOut(msgspec.Struct, kw_only=True):
    """A budget in numbers: `left` is of the account without a key, the others are sums over all accounts; `running` in units."""

    name: str
    left: int
    accounts: int
    jobs: int
    waiting: int
    running: int
    blocked: bool
