"""taskiq with its own receiver, in this process, and with its workers in others, on a real server."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from taskiq import InMemoryBroker, SimpleRetryMiddleware, TaskiqResult
from taskiq.abc.result_backend import AsyncResultBackend
from taskiq.exceptions import SendTaskError
from taskiq.receiver import Receiver

from holdfast import Client
from holdfast.errors import InternalError, QueueFull
from holdfast.taskiq import HoldfastBroker
from tests.system.whole.servers import Output

PATIENCE_S = 60.0
_numbers = itertools.count()


@pytest.fixture
async def broker(server) -> AsyncIterator[HoldfastBroker]:
    broker = HoldfastBroker(server.url, queue=f"t{next(_numbers)}", lease_s=2)
    broker.result_backend = InMemoryBroker().result_backend
    await broker.startup()
    yield broker
    await broker.shutdown()


@pytest.fixture
def working(broker) -> Callable[[], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def work(**options) -> AsyncIterator[None]:
        finish = asyncio.Event()
        receiver = Receiver(broker, run_startup=False, max_async_tasks=10, **options)
        listening = asyncio.create_task(receiver.listen(finish))
        try:
            yield
        finally:
            finish.set()
            await asyncio.wait_for(listening, PATIENCE_S)

    return work


async def ended(broker, count: int = 1) -> list:
    """The jobs of the queue, as soon as none waits or is run."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        jobs = [job async for job in broker.client.jobs(queue=broker.queue)]
        if len(jobs) >= count and all(job.has_ended for job in jobs):
            return jobs
        await asyncio.sleep(0.05)
    raise AssertionError(jobs)


async def test_a_task_is_run_and_acknowledged_with_its_result(broker, working):
    @broker.task("add")
    async def add(x: int, y: int) -> int:
        return x + y

    async with working():
        sent = await add.kiq(1, y=2)
        result = await sent.wait_result(timeout=PATIENCE_S)
        assert result.return_value == 3
        [job] = await ended(broker)
    assert (job.state, job.type, job.meta["task_id"]) == ("concluded", "add", sent.task_id)


async def test_labels_are_options_of_the_job(broker):
    @broker.task("labelled")
    async def labelled() -> None: ...

    await labelled.kicker().with_labels(delay=100, priority=5, expires=7).kiq()
    await labelled.kicker().with_labels(queue_name=f"{broker.queue}.other").kiq()
    [job] = [job async for job in broker.client.jobs(queue=broker.queue)]
    assert (job.state, job.priority) == ("scheduled", 1_019)
    assert round((job.ready_at - job.created_at).total_seconds()) == 100
    assert round((job.expires_at - job.ready_at).total_seconds()) == 7
    assert [job async for job in broker.client.jobs(queue=f"{broker.queue}.other")]


async def test_a_retry_of_taskiq_is_a_message_of_its_own(broker, working):
    broker.add_middlewares(SimpleRetryMiddleware(default_retry_count=3))
    tries = []

    @broker.task("flaky", retry_on_error=True)
    async def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("away")
        return "well"

    async with working():
        sent = await flaky.kiq()
        assert (await sent.wait_result(timeout=PATIENCE_S)).return_value == "well"
        assert [job.state for job in await ended(broker, 3)] == ["concluded"] * 3


async def test_a_task_that_the_worker_does_not_have_stays_for_those_who_have_it(broker, working):
    @broker.task("known")
    async def known() -> None: ...

    await broker.client.enqueue(
        broker.queue, {"task_id": "x", "task_name": "new", "labels": {}, "args": [], "kwargs": {}}, type="new"
    )
    async with working():
        await (await known.kiq()).wait_result(timeout=PATIENCE_S)
    assert (await broker.client.queue(broker.queue)).jobs.ready == 1


async def test_what_can_not_be_read_is_dead(broker, working):
    @broker.task("known")
    async def known() -> None: ...

    await broker.client.enqueue(broker.queue, {"no": "message"}, type="known")
    async with working():
        [job] = await ended(broker)
    assert job.state == "dead"


async def test_the_lease_of_a_long_task_is_extended(broker, working):
    @broker.task("long")
    async def long() -> None:
        await asyncio.sleep(5)

    async with working():
        await long.kiq()
        [job] = await ended(broker)
    assert (job.state, job.attempt, job.crashes) == ("concluded", 1, 0)


