"""Tasks that run many jobs in one call, each of which has an outcome of its own."""

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest

from holdfast.client import AsyncClient
from holdfast.client.worker.job_source import LongPollSource
from holdfast.client.worker.websocket_source import WebSocketSource
from holdfast.errors import InvalidRequest
from holdfast.tasks import DoNotRetry, InvalidArguments, Job, NotConcluded, Snooze, Tasks
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until


@dataclass
class Row:
    number: int
    text: str = ""


def test_a_call_gets_many_jobs_and_each_has_its_outcome(holdfast):
    tasks, calls = Tasks(), []

    @tasks.task(queue="rows", batch=100, max_attempts=1)
    def insert(rows: list[Row]) -> list[int | Exception]:
        calls.append((len(rows), threading.current_thread().name))
        how = {7: ValueError("seven"), 8: Snooze(60), 9: DoNotRetry("never")}
        return [how.get(row.number, row.number * 2) for row in rows]

    handles = insert.many(insert.job(Row(n)) for n in range(250))
    assert holdfast.client.job(handles[3].id).payload == {"number": 3, "text": ""}
    assert holdfast.drain(tasks.worker(concurrency=2)) == {"concluded": 247, "failed": 2, "released": 1}
    assert sum(count for count, _ in calls) == 250
    assert [count for count, _ in calls[:2]] == [100, 100]
    assert {name for _, name in calls} == {"holdfast-handler"}
    assert handles[4].result() == 8
    with pytest.raises(NotConcluded, match="seven"):
        handles[7].result()
    assert holdfast.client.job(handles[8].id).state == "scheduled"


def test_an_exception_of_the_call_is_that_of_all_its_jobs(holdfast):
    tasks = Tasks()

    @tasks.task(queue="rows", batch=10, max_attempts=1)
    async def insert(jobs: list[Job], rows: list[Row]) -> None:
        await asyncio.sleep(0)
        assert [job.payload["number"] for job in jobs] == [row.number for row in rows]
        raise LookupError("no table")

    handles = insert.many(insert.job(Row(n)) for n in range(10))
    assert holdfast.drain(tasks.worker()) == {"failed": 10}
    for handle in handles:
        (failure,) = holdfast.client.job(handle.id).errors
        assert (failure.error.kind, failure.error.message) == ("LookupError", "no table")
        assert failure.error.traceback.count('File "') == 1, failure.error.traceback


@pytest.mark.parametrize(("given", "said"), [([1], "returned 1 outcomes"), ("ab", "returned str"), (7, "returned int")])
def test_outcomes_that_are_not_one_for_each_job_fail_all(holdfast, given, said):
    tasks = Tasks()

    @tasks.task(queue="rows", batch=2, max_attempts=1)
    def insert(rows: list[Row]) -> list[Any]:
        return given

    handles = insert.many(insert.job(Row(n)) for n in range(2))
    assert holdfast.drain(tasks.worker()) == {"failed": 2}
    with pytest.raises(NotConcluded, match=said):
        handles[0].result()


def test_a_payload_that_can_not_be_read_is_dead_and_the_others_are_run(holdfast):
    tasks = Tasks()

    @tasks.task(queue="rows", batch=10)
    def insert(rows: list[Row]) -> list[int]:
        return [row.number for row in rows]

    good = insert.enqueue(Row(1))
    holdfast.client.enqueue("rows", {"number": "x"}, type="insert")
    assert holdfast.drain(tasks.worker()) == {"failed": 1, "concluded": 1}
    assert good.result() == 1


def test_the_first_job_waits_for_others(tasks, working):
    calls = []

    @tasks.task(batch=3, wait=0.3)
    async def insert(rows: list[Row]) -> None:
        calls.append([row.number for row in rows])

    with working(tasks):
        handles = [insert.enqueue(Row(n)) for n in range(4)]
        for handle in handles:
            assert handle.result(20) is None
    assert [len(call) for call in calls] == [3, 1]


