"""Nothing of a stranger's size runs on the loop of a front or in a commit of the keeper: held against every bad input of the corpus.

The server itself measures, in processor time of the thread, so that a busy machine counts little; how fast the machine is just now is measured beside it.
What is too long by its work is so each time; once may be the collector of garbage, or a neighbour in the cache.
"""

import asyncio
import re
from pathlib import Path

import pytest

from tests.every_case import EVERY_CASE
from tests.system.whole.corpus import CORPUS, LARGEST, OPTIONS, Caller
from tests.system.whole.speed import slowness

pytestmark = [pytest.mark.long(300), pytest.mark.fresh]
_BUSY_S = 0.1
_LARGEST_S = 0.3
_TRIES = 3
_WATCHED = (
    'holdfast_loop_busy_seconds_max{front="0"}',
    "holdfast_store_loop_busy_seconds_max",
    "holdfast_commit_busy_seconds_max",
)


STORES = ("file", "memory")
CASES = [
    (name, store)
    for number, name in enumerate(CORPUS)
    for turn, store in enumerate(STORES)
    if EVERY_CASE or turn == number % len(STORES)
]
"""Each input on one of the stores, which differ in the flush alone; on both where every case is asked for."""


def busy(page: str) -> dict[str, float]:
    return {name: float(re.search("^" + re.escape(name) + r" (\S+)$", page, re.MULTILINE)[1]) for name in _WATCHED}


@pytest.mark.parametrize(("name", "store"), CASES)
def test_no_turn_of_a_loop_and_no_commit_is_long(serving, name, store, tmp_path):
    bound = _LARGEST_S if name in LARGEST else _BUSY_S
    tries: list[dict[str, float]] = []
    while len(tries) < _TRIES:
        slow = slowness()
        found = attacked(serving, name, store, tmp_path / str(len(tries)))
        tries.append(found)
        if max(found.values()) <= bound * max(slow, slowness()):
            return
    pytest.fail(f"each time longer than {bound} s on a machine that takes {slow:.2f} times as long: {tries}")


def attacked(serving, name: str, store: str, home: Path) -> dict[str, float]:
    """The longest turns and commits of a server of its own under one bad input."""
    options = ("--beanstalk", "127.0.0.1:0", *OPTIONS.get(name, ()), *(("--store", "memory") if store == "memory" else ()))
    server = serving(*options, at=home).start()
    tubes = int(server.out.wait_for("beanstalkd's protocol").rpartition(":")[2])

    async def attack() -> dict[str, float]:
        caller = Caller(server.port, tubes)
        try:
            await asyncio.wait_for(CORPUS[name](caller), 180)
            for _ in range(3):  # what was begun is seen by the timer that measures
                status, page = await caller("GET", "/metrics")
                await asyncio.sleep(0.05)
        finally:
            caller.close()
        assert status == 200
        return busy(page.decode())

    try:
        return asyncio.run(attack())
    finally:
        server.destroy()
