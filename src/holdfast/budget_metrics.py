"""The metrics of budgets: one series for each, whatever their keys."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from holdfast.messages.budget_views import BudgetInfo


def budget_families(budgets: Iterable[BudgetInfo]) -> Iterator[Metric]:
    """What is left of each, and what its accounts have to do, all together."""
    found = list(budgets)
    for name, about, values in (
        ("left", "Units that the account without a key could pay now.", [info.left for info in found]),
        ("accounts", "Accounts: keys in use.", [info.accounts for info in found]),
        ("jobs", "Unfinished jobs that name it.", [info.jobs for info in found]),
        ("waiting_jobs", "Jobs that stand aside because an account can't pay.", [info.waiting for info in found]),
        ("running_units", "Units of leased jobs.", [info.running for info in found]),
        ("blocked", "1 while all of it is blocked.", [float(info.budget.blocked_until > info.now) for info in found]),
    ):
        family = GaugeMetricFamily(f"holdfast_budget_{name}", about, labels=("budget",))
        for info, value in zip(found, values, strict=True):
            family.add_metric((info.budget.name,), value)
        if found:
            yield family