def test_their_leases_are_extended_and_they_are_concluded_together(tasks, working, witness, monkeypatch):
    sent = []

    def counted(kind):
        before = kind.end

        async def end(self, entries):
            sent.append(Counter(type(entry).__name__ for entry in entries))
            return await before(self, entries)

        monkeypatch.setattr(kind, "end", end)

    counted(WebSocketSource)
    counted(LongPollSource)
    go = asyncio.Event()
    loops = []

    @tasks.task(batch=100, wait=5, lease=1)
    async def insert(rows: list[Row]) -> None:
        loops.append(asyncio.get_running_loop())
        await go.wait()

    handles = insert.many(insert.job(Row(n)) for n in range(100))
    with working(tasks):
        until(lambda: bool(loops), "the call has begun")
        before = {handle.id: witness.job(handle.id).lease_ms_left for handle in handles[::30]}
        until(lambda: any(witness.job(number).lease_ms_left > left for number, left in before.items()), "a lease is extended")
        loops[0].call_soon_threadsafe(go.set)
        for handle in handles:
            handle.result(20)
    assert [each["Conclude"] for each in sent if each["Conclude"]] == [100]
    assert len(loops) == 1


def test_a_server_that_knows_no_leases_by_type_gives_them_to_all(tasks, working, monkeypatch):
    """During an upgrade. Then jobs of a batch may come to the others, and others to it."""
    newer = AsyncClient.lease

    async def older(self, queues, **given):
        if given.get("types") is not None:
            raise InvalidRequest("Object contains unknown field `types`.", field="types")
        return await newer(self, queues, **given)

    monkeypatch.setattr(AsyncClient, "lease", older)
    calls = []

    @tasks.task(batch=10)
    def insert(rows: list[Row]) -> list[int]:
        calls.append(len(rows))
        return [row.number for row in rows]

    @tasks.task
    async def single(n: int) -> int:
        return n

    handles = insert.many(insert.job(Row(n)) for n in range(30))
    others = single.many(single.job(n) for n in range(30))
    worker = tasks.worker(concurrency=2)
    worker._live = False
    with running(worker):
        assert [each.result(30) for each in handles] == list(range(30))
        assert [each.result(30) for each in others] == list(range(30))
    assert sum(calls) == 30


def test_a_job_that_is_cancelled_leaves_the_others_alone(tasks, working, witness):
    go, begun = threading.Event(), threading.Event()

    @tasks.task(batch=2)
    def insert(rows: list[Row]) -> list[int]:
        begun.set()
        go.wait(20)
        return [row.number for row in rows]

    one, two = insert.many(insert.job(Row(n)) for n in range(2))
    with working(tasks):
        assert begun.wait(20)
        witness.cancel(one.id)
        assert witness.wait(one.id, 20).state == "cancelled"
        go.set()
        assert two.result(20) == 1


def test_a_call_that_nobody_waits_for_is_cancelled(tasks, working, witness):
    begun, ended = threading.Event(), threading.Event()

    @tasks.task(batch=2)
    async def insert(rows: list[Row]) -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            ended.set()

    handles = insert.many(insert.job(Row(n)) for n in range(2))
    with working(tasks):
        assert begun.wait(20)
        for each in handles:
            witness.cancel(each.id)
        assert ended.wait(20)


def test_the_time_of_a_call_is_bounded(tasks, working):
    @tasks.task(batch=2, timeout=0.05, max_attempts=1)
    async def insert(rows: list[Row]) -> None:
        await asyncio.sleep(60)

    with working(tasks), pytest.raises(NotConcluded, match=r"Timed out after 0.05 s"):
        insert.enqueue(Row(1)).result(20)


def test_what_follows_and_what_is_around_is_that_of_each_job(holdfast):
    tasks, seen = Tasks(), []

    @tasks.around_attempt
    def watch(job):
        try:
            yield
        except ValueError:
            seen.append(f"{job.type} {job.payload['number']} failed")
            raise
        seen.append(f"{job.type} {job.payload['number']} done")

    @tasks.task(queue="rows", batch=10, unique=lambda number: number, max_attempts=1)
    def insert(jobs: list[Job], rows: list[Row]) -> list[int | Exception]:
        for job in jobs:
            job.follow(after.job(job.payload["number"]))
        return [ValueError("no") if row.number == 2 else row.number for row in rows]

    @tasks.task(queue="other")
    def after(number: int) -> None: ...

    insert.then(after, 7).enqueue(Row(1))
    job = holdfast.client.job(insert.enqueue(Row(2)).id)
    assert job.unique_key == "insert:2"
    assert holdfast.drain(tasks.worker()) == {"concluded": 3, "failed": 1}
    assert sorted(seen) == ["after 1 done", "after 7 done", "insert 1 done", "insert 2 failed"]


