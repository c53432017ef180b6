"""The whole harness against the real server, at the size of `python -m torture --smoke`."""

import asyncio

import pytest

from tests.missing import missing
from torture import campaign, faults

pytestmark = pytest.mark.long(140)

QUIET = {"calm", "ack-order"}  # they inject nothing
ALONE = {"disk-full"}  # its calls come one after the other


@pytest.fixture(scope="module")
def outcomes():
    """All faults, several at once: one after the other they would take minutes. The greedy one runs alone, because it uses the
    whole machine.
    """
    greedy = faults.ALL["greedy"]
    trials = [campaign.run_fault(fault, "smoke", campaign.SMOKE) for fault in faults.ALL.values() if fault is not greedy]
    found = asyncio.run(campaign.at_a_time(campaign.TOGETHER, trials))
    found += asyncio.run(campaign.at_a_time(1, [campaign.run_fault(greedy, "smoke", campaign.SMOKE)]))
    return {outcome.fault: outcome for outcome in found}


@pytest.mark.parametrize("name", faults.ALL)
def test_no_promise_is_broken_under(outcomes, name):
    outcome = outcomes[name]
    if outcome.skipped:
        missing(f"what the fault {name} needs", outcome.skipped)
    assert not outcome.violations, f"{[str(found) for found in outcome.violations[:5]]}, kept in {outcome.kept}"
    assert outcome.counts["acknowledged"] > 0
    assert outcome.counts["injections"] > 0 or name in QUIET
    assert outcome.counts["through tubes"] > 0 or name in ALONE


def test_jobs_with_budgets_deadlines_keys_and_in_batches_are_among_the_load(outcomes):
    for what in ("starts by budgets", "starts in turn", "batches", "closing jobs", "expired"):
        assert sum(outcome.counts[what] for outcome in outcomes.values()) > 10, what
