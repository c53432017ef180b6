"""A checker that never reports a violation may be useless: each of these servers has one defect, which must be caught. One for each checker in every run, all
with `EVERY_CASE`.
"""

import asyncio

import pytest

from tests.every_case import EVERY_CASE
from torture import campaign
from torture.mutants import catalog, hunt

pytestmark = [
    pytest.mark.long(50),
    pytest.mark.timeout(400),  # the mutants run in the set-up of the first test
]


def one_for_each_checker() -> list[str]:
    """Mutants of which each must be caught by a checker that has not caught one before."""
    shown: set[str] = set()
    chosen = []
    for mutant in catalog.ALL.values():
        if not mutant.caught_by <= shown:
            chosen.append(mutant.name)
            shown |= mutant.caught_by
    return chosen


NAMES = list(catalog.ALL) if EVERY_CASE else one_for_each_checker()


@pytest.fixture(scope="module")
def catches():
    """These mutants, several at once: one after the other they would take two minutes."""
    chases = [hunt.chase(mutant, "mutants") for mutant in (catalog.ALL[name] for name in NAMES)]
    return {catch.mutant.name: catch for catch in asyncio.run(campaign.at_a_time(campaign.TOGETHER, chases))}


@pytest.mark.parametrize("name", NAMES)
def test_a_checker_catches(catches, name):
    catch = catches[name]
    assert catch.applied, f"no process of the server imported {catch.mutant.module}"
    assert catch.killed, hunt.describe(catch)
