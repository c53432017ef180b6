"""A client that was made and used before a fork, in other threads and in other event loops: every answer goes to who asked."""

import asyncio
import json
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast import AsyncClient, Client, NewJob, Worker
from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.servers import until

_FORK = multiprocessing.get_context("fork")
CALLS = 60
CHILDREN = 6


def forked(work: Callable[[], Any]) -> Callable[[], Any]:
    """Begin this in a fork of this process; what is given waits for it, and gives what came of it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "w") as pipe:
                json.dump(work(), pipe)
            code = 0
        except BaseException:  # noqa: BLE001  (its exit code says so)
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    os.close(writer)

    def wait() -> Any:
        with os.fdopen(reader) as pipe:
            said = pipe.read()
        assert os.waitpid(pid, 0)[1] == 0, "the child failed"
        return json.loads(said)

    return wait


def rounds(client: Client, queue: str, who: str) -> list[list[Any]]:
    """Puts jobs and asks for each at once; what was put and what came back."""
    seen = []
    for n in range(CALLS):
        job = client.enqueue(queue, [who, n]).id
        seen.append([[who, n], client.job(job).payload])
    return seen


async def async_rounds(client: AsyncClient, queue: str, who: str) -> list[list[Any]]:
    async def one(n: int) -> list[Any]:
        job = (await client.enqueue(queue, [who, n])).id
        return [[who, n], (await client.job(job)).payload]

    return await asyncio.gather(*(one(n) for n in range(CALLS)))


def together(children: list[Callable[[], Any]], here: list[Any]) -> None:
    for seen in [here, *(child() for child in children)]:
        assert len(seen) == CALLS
        assert [pair for pair in seen if pair[0] != pair[1]] == []


def test_a_client_that_was_used_before_a_fork_is_every_process_own(shared, queue):
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        rounds(client, queue, "warm")
        children = [forked(lambda n=n: rounds(client, queue, f"child {n}")) for n in range(CHILDREN)]
        together(children, rounds(client, queue, "parent"))


def test_a_client_that_is_used_by_threads_while_the_process_forks(shared, queue):
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        over, wrong = threading.Event(), []

        def use(who: str) -> None:
            while not over.is_set():
                wrong.extend(pair for pair in rounds(client, queue, who)[:CALLS] if pair[0] != pair[1])

        threads = [threading.Thread(target=use, args=(f"thread {n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        try:
            children = [forked(lambda n=n: rounds(client, queue, f"child {n}")) for n in range(CHILDREN)]
            together(children, rounds(client, queue, "parent"))
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert wrong == []


def test_an_async_client_that_was_used_before_a_fork_is_every_process_own(shared, queue):
    client = AsyncClient(shared.url, deadline_s=PATIENCE_S)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(async_rounds(client, queue, "warm"))
    children = [forked(lambda n=n: asyncio.run(async_rounds(client, queue, f"child {n}"))) for n in range(CHILDREN)]
    together(children, loop.run_until_complete(async_rounds(client, queue, "parent")))
    loop.run_until_complete(client.aclose())
    loop.close()


def test_a_child_that_closes_the_client_takes_nothing_from_its_parent(shared, queue):
    client, loop = AsyncClient(shared.url, deadline_s=PATIENCE_S), asyncio.new_event_loop()
    sync = Client(shared.url, deadline_s=PATIENCE_S)
    rounds(sync, queue, "warm")
    loop.run_until_complete(async_rounds(client, queue, "warm"))

    def close() -> str:
        sync.close()
        asyncio.run(client.aclose())
        return "closed"

    assert forked(close)() == "closed"
    together([], rounds(sync, queue, "parent"))
    together([], loop.run_until_complete(async_rounds(client, queue, "parent")))
    sync.close()
    loop.run_until_complete(client.aclose())
    loop.close()


def test_jobs_that_forked_processes_take_with_one_client_go_to_one_of_them_each(shared, queue):
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        client.enqueue_many(NewJob(queue=queue, payload=n) for n in range(320))

        def take() -> list[int]:
            done = []
            while jobs := client.lease(queue, max=3):
                for job in jobs:
                    client.conclude(job.lease.token)  # type: ignore[union-attr]
                    done.append(job.payload)
            return done

        children = [forked(take) for _ in range(CHILDREN)]
        taken = sorted([*take(), *(n for child in children for n in child())])
        assert taken == list(range(320))
        assert client.queue(queue).jobs.concluded == 320


def test_a_stream_of_events_that_is_open_at_a_fork_stays_with_its_process(shared, queue):
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        events = client.events(queue, begin=True)
        assert next(events).event == "begin"

        def follow() -> list[str]:
            first = next(events).event  # a stream of its own
            assert (first, client.enqueue(queue, "child").state) == ("gap", "ready")
            return [first, next(events).event]

        child = forked(follow)
        assert child() == ["gap", "enqueued"]
        ids = [client.enqueue(queue, n).id for n in range(50)]
        seen = [next(events) for _ in range(51)]
        assert {each.event for each in seen} == {"enqueued"}
        assert [each.id for each in seen[1:]] == ids


def test_a_client_can_be_handed_to_another_process(shared, queue):
    with Client(shared.url, token="t", deadline_s=7) as client:
        rounds(client, queue, "warm")
        other = pickle.loads(pickle.dumps(client))
        together([], rounds(other, queue, "other"))
        assert (other.deadline_s, other.nodes.urls) == (7, [shared.url])
        other.close()
    there = pickle.loads(pickle.dumps(AsyncClient(shared.url, deadline_s=PATIENCE_S)))
    together([], asyncio.run(async_rounds(there, queue, "async")))
    asyncio.run(there.aclose())


def test_an_async_client_may_be_used_by_one_event_loop_after_the_other(shared, queue):
    client = AsyncClient(shared.url, deadline_s=PATIENCE_S)
    for n in range(3):
        together([], asyncio.run(async_rounds(client, queue, f"loop {n}")))
    asyncio.run(client.aclose())


def test_an_async_client_may_be_used_by_several_event_loops_at_once(shared, queue):
    client, seen = AsyncClient(shared.url, deadline_s=PATIENCE_S), []

    def use(n: int) -> None:
        seen.append(asyncio.run(async_rounds(client, queue, f"loop {n}")))

    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    for each in seen:
        together([], each)
    asyncio.run(client.aclose())


def test_connections_of_event_loops_that_are_gone_are_not_kept(shared, queue):
    client = AsyncClient(shared.url, deadline_s=PATIENCE_S)
    for n in range(20):
        asyncio.run(async_rounds(client, queue, f"loop {n}"))
    open_files = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert sum("socket" in each for each in open_files) < 6 * CALLS
    asyncio.run(client.aclose())


def _work(worker: Worker, pipe: Any) -> None:
    pipe.send(worker.name)
    worker.run()


def test_workers_that_are_started_after_a_fork_share_nothing(shared, witness, queue):
    worker = Worker(queue, url=shared.url, concurrency=4, register=True)

    @worker.handler()
    def handle(job):
        return [os.getpid(), job.payload]

    children = []
    for _ in range(3):
        ours, theirs = _FORK.Pipe()
        children.append((_FORK.Process(target=_work, args=(worker, theirs)), ours))
        children[-1][0].start()
    try:
        names = {pipe.recv() for _, pipe in children}
        assert len(names) == 3
        until(lambda: {each.name for each in witness.workers()} >= names, "all are registered")
        jobs = [witness.enqueue(queue, n).id for n in range(120)]
        results = [witness.result(job, 30) for job in jobs]
    finally:
        for child, _ in children:
            assert child.pid is not None
            os.kill(child.pid, signal.SIGTERM)
        for child, _ in children:
            child.join(30)
    assert [n for _, n in results] == list(range(120))
    assert {pid for pid, _ in results} <= {child.pid for child, _ in children}
    assert {witness.job(job).attempt for job in jobs} == {1}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_of_processes_may_be_given_the_client_that_its_module_made(shared, witness, queue, method):
    context = multiprocessing.get_context(method)
    with Client(shared.url, deadline_s=PATIENCE_S) as client:
        rounds(client, queue, "warm")
        _of_this_module["client"] = client
        with context.Pool(4) as pool:
            seen = pool.map(_in_pool, [(shared.url, queue, n) for n in range(80)])
    assert all(put == got for put, got in seen)


_of_this_module: dict[str, Client] = {}


def _in_pool(given: tuple[str, str, int]) -> list[Any]:
    url, queue, n = given
    client = _of_this_module.get("client") or Client(url, deadline_s=PATIENCE_S)
    job = client.enqueue(queue, [os.getpid(), n]).id
    return [[os.getpid(), n], client.job(job).payload]
