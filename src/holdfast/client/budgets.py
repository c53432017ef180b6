"""Budgets, as the client gives and returns them: durations are milliseconds, instants are `datetime`s in UTC."""

from datetime import datetime

import msgspec
from msgspec import UNSET, UnsetType


class Charge(msgspec.Struct, omit_defaults=True):
    """What a job costs a budget, or its account with this key."""

    name: str
    key: str = ""
    cost: int = 1


class Block(msgspec.Struct, omit_defaults=True):
    """Nothing that names this account starts before `for_ms` have passed. Without `key`: with the key that the job gives."""

    budget: str
    for_ms: int
    key: str | UnsetType = UNSET


class BudgetAccount(msgspec.Struct, kw_only=True):
    """An account of a budget: what is left of it, and who waits for it."""

    key: str
    left: int
    jobs: int
    waiting: int
    running: int
    blocked_until: datetime | None = None
    earliest: datetime | None = None


class Budget(msgspec.Struct, kw_only=True):
    """A budget: `limit` units in `per_ms`, or, without it, held while jobs are leased. `left` is that of jobs without a key; `jobs` (unfinished ones
    that name it), `waiting` and `running` (units) are those of all of its accounts, of which `some` are listed.
    """

    name: str
    limit: int
    per_ms: int | None = None
    burst: int | None = None
    left: int
    accounts: int
    jobs: int
    waiting: int
    running: int
    blocked_until: datetime | None = None
    created_at: datetime
    some: list[BudgetAccount] = []
    next_after: str | None = None


class BudgetList(msgspec.Struct):
    """All budgets."""

    budgets: list[Budget]


class Freed(msgspec.Struct):
    """How many unfinished jobs named a budget that was removed."""

    jobs: int


class Wait(msgspec.Struct, kw_only=True):
    """An account that a ready job names. `in_its_line`: the job waits for this one, with so many `ahead` of it."""

    budget: str
    key: str
    cost: int
    left: int
    in_its_line: bool
    ahead: int
    blocked_until: datetime | None = None
    earliest: datetime | None = None