def test_without_a_server_a_call_has_one_job(tasks):
    @tasks.task(batch=10)
    async def insert(jobs: list[Job], rows: list[Row]) -> list[int | Exception]:
        assert len(jobs) == len(rows)
        return [row.number or ValueError("none") for row in rows]

    with tasks.eager():
        assert insert.enqueue(Row(3)).result() == 3
        with pytest.raises(ValueError, match="none"):
            insert.enqueue(Row(0))
    assert asyncio.run(insert([Row(1), Row(2)])) == [1, 2]


def none(): ...
def two(a: list[int], b: list[int]): ...
def plain(a: int): ...
def with_job(job: Job, a: list[int]): ...
def path(a: list[object]) -> None: ...
def gives_number(a: list[int]) -> int: ...  # type: ignore[empty-body]
def fine(a: list[int]) -> None: ...


@pytest.mark.parametrize("function", [none, two, plain, with_job])
def test_a_function_that_takes_no_list(tasks, function):
    with pytest.raises(ValueError, match="with batch=… it takes one argument, calls: list"):
        tasks.task(batch=2)(function)


def test_what_else_can_not_be_a_batch(tasks):
    with pytest.raises(ValueError, match="gives_number: with batch=… it returns a list with an outcome for each job"):
        tasks.task(batch=2)(gives_number)
    with pytest.raises(ValueError, match="path: an argument can't be read from JSON"):
        tasks.task(batch=2)(path)
    for size in (0, 1_001, "2", True):
        with pytest.raises(ValueError, match="fine: batch is from 1 to 1,000 jobs"):
            tasks.task(batch=size)(fine)
    with pytest.raises(ValueError, match="fine: wait is from 0 to"):
        tasks.task(batch=2, wait=-1)(fine)
    with pytest.raises(ValueError, match="fine: there is no option 'wait'"):
        tasks.task(wait=1)(fine)
    with pytest.raises(ValueError, match="nobody gives it its call when it runs by itself"):
        tasks.every(60)(tasks.task(batch=2)(fine))
    with pytest.raises(InvalidArguments, match="it takes one argument, by its place"):
        tasks.task(name="b", batch=2)(fine).enqueue(a=1)
    with pytest.raises(InvalidArguments, match="expected `int`, got `str`"):
        tasks.task(name="c", batch=2)(fine).enqueue("x")


def test_a_call_that_is_over_its_time_is_told_so(holdfast):
    tasks, stopped = Tasks(), threading.Event()

    @tasks.task(queue="rows", batch=2, timeout=0.2, max_attempts=1)
    def insert(jobs: list[Job], rows: list[Row]) -> None:
        until(lambda: jobs[0].should_stop, "it is told", 10)
        stopped.set()

    insert.enqueue(Row(1))
    assert holdfast.drain(tasks.worker()) == {"failed": 1}
    assert stopped.wait(20)


def test_no_more_calls_hang_than_may_run_at_once(holdfast):
    tasks, go_on, begun = Tasks(), threading.Event(), []

    @tasks.task(queue="rows", batch=1, timeout=0.1, max_attempts=1)
    def insert(rows: list[Row]) -> None:
        begun.append(rows)
        go_on.wait(60)

    insert.many(insert.job(Row(n)) for n in range(3))
    try:
        assert holdfast.drain(tasks.worker()) == {"failed": 1, "released": 2}
    finally:
        go_on.set()
    assert len(begun) == 1


def test_a_worker_that_ends_begins_the_call_that_waits_for_more(tasks, witness):
    @tasks.task(batch=100, wait=3_000)
    def insert(rows: list[Row]) -> list[int | Exception]:
        return [len(rows) for _ in rows]

    handles = insert.many(insert.job(Row(n)) for n in range(3))
    worker = tasks.worker(grace=2_000)
    with running(worker):
        until(lambda: all(witness.job(each.id).state == "leased" for each in handles), "the worker has all")
    assert [each.result(0.1) for each in handles] == [3, 3, 3]
    assert worker.tally == {"concluded": 3}
