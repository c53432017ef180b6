"""Eager mode: in place of the clients, what runs a job at once, where it is enqueued, and without a server.

A payload and a result go through JSON, middleware is around them, and what follows a job is run behind it, as by a worker.
"""

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Raw

from holdfast.client.batch_types import BatchMade
from holdfast.client.types import Durability, NewJob, Receipt
from holdfast.tasks.attempt import Attempt
from holdfast.tasks.task import not_held

if TYPE_CHECKING:
    from holdfast.tasks.tasks import Tasks

T = TypeVar("T")
Finish = Callable[[Any], Awaitable[Any]]


class Eager:
    """What `enqueue` and a handle ask of a `Client`. `jobs` are those that it has run."""

    def __init__(self, tasks: "Tasks") -> None:
        self.jobs: list[NewJob] = []
        self._tasks = tasks
        self._results: dict[int, Any] = {}
        self._batches = 0

    def enqueue(self, queue: str, payload: Any, **given: Any) -> Receipt:
        """Run a job; raises what its task raises."""
        return _driven(self.run(_job(queue, payload, given), _in_a_thread))

    def enqueue_many(self, jobs: Iterable[NewJob], **_: Any) -> list[Receipt]:
        """Run jobs, one after the other."""
        return [_driven(self.run(job, _in_a_thread)) for job in jobs]

    def make_batch(self, jobs: Iterable[NewJob], **given: Any) -> BatchMade:
        """Run jobs, and what follows them; a failure is raised."""
        return _driven(self.run_batch(jobs, given, _in_a_thread))

    async def run_batch(self, jobs: Iterable[NewJob], given: Mapping[str, Any], finish: Finish) -> BatchMade:
        """Run jobs, and what follows when all are done."""
        made = [(await self.run(job, finish)).id for job in jobs]
        for job in closing_of({**given, "on_failure": None}):
            await self.run(job, finish)
        self._batches += 1
        return BatchMade(id=self._batches, jobs=made, durability=Durability(level="memory"))

    def result(self, job_id: int, _: float | None = None) -> Any:
        """What a job has returned."""
        return self._results[job_id]

    async def run(self, job: NewJob, finish: Finish) -> Receipt:
        """Run a job, and what follows it."""
        number = len(self.jobs) + 1
        held = not_held(job, number)
        self.jobs.append(msgspec.structs.replace(job, payload=held.payload))
        attempt = Attempt(self._tasks.runnable(str(job.type)), held)
        result = None
        with self._tasks.attempting(held):
            result = await finish(attempt.call())
        self._results[number] = msgspec.json.decode(attempt.conclude(result) or b"null")
        for each in held.follow_ups:
            await self.run(msgspec.json.decode(each, type=NewJob) if isinstance(each, Raw) else each, finish)
        held.job.state = "concluded"
        return msgspec.convert(held.job, Receipt, from_attributes=True)


class AsyncEager:
    """The same for `AsyncClient`."""

    def __init__(self, eager: Eager) -> None:
        self._eager = eager

    async def enqueue(self, queue: str, payload: Any, **given: Any) -> Receipt:
        """Run a job; raises what its task raises."""
        return await self._eager.run(_job(queue, payload, given), finished)

    async def enqueue_many(self, jobs: Iterable[NewJob], **_: Any) -> list[Receipt]:
        """Run jobs, one after the other."""
        return [await self._eager.run(job, finished) for job in jobs]

    async def make_batch(self, jobs: Iterable[NewJob], **given: Any) -> BatchMade:
        """Run jobs, and what follows them; a failure is raised."""
        return await self._eager.run_batch(jobs, given, finished)

    async def result(self, job_id: int, _: float | None = None) -> Any:
        """What a job has returned."""
        return self._eager.result(job_id)


def _job(queue: str, payload: Any, given: dict[str, Any]) -> NewJob:
    return NewJob(
        queue=queue, payload=payload, **{name: value for name, value in given.items() if name in NewJob.__struct_fields__}
    )


async def finished(result: Any) -> Any:
    """What it is, or what is waited for."""
    return await result if inspect.isawaitable(result) else result


async def _in_a_thread(result: Any) -> Any:
    """Waits, without giving way, for a coroutine in an event loop of its own: its caller is none, and there may be a loop here."""
    if not inspect.iscoroutine(result):
        return result
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, asyncio.run, result).result()


def closing_of(given: Mapping[str, Any]) -> list[NewJob]:
    """The closing jobs of a batch."""
    return [given[name] for name in ("on_success", "on_failure", "on_finish") if given.get(name) is not None]


def _driven(run: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never gives way."""
    try:
        run.send(None)
    except StopIteration as done:
        returned: T = done.value
        return returned
    raise AssertionError("nothing is waited for but by a thread")
