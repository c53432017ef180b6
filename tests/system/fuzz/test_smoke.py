"""A short run of `make fuzz` at every door, and every case that it has found. The seed is in the output; `python -m fuzz --seed
…` repeats it.
"""

import os

import pytest

from cluster.postgres import server
from fuzz import report
from fuzz.case import corpus, read
from fuzz.shrink import replayed, served
from fuzz.trial import DOORS, attack

pytestmark = pytest.mark.long(100)
SECONDS = 3.0
SEED = os.environ.get("FUZZ_SEED", "smoke")  # the same each time: what is new is looked for by `make fuzz`


@pytest.mark.parametrize("door", DOORS)
async def test_a_short_attack_finds_nothing_at(tmp_path, door):
    figures = await attack(tmp_path, SEED, [door], SECONDS, warm_cases=200, rest_s=0.0)
    assert not figures.findings, f"seed {SEED}: {[(one.what, one.case and one.case.to_json()) for one in figures.findings]}"
    assert figures.cases[door] > 20, report.text(figures)
    assert figures.honest_jobs > 10, report.text(figures)


@pytest.fixture
def database(tmp_path):
    with server(tmp_path / "postgres") as one:
        yield one.url()


async def test_two_short_attacks_find_nothing_on_postgresql(tmp_path, database):
    figures = await attack(tmp_path / "served", SEED, list(DOORS), SECONDS, database, warm_cases=200, rest_s=0.0, times=2)
    assert not figures.findings, f"seed {SEED}: {[(one.what, one.case and one.case.to_json()) for one in figures.findings]}"
    assert all(figures.cases[door] > 20 for door in DOORS), report.text(figures)
    assert len(figures.levels) == 2, "memory is measured after each attack"
    assert figures.seconds > 2 * SECONDS - 1
    assert figures.honest_jobs > 10, report.text(figures)


async def test_no_case_of_the_corpus_fails_again(tmp_path):
    async with served(tmp_path) as attacked:
        wrong = {file.name: said for file in corpus() if (said := await replayed(read(file), attacked))}
        left = await attacked.idle()
    assert wrong == {}
    assert left == {}, "something is still held for clients that have left"
