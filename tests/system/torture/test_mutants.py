"""A checker that never reports a violation may be useless: each of these servers has one defect, which must be caught."""

import asyncio

import pytest

from torture import campaign
from torture.mutants import catalog, hunt

pytestmark = [
    pytest.mark.long(50),
    pytest.mark.timeout(400),  # fifteen mutants run in the set-up of the first test
]


@pytest.fixture(scope="module")
def catches():
    """All mutants, several at once: one after the other they would take two minutes."""
    chases = [hunt.chase(mutant, "mutants") for mutant in catalog.ALL.values()]
    return {catch.mutant.name: catch for catch in asyncio.run(campaign.at_a_time(campaign.TOGETHER, chases))}


@pytest.mark.parametrize("name", catalog.ALL)
def test_a_checker_catches(catches, name):
    catch = catches[name]
    assert catch.applied, f"no process of the server imported {catch.mutant.module}"
    assert catch.killed, hunt.describe(catch)
