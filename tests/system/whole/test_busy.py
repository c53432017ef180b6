"""Nothing of a stranger's size runs on the loop of a front or in a commit of the keeper: held against every bad input of the corpus.

The server itself measures, in processor time of the thread, so that a busy machine does not count.
"""

import asyncio
import re

import pytest

from tests.system.whole.corpus import CORPUS, LARGEST, OPTIONS, Caller

pytestmark = pytest.mark.alone  # processor time grows, too, where others take turns on the same cores and caches
_BUSY_S = 0.1
_LARGEST_S = 0.3
_WATCHED = (
    'holdfast_loop_busy_seconds_max{front="0"}',
    "holdfast_store_loop_busy_seconds_max",
    "holdfast_commit_busy_seconds_max",
)


def busy(page: str) -> dict[str, float]:
    return {name: float(re.search("^" + re.escape(name) + r" (\S+)$", page, re.MULTILINE)[1]) for name in _WATCHED}


@pytest.mark.parametrize("store", ["file", "memory"])
@pytest.mark.parametrize("name", CORPUS)
def test_no_turn_of_a_loop_and_no_commit_is_long(serve, name, store):
    options = ("--beanstalk", "127.0.0.1:0", *OPTIONS.get(name, ()))
    server = serve(*options) if store == "file" else serve(*options, "--store", "memory")
    tubes = int(server.out.wait_for("beanstalkd's protocol").rpartition(":")[2])

    async def attack():
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

    found = asyncio.run(attack())
    bound = _LARGEST_S if name in LARGEST else _BUSY_S
    assert {which: seconds for which, seconds in found.items() if seconds > bound} == {}, found