async def test_what_was_not_begun_goes_back_at_the_end(broker, working):
    go_on = asyncio.Event()

    @broker.task("wait")
    async def wait() -> None:
        await go_on.wait()

    for _ in range(15):
        await wait.kiq()
    async with working():
        while (await broker.client.queue(broker.queue)).jobs.leased < 10:  # noqa: ASYNC110  (it can only be asked about)
            await asyncio.sleep(0.05)
        go_on.set()
    await broker.shutdown()
    jobs = (await broker.client.queue(broker.queue)).jobs
    assert (jobs.leased, jobs.dead, jobs.ready + jobs.concluded) == (0, 0, 15)


async def test_a_result_that_can_not_be_stored_leaves_the_message_acknowledged_as_taskiq_has_it(broker, working):
    class Broken(AsyncResultBackend):
        async def set_result(self, task_id: str, result: TaskiqResult) -> None:
            raise OSError("no room")

        async def is_result_ready(self, task_id: str) -> bool:
            return False

        async def get_result(self, task_id: str, with_logs: bool = False) -> TaskiqResult:
            raise NotImplementedError

    broker.result_backend = Broken()

    @broker.task("fine")
    async def fine() -> None: ...

    async with working():
        await fine.kiq()
        assert [job.state for job in await ended(broker)] == ["concluded"]


async def test_a_full_queue_refuses(broker):
    @broker.task("never")
    async def never() -> None: ...

    await broker.client.set_queue(broker.queue, capacity_jobs=1)
    await never.kiq()
    with pytest.raises(SendTaskError) as refused:
        await never.kiq()
    assert isinstance(refused.value.__cause__, QueueFull)


async def test_worker_processes_that_are_killed(broker, tmp_path):
    notes = tmp_path / "notes"

    def start() -> tuple[subprocess.Popen[bytes], Output]:
        environment = os.environ | {"BROKER": broker.client.nodes.urls[0], "QUEUE": broker.queue, "NOTES": str(notes)}
        command = [sys.executable, "-m", "taskiq", "worker", "program:broker", "--workers", "1"]
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert process.stdout is not None
        return process, Output(process.stdout)

    async def noted(count: int, said: Output) -> list[str]:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            found = notes.read_text().split() if notes.exists() else []
            if len(found) >= count:
                return found
            await asyncio.sleep(0.05)
        raise AssertionError(said.text)

    @broker.task("note")
    async def note(text: str, seconds: float = 0) -> None: ...

    first, said = start()
    await note.kiq("again", 600)
    assert await noted(1, said) == ["again"]
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(30)
    second, said = start()
    assert await noted(2, said) == ["again", "again"]
    [job] = [job async for job in broker.client.jobs(queue=broker.queue)]
    assert (job.crashes, job.state) == (1, "leased")
    os.killpg(second.pid, signal.SIGKILL)
    second.wait(30)


async def test_a_worker_without_tasks_says_what_to_do(broker):
    with pytest.raises(RuntimeError, match=r"no tasks.*Name the modules that have them"):
        await anext(broker.listen())


async def test_a_server_that_fails_inside_is_asked_again(broker, working, monkeypatch):
    @broker.task("known")
    async def known() -> None: ...

    failed = []
    lease = Client.lease

    def fail_once(self, *queues, **given):
        if not failed:
            failed.append(1)
            raise InternalError("It has failed.")
        return lease(self, *queues, **given)

    monkeypatch.setattr(Client, "lease", fail_once)
    async with working():
        await known.kiq()
        assert [job.state for job in await ended(broker)] == ["concluded"]
    assert failed


async def test_what_a_listener_has_and_did_not_hand_over_goes_back_when_it_is_closed(broker):
    @broker.task("known")
    async def known() -> None: ...

    for _ in range(3):
        await known.kiq()
    messages = broker.listen()
    await anext(messages)
    await messages.aclose()
    broker._consumer.held.flush(PATIENCE_S)
    jobs = (await broker.client.queue(broker.queue)).jobs
    assert (jobs.leased, jobs.ready) == (1, 2)  # taskiq has the first still
    await broker.shutdown()
    assert (await broker.client.queue(broker.queue)).jobs.ready == 3


async def test_a_worker_that_the_server_has_forgotten_gives_back_what_it_holds(broker):
    @broker.task("known")
    async def known() -> None: ...

    await known.kiq()
    messages = broker.listen()
    await anext(messages)
    [worker] = [worker for worker in await broker.client.workers() if worker.queues == [broker.queue]]
    await broker.client.remove_worker(worker.id)
    await broker.shutdown()
    assert (await broker.client.queue(broker.queue)).jobs.ready == 1
    await messages.aclose()
