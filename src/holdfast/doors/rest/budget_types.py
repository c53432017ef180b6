"""What native HTTP takes about budgets, as types: see `types.py`."""

from typing import Annotated

import msgspec

from holdfast import limits
from holdfast.doors.rest.bounds import bounds

BudgetName = Annotated[str, bounds("The name of a budget.", pattern="^[A-Za-z0-9._:-]{1,128}$")]
BudgetKey = Annotated[str, bounds("Makes an account of its own under the budget.", maxLength=limits.BUDGET_KEY_CHARS)]


class ChargeIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, gc=False, omit_defaults=True):
    """What a job costs a budget, or its account with this key."""

    name: BudgetName
    key: BudgetKey = ""
    cost: Annotated[int, bounds("How many units.", minimum=1, maximum=limits.BUDGET_UNITS_MAX)] = 1


class BlockIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Nothing that names this account starts before so much time has passed. Only of a budget that the job names; without `key`, with the job's."""

    budget: BudgetName
    key: BudgetKey | None = None
    for_ms: Annotated[int, bounds("For how long, in milliseconds.", minimum=1, maximum=limits.BUDGET_BLOCK_MS_MAX)]


class BudgetIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rate: `limit` units in `per_ms`, of which at most `burst` (default: `limit`) are saved up. Without `per_ms`: units held while a job is
    leased.
    """

    limit: Annotated[int, bounds("How many units.", minimum=1, maximum=limits.BUDGET_UNITS_MAX)]
    per_ms: Annotated[int, bounds("In how many milliseconds.", minimum=1, maximum=limits.BUDGET_PER_MS_MAX)] | None = None
    burst: Annotated[int, bounds("Units saved up at most.", minimum=1, maximum=limits.BUDGET_UNITS_MAX)] | None = None


class BlockBudgetIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """For how long nothing starts that names the budget, or its account with this key. Without `for_ms`: an hour."""

    key: BudgetKey | None = None
    for_ms: Annotated[int, bounds("For how long, in milliseconds.", minimum=1, maximum=limits.BUDGET_BLOCK_MS_MAX)] = 3_600_000


class UnblockBudgetIn(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which account; without `key` the budget and all of its accounts."""

    key: BudgetKey | None = None
