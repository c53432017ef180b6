"""Jobs whose payload Python can't hold: only they fail, with their reason, and those beside them run."""

import asyncio
import contextlib
import logging
import threading

import httpx
import pytest
from aiohttp import web

from holdfast import Worker
from tests.contract.client.test_contents import TAKEN, put
from tests.contract.client.worker import process_handlers
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until


@contextlib.contextmanager
def serving(app):
    """An application of aiohttp in a thread; its URL."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    runner, where = web.AppRunner(app), []

    async def start():
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        where.append(site._server.sockets[0].getsockname()[1])
        started.set()

    def run():
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(20)
    try:
        yield f"http://127.0.0.1:{where[0]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)


@pytest.mark.parametrize("live", [True, False], ids=["live", "polls"])
@pytest.mark.parametrize("prefetch", [0, 4])
def test_only_the_job_that_cannot_be_read_fails(worker, witness, shared, queue, live, prefetch):
    work, begun = worker(live=live, concurrency=4, prefetch=prefetch), []

    @work.handler()
    def handle(job):
        begun.append(job.id)
        return job.payload

    bad, good = [], []
    for name in TAKEN:
        good.append(put(shared, queue, '"good"'))
        bad.append(put(shared, queue, TAKEN[name]))
    with running(work):
        jobs = [witness.wait(job, 20) for job in bad]
        assert [witness.result(job, 20) for job in good] == ["good"] * len(good)
        good.append(put(shared, queue, '"good"'))
        assert witness.result(good[-1], 20) == "good"
    for job in jobs:
        assert (job.state, job.reason, job.attempt, job.failures, job.crashes) == ("dead", "failed", 1, 1, 0)
        assert "payload" in job.errors[0].reason
        assert "can't be read by Python" in job.errors[0].reason
    assert sorted(begun) == sorted(good)
    assert {(witness.job(job).attempt, witness.job(job).crashes) for job in good} == {(1, 0)}


def test_a_handler_in_a_process_is_spared_too(worker, witness, shared, queue):
    work = worker()
    work.handler(process=True)(process_handlers.pid)
    bad, good = put(shared, queue, "1e999"), put(shared, queue, "7")
    with running(work):
        assert isinstance(witness.result(good, 30), int)
        assert "can't be read" in witness.wait(bad, 20).errors[0].reason


def test_a_handler_that_asks_for_the_bytes_is_given_them(worker, witness, shared, queue):
    work = worker()

    @work.handler(raw=True)
    async def handle(job):
        return bytes(job.job.payload_json).decode()

    with running(work):
        assert witness.result(put(shared, queue, '{"n": 1e999}'), 20) == '{"n": 1e999}'


def test_progress_that_cannot_be_read_fails_only_a_handler_that_asks_for_it(worker, witness, shared, queue):
    jobs = [witness.enqueue(queue, asks, max_attempts=1).id for asks in (True, False)]
    for job in witness.lease(queue, max=2):
        where = f"{shared.url}/v1/leases/{job.lease.token}"
        assert httpx.post(f"{where}/extend", content='{"progress": 1e999}').status_code == 200
        assert httpx.post(f"{where}/release", content="{}").status_code == 200
    work = worker()

    @work.handler()
    def handle(job):
        return job.noted if job.payload else "did not ask"

    with running(work):
        asked, other = (witness.wait(job, 20) for job in jobs)
    assert (other.state, other.result) == ("concluded", "did not ask")
    assert "progress" in asked.errors[0].reason


@pytest.mark.parametrize("broken", [b"NaN    ", b'"\\ud8"0', b"hello  ", b'"\xff\xfe "'])
def test_a_poll_in_which_a_payload_is_no_json_still_gives_its_neighbours(worker, proxy, witness, queue, broken):
    jobs = [witness.enqueue(queue, payload, max_attempts=1).id for payload in ("keep", "break", "keep")]
    proxy.change = lambda said: said.replace(b'"break"', broken[:7].ljust(7))
    work = worker(url=proxy.url, live=False, concurrency=3)
    work.handler()(lambda job: job.payload)
    with running(work):
        assert [witness.result(job, 20) for job in (jobs[0], jobs[2])] == ["keep", "keep"]
        assert "can't be read" in witness.wait(jobs[1], 20).errors[0].reason
    assert [witness.job(job).attempt for job in jobs] == [1, 1, 1]


def test_a_channel_that_breaks_at_once_is_opened_ever_more_seldom_and_says_why(lines):
    opened, polled = [], threading.Event()

    async def channel(request):
        opened.append(request)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        start = (await socket.receive()).json()
        await socket.send_json({"op": "started", "ref": start["ref"]})
        await socket.send_str('{"op": "jobs", "jobs": [{"id": ')
        async for _ in socket:
            pass
        return socket

    async def leases(request):
        polled.set()
        return web.json_response({"jobs": []})

    app = web.Application()
    app.router.add_get("/v1/channel", channel)
    app.router.add_post("/v1/leases", leases)
    with serving(app) as url:
        work = Worker("q", url=url, poll_ms=100)
        work.handler()(lambda job: None)
        with running(work):
            until(lambda: len(opened) >= 3, "it was tried three times")
            assert polled.is_set()
            said = [line.getMessage() for line in lines("live channel", logging.WARNING)]
    assert len(opened) <= 4
    assert ["polling for 1 s" in said[0], "polling for 2 s" in said[1]] == [True, True]
    assert all("could not be read" in line for line in said)
