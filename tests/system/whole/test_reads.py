"""Dear reads hold nobody up: not the cheap ones, not the pushes, and not those who come after callers that have left."""

import asyncio
import time

import pytest

from tests.system.whole.corpus import Caller, bulk

pytestmark = [pytest.mark.long(20), pytest.mark.fresh]

SEARCHES = 150


@pytest.fixture(params=["file", "memory"])
def server(request, serve):
    return serve() if request.param == "file" else serve("--store", "memory")


async def filled(caller):
    """The id of a job, and how long one search takes."""
    for _ in range(6):
        await caller("POST", "/v1/jobs", {"jobs": [{"queue": "q", "payload": "x" * 100_000}] * 100})
    _, jobs = await caller("POST", "/v1/jobs", bulk(count=1))
    started = time.monotonic()
    assert (await caller("GET", "/v1/jobs?text=nothing"))[0] == 200
    return jobs["jobs"][0]["id"], time.monotonic() - started


def test_cheap_reads_and_pushes_pass_a_line_of_searches(server):
    async def tell():
        caller = Caller(server.port)
        job, _ = await filled(caller)
        searches = [asyncio.create_task(caller("GET", f"/v1/jobs?text=nothing{n}")) for n in range(SEARCHES)]
        await asyncio.sleep(0.2)
        for path in (f"/v1/jobs/{job}", "/v1/queues/q", f"/v1/jobs/{job}/why", "/v1/queues", "/healthz"):
            assert (await caller("GET", path))[0] == 200
        assert (await caller("POST", "/v1/queues/q/jobs", {"payload": 1}))[0] == 201
        left = sum(not search.done() for search in searches)
        answers = await asyncio.gather(*searches)
        caller.close()
        return left, {status for status, _ in answers}

    left, statuses = asyncio.run(tell())
    assert left > SEARCHES / 2, "they were answered behind the searches"
    assert statuses <= {200, 503}


def test_nobody_is_searched_for_who_has_left(server):
    async def tell():
        caller = Caller(server.port)
        _, one_s = await filled(caller)
        impatient = Caller(server.port)
        searches = [asyncio.create_task(impatient("GET", f"/v1/jobs?text=nothing{n}")) for n in range(SEARCHES)]
        await asyncio.sleep(0.2)
        for search in searches:
            search.cancel()
        await asyncio.gather(*searches, return_exceptions=True)
        for writer in impatient.writers:
            writer.transport.abort()
        started = time.monotonic()
        status, _ = await caller("GET", "/v1/jobs?text=nothing")
        caller.close()
        return status, time.monotonic() - started, one_s

    status, waited, one_s = asyncio.run(tell())
    assert status == 200
    assert waited < one_s * SEARCHES / 4, "it waited for those who had left"


def test_however_many_wait_for_one_job_all_are_told(server):
    async def tell():
        caller = Caller(server.port, at_once=600)
        _, jobs = await caller("POST", "/v1/jobs", bulk(count=1))
        job = jobs["jobs"][0]["id"]
        waiting = [asyncio.create_task(caller("GET", f"/v1/jobs/{job}?wait_ms=30000")) for _ in range(500)]
        while True:
            _, page = await caller("GET", "/metrics")
            if b'holdfast_waiters{front="0"} 500.0' in page:
                break
            await asyncio.sleep(0.05)
        await caller("POST", f"/v1/jobs/{job}/cancel")
        answers = await asyncio.gather(*waiting)
        caller.close()
        return [(status, found.get("state")) for status, found in answers]

    assert set(asyncio.run(tell())) == {(200, "cancelled")}
