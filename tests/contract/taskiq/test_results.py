"""Results and progress of tasks, kept with their jobs."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import pytest
from taskiq import Context, SimpleRetryMiddleware, TaskiqDepends
from taskiq.acks import AcknowledgeType
from taskiq.depends.progress_tracker import ProgressTracker
from taskiq.exceptions import ResultGetError
from taskiq.serializers import PickleSerializer

from holdfast.taskiq import HoldfastBroker
from tests.contract.taskiq.test_taskiq import PATIENCE_S, working

__all__ = ["working"]

_numbers = itertools.count()
Working = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
async def broker(server) -> AsyncIterator[HoldfastBroker]:
    broker = HoldfastBroker(server.url, queue=f"r{next(_numbers)}", lease_s=2, results=True)
    await broker.startup()
    yield broker
    await broker.shutdown()


async def test_a_result_is_that_of_the_job_and_is_found_by_the_task_s_id(broker, working: Working, server):
    @broker.task("add")
    async def add(x: int, y: int) -> int:
        return x + y

    sent = await add.kiq(1, y=2)
    assert not await sent.is_ready()
    with pytest.raises(ResultGetError):
        await sent.get_result()
    async with working():
        assert (await sent.wait_result(timeout=PATIENCE_S)).return_value == 3
    other = HoldfastBroker(server.url, results=True)  # of a program that noted the id
    found = await other.result_backend.get_result(sent.task_id)
    assert (found.return_value, found.is_err) == (3, False)
    await other.shutdown()
    (receipt,) = await broker.client.receipts(sent.task_id)
    assert (await broker.client.job(receipt.id)).result["value"]["return_value"] == 3


async def test_what_a_task_raised_is_its_result(broker, working: Working):
    @broker.task("fail")
    async def fail() -> None:
        raise LookupError("nothing there")

    async with working():
        result = await (await fail.kiq()).wait_result(timeout=PATIENCE_S)
    assert result.is_err
    with pytest.raises(LookupError, match="nothing there"):
        result.raise_for_error()


async def test_after_retries_and_requeues_it_is_that_of_the_last(broker, working: Working):
    broker.add_middlewares(SimpleRetryMiddleware(default_retry_count=5))
    tries = []

    @broker.task("flaky", retry_on_error=True)
    async def flaky(context: Context = TaskiqDepends()) -> int:  # noqa: B008
        tries.append(1)
        if len(tries) == 2:
            await context.requeue()
        if len(tries) < 4:
            raise ConnectionError("away")
        return len(tries)

    async with working():
        assert (await (await flaky.kiq()).wait_result(timeout=PATIENCE_S)).return_value == 4


async def test_progress_is_that_of_the_job(broker, working: Working):
    go_on = asyncio.Event()

    @broker.task("long")
    async def long(tracker: ProgressTracker[str] = TaskiqDepends()) -> None:  # noqa: B008
        await tracker.set_progress("half", "way")
        await go_on.wait()

    sent = await long.kiq()
    assert await sent.get_progress() is None
    async with working():
        while (progress := await sent.get_progress()) is None:  # noqa: ASYNC110  (it can only be asked about)
            await asyncio.sleep(0.05)
        assert (progress.state, progress.meta) == ("half", "way")
        go_on.set()
        await sent.wait_result(timeout=PATIENCE_S)


async def test_that_of_a_cancelled_job_is_an_error(broker):
    @broker.task("never")
    async def never() -> None: ...

    sent = await never.kiq()
    (receipt,) = await broker.client.receipts(sent.task_id)
    await broker.client.cancel(receipt.id)
    result = await sent.wait_result(timeout=PATIENCE_S)
    assert f"Job {receipt.id} is cancelled" in str(result.error)


async def test_a_task_that_is_sent_twice_under_one_id_is_run_twice(broker, working: Working):
    ran = asyncio.Semaphore(0)

    @broker.task("note")
    async def note() -> None:
        ran.release()

    async with working():
        for _ in range(2):
            await note.kicker().with_task_id("nightly").kiq()
        async with asyncio.timeout(PATIENCE_S):
            await ran.acquire()
            await ran.acquire()


async def test_a_result_that_is_no_json_comes_back_as_it_was(broker, working: Working):
    broker.with_serializer(PickleSerializer())

    @broker.task("raw")
    async def raw() -> bytes:
        return b"plain"

    async with working():
        assert (await (await raw.kiq()).wait_result(timeout=PATIENCE_S)).return_value == b"plain"


async def test_one_that_is_acknowledged_before_has_no_result_and_the_log_says_why(broker, working: Working, caplog):
    @broker.task("early")
    async def early() -> int:
        return 1

    async with working(ack_type=AcknowledgeType.WHEN_RECEIVED):
        sent = await early.kiq()
        async with asyncio.timeout(PATIENCE_S):
            while "--ack-type when_saved" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    assert not await sent.is_ready()


@pytest.mark.parametrize(
    ("value", "why"), [(object(), "its result can't be kept: Unable to serialize"), ("x" * (2 << 20), "result has")]
)
async def test_one_that_can_not_be_kept_is_said_and_the_work_is_not_done_again(broker, working: Working, value, why):
    ran = []

    @broker.task("unkept")
    async def unkept() -> object:
        ran.append(1)
        return value

    async with working():
        result = await (await unkept.kiq()).wait_result(timeout=PATIENCE_S)
    assert "is dead: The work was done" in str(result.error)
    assert why in str(result.error)
    assert ran == [1]
