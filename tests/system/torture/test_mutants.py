"""A checker that never fires may be blind: each of these servers is broken in one place, and has to be caught."""

import asyncio

import pytest

from torture import campaign
from torture.mutants import catalog, hunt

pytestmark = [
    pytest.mark.long(50),
    pytest.mark.timeout(400),  # fourteen servers are broken and hunted within the first test's set-up
]


@pytest.fixture(scope="module")
def catches():
    """All mutants, some at a time: they would take two minutes one after the other."""
    chases = [hunt.chase(mutant, "mutants") for mutant in catalog.ALL.values()]
    return {catch.mutant.name: catch for catch in asyncio.run(campaign.at_a_time(campaign.TOGETHER, chases))}


@pytest.mark.parametrize("name", catalog.ALL)
def test_a_checker_catches(catches, name):
    catch = catches[name]
    assert catch.applied, f"no process of the server imported {catch.mutant.module}"
    assert catch.killed, hunt.describe(catch)
