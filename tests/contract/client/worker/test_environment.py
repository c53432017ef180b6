"""A worker and what is around it: threads, event loops that are not its own, processes that can't begin or leave others behind, and a server
that is not there yet.
"""

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from cluster.ports import free_port
from holdfast import AsyncClient, Worker
from holdfast.client.worker.connectivity import Reach
from holdfast.client.worker.registration import Registration
from tests.contract.client.worker import process_handlers
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until


@contextlib.contextmanager
def script(folder, text):
    """A program that is written down, and ends with its test."""
    (folder / "program.py").write_text(text)
    program = subprocess.Popen([sys.executable, "program.py"], cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


def test_a_process_that_was_killed_and_has_left_another_behind_is_a_crash(worker, put, witness, queue):
    witness.set_queue(queue, max_crashes=1)
    work = worker(concurrency=1)
    work.handler("orphan", process=True)(process_handlers.orphan)
    work.handler("pid", process=True)(process_handlers.pid)
    with running(work):
        job_id, beside = put("orphan"), put("pid")
        assert isinstance(witness.result(beside, 40), int)
        assert (witness.wait(job_id, 40).reason, witness.job(job_id).failures) == ("crashed", 0)


BEGINNINGS = {
    "read once more": "worker.run()",
    "ends while it is read": "import multiprocessing, os\nif multiprocessing.parent_process(): os._exit(9)\nworker.run()",
}


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_a_process_that_can_not_begin_costs_its_job_nothing(shared, witness, queue, put, tmp_path, beginning):
    text = (
        f"from holdfast import Worker\nworker = Worker({queue!r}, url={shared.url!r})\n"
        f"@worker.handler(process=True)\ndef handle(job): pass\n{BEGINNINGS[beginning]}\n"
    )
    job_id = put()
    with script(tmp_path, text):
        until(lambda: witness.job(job_id).state == "scheduled", "it is given back")
        job = witness.job(job_id)
    assert (job.attempt, job.failures, job.crashes, job.errors) == (1, 0, 0, [])


def test_a_task_that_exits_ends_neither_the_worker_nor_what_runs_beside_it(shared, witness, queue, put, tmp_path):
    text = f"""
import asyncio, sys
from holdfast import Worker
worker = Worker({queue!r}, url={shared.url!r})
async def exits(): sys.exit(7)
async def interrupts(): raise KeyboardInterrupt
@worker.handler("exits")
async def one(job): await asyncio.gather(exits())
@worker.handler("interrupts")
async def two(job): await asyncio.create_task(interrupts())
@worker.handler("good")
async def good(job):
    await let.wait()
    return "done"
@worker.handler("let go")
async def let_go(job): let.set()
let = asyncio.Event()
worker.run()
"""
    good, bad = put("good"), [put(kind, max_attempts=1) for kind in ("exits", "interrupts")]
    with script(tmp_path, text) as program:
        assert [witness.wait(each, 40).state for each in bad] == ["dead", "dead"]
        put("let go")
        assert witness.result(good, 40) == "done"
        assert witness.job(good).attempt == 1
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0


@pytest.mark.parametrize("coroutine", [True, False])
def test_an_event_loop_that_ends_gives_back_what_runs(shared, witness, queue, put, coroutine):
    work = Worker(queue, url=shared.url, grace_s=0.2)
    began, over = threading.Event(), threading.Event()

    def in_thread(job):
        began.set()
        over.wait(20)

    async def in_loop(job):
        began.set()
        await asyncio.sleep(60)

    work.handler()(in_loop if coroutine else in_thread)

    async def main():
        task = asyncio.create_task(work.work())
        await asyncio.to_thread(began.wait, 20)
        return task  # and `asyncio.run` cancels all that is left

    job_id = put()
    asyncio.run(main())
    over.set()
    job = witness.job(job_id)
    assert (job.state, job.failures, job.crashes) == ("ready", 0, 0)


def test_a_worker_runs_in_a_thread_and_is_stopped_from_another(shared, witness, queue, put):
    work = Worker(queue, url=shared.url)
    work.handler()(lambda job: "done")
    thread = threading.Thread(target=work.run)
    thread.start()
    assert witness.result(put(), 30) == "done"
    began = time.monotonic()
    work.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert time.monotonic() - began < 15  # a poll takes longer


@pytest.mark.parametrize("begun", [False, True])
def test_a_worker_that_is_stopped_before_it_works_ends_as_it_begins(shared, queue, put, witness, begun):
    work, job = Worker(queue, url=shared.url, register=True), put()
    work.handler()(lambda job: "done")
    for _ in range(2):

        async def main():
            working = asyncio.create_task(work.work())
            if begun:
                await asyncio.sleep(0)  # it has begun, and has no session yet
            work.stop()
            await asyncio.wait_for(working, 20)

        asyncio.run(main())
    assert witness.job(job).attempt == 0
    asyncio.run(work.drain())
    assert witness.result(job) == "done"


def test_run_within_an_event_loop_says_what_to_do_instead(queue):
    async def main():
        Worker(queue).run()

    with pytest.raises(RuntimeError, match=r"await worker\.work\(\)"):
        asyncio.run(main())


def test_a_registered_worker_waits_for_a_server_that_is_not_there_yet(serve):
    port = free_port()

    async def register():
        registration = Registration(["q"], "early")
        async with AsyncClient(f"http://127.0.0.1:{port}", deadline_s=2) as client:
            begun = asyncio.create_task(registration.begin(client, asyncio.Event(), Reach()))
            await asyncio.wait({begun}, timeout=3)
            assert not begun.done()
            await asyncio.to_thread(serve, "--port", str(port))
            await asyncio.wait_for(begun, 40)
            return {worker.name for worker in await client.workers()}  # twice, if an answer came later than the deadline

    assert asyncio.run(register()) == {"early"}


def test_a_worker_that_waits_to_be_registered_hears_that_it_is_to_end(queue, tmp_path):
    text = (
        f"import logging\nfrom holdfast import Worker\nlogging.basicConfig(level='INFO')\n"
        f"worker = Worker({queue!r}, url='http://127.0.0.1:{free_port()}', register=True)\n"
        "worker.handler()(print)\nworker.run()\n"
    )
    with script(tmp_path, text) as program:
        line = program.stderr.readline()
        assert "no server answers" in line
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
