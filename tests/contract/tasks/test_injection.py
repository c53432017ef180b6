"""What is injected into tasks: made for a job, shared within it, and closed after it; no argument of a call."""

import asyncio
import threading
from dataclasses import dataclass
from typing import Annotated

import fastapi
import pytest

from holdfast.tasks import INJECTED, Depends, InvalidArguments, Job, NotConcluded, Tasks

events: list[str] = []


@pytest.fixture(autouse=True)
def _no_events():
    events.clear()


class Session:
    def __init__(self, name: str = "real") -> None:
        self.name = name
        self.thread = threading.current_thread().name


def get_session():
    events.append("open")
    try:
        yield Session()
    except LookupError as error:
        events.append(f"rolled back {error}")
        raise
    else:
        events.append("committed")
    finally:
        events.append("closed")


async def get_connection():
    loop = asyncio.get_running_loop()
    events.append("connect")
    await asyncio.sleep(0)
    yield loop
    assert asyncio.get_running_loop() is loop
    events.append("disconnect")


async def get_tenant(job: Job) -> str:
    await asyncio.sleep(0)
    return job.job.meta.get("tenant", "none")


SessionDep = Annotated[Session, Depends(get_session)]


class Users:
    def __init__(self, session: SessionDep, tenant: Annotated[str, Depends(get_tenant)]) -> None:
        self.session = session
        self.tenant = tenant


@dataclass
class Clock:
    session: SessionDep

    def __call__(self, session: SessionDep) -> int:
        return 12


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


def both(tasks):
    """The same task as a plain function and as a coroutine function."""

    def plain(
        job: Job,
        n: int,
        session: SessionDep = INJECTED,
        users: Users = Depends(),
        loop: Annotated[asyncio.AbstractEventLoop, Depends(get_connection)] = INJECTED,
    ) -> str:
        if n == 0:
            raise LookupError("none")
        assert users.session is session, "one for the job"
        assert loop.is_running()
        events.append("run")
        return f"{users.tenant} {session.name} {n} {job.attempt}"

    async def coroutine(
        job: Job,
        n: int,
        session: SessionDep = INJECTED,
        users: Users = Depends(),
        loop: Annotated[asyncio.AbstractEventLoop, Depends(get_connection)] = INJECTED,
    ) -> str:
        assert asyncio.get_running_loop() is loop
        await asyncio.sleep(0)
        return plain(job, n, session, users, loop)

    return [tasks.task(queue="q", max_attempts=1)(each) for each in (plain, coroutine)]


@pytest.mark.parametrize("kind", [0, 1])
def test_a_worker_makes_them_for_a_job_and_closes_them_after_it(holdfast, tasks, kind):
    task = both(tasks)[kind]
    good = task.options(meta={"tenant": "seven"}).enqueue(3)
    assert holdfast.client.job(good.id).payload == {"n": 3}
    assert holdfast.drain(tasks.worker()) == {"concluded": 1}
    assert good.result() == "seven real 3 1"
    assert events == ["open", "connect", "run", "disconnect", "committed", "closed"]
    events.clear()
    bad = task.enqueue(0)
    assert holdfast.drain(tasks.worker()) == {"failed": 1}
    assert events == ["open", "connect", "rolled back none", "closed"]
    with pytest.raises(NotConcluded, match="none"):
        bad.result()
    (failure,) = holdfast.client.job(bad.id).errors
    assert failure.error.kind == "LookupError"
    assert failure.error.traceback.count("File") <= 3


@pytest.mark.parametrize("kind", [0, 1])
def test_without_a_server_and_just_called(tasks, kind):
    task = both(tasks)[kind]

    def call(*args, **kwargs):
        return asyncio.run(task(*args, **kwargs)) if kind else task(*args, **kwargs)

    with tasks.eager():
        assert task.enqueue(3).result() == "none real 3 1"
        assert asyncio.run(task.aenqueue(3)).result() == "none real 3 1"
        with pytest.raises(LookupError):
            task.enqueue(0)
    assert call(3) == "none real 3 1"
    session = Session("given")
    users = Users(session, "me")
    events.clear()
    assert call(3, session=session, users=users) == "me given 3 1"
    assert events == ["connect", "run", "disconnect"]


@pytest.mark.parametrize("kind", [0, 1])
def test_a_test_overrides_them(tasks, kind):
    task = both(tasks)[kind]
    tasks.dependency_overrides[get_session] = lambda: Session("fake")

    def tenant_of(session: SessionDep) -> str:
        return f"tenant of {session.name}"

    tasks.dependency_overrides[get_tenant] = tenant_of
    with tasks.eager():
        assert task.enqueue(3).result() == "tenant of fake fake 3 1"


def test_plain_dependencies_of_a_plain_task_are_in_its_thread(holdfast, tasks):
    @tasks.task(queue="q")
    def where(session: SessionDep, own: Annotated[Session, Depends(get_session, use_cache=False)]) -> list[str | bool]:
        return [session.thread, threading.current_thread().name, session is own]

    handle = where.enqueue()
    holdfast.drain(tasks.worker())
    assert handle.result() == ["holdfast-handler", "holdfast-handler", False]
    assert events.count("closed") == 2


def test_a_dependency_can_not_turn_a_failure_into_a_success(tasks):
    def swallow():
        try:
            yield 1
        except LookupError:
            events.append("swallowed")

    def fails():
        yield 2
        raise OSError("can't commit")

    @tasks.task
    def one(n: Annotated[int, Depends(swallow)]) -> None:
        raise LookupError

    @tasks.task
    async def two(n: Annotated[int, Depends(fails)]) -> None: ...

    with tasks.eager():
        with pytest.raises(LookupError):
            one.enqueue()
        with pytest.raises(OSError, match="can't commit"):
            two.enqueue()
    assert events == ["swallowed"]


def test_what_several_have_opened_is_closed_whatever_one_raises(tasks):
    def first():
        yield 1
        events.append("first")

    def second():
        yield 2
        events.append("second")
        raise OSError("full")

    def twice():
        yield 3
        yield 4

    @tasks.task
    def work(a: int = Depends(first), b: int = Depends(second)) -> None: ...

    @tasks.task
    def again(a: int = Depends(twice)) -> None: ...

    with tasks.eager():
        with pytest.raises(OSError, match="full"):
            work.enqueue()
        with pytest.raises(RuntimeError, match="has yielded more than once"):
            again.enqueue()
    assert events == ["second"]


def test_dependencies_of_fastapi_are_dependencies_of_tasks(tasks):
    shared = Annotated[Session, fastapi.Depends(get_session)]

    def limit() -> int:
        return 7

    @tasks.task
    def work(session: shared, most: int = fastapi.Depends(limit)) -> str:
        return f"{session.name} {most}"

    with tasks.eager():
        assert work.enqueue().result() == "real 7"


def test_a_batch_has_them_for_a_call(holdfast, tasks):
    @tasks.task(queue="q", batch=10)
    def insert(rows: list[int], session: SessionDep = INJECTED) -> list[str]:
        return [f"{row} {session.name}" for row in rows]

    @tasks.task(queue="q", batch=10)
    async def ainsert(rows: list[int], loop: Annotated[object, Depends(get_connection)] = INJECTED) -> None: ...

    handles = insert.many(insert.job(n) for n in range(3))
    ainsert.enqueue(1)
    assert holdfast.drain(tasks.worker()) == {"concluded": 4}
    assert [each.result() for each in handles] == ["0 real", "1 real", "2 real"]
    assert events.count("open") == 1
    assert insert([5], session=Session("x")) == ["5 x"]
    with pytest.raises(ValueError, match="tenant needs the job, and a call has many"):

        @tasks.task(batch=10)
        def other(rows: list[int], tenant: Annotated[str, Depends(get_tenant)] = INJECTED) -> None: ...


def test_objects_that_are_called_are_dependencies(tasks):
    clock = Clock(Session())

    @tasks.task
    def work(hour: Annotated[int, Depends(clock)]) -> int:
        return hour

    with tasks.eager():
        assert work.enqueue().result() == 12


def needs_name(name: str) -> str:
    return name


def needs_itself(one: Annotated[str, Depends(lambda: "x")], two: "Annotated[str, Depends(needs_itself)]") -> str:
    return one


@pytest.mark.parametrize(
    ("hint", "said"),
    [
        (Annotated[str, Depends(needs_name)], "work: nobody gives needs_name its name: a dependency may take the job"),
        (Annotated[str, Depends(needs_itself)], "work: needs_itself needs itself"),
        (Annotated[str, Depends(7)], "work: a dependency is a function or a class, not 7"),
    ],
)
def test_a_dependency_that_can_not_be(tasks, hint, said):
    def work(value) -> None: ...

    work.__annotations__["value"] = hint
    with pytest.raises(ValueError, match=said):
        tasks.task(work)


def test_what_is_injected_is_no_argument(tasks):
    @tasks.task
    def work(n: int, session: SessionDep = INJECTED) -> None: ...

    with tasks.eager(), pytest.raises(InvalidArguments, match="work: session is injected, and no argument of a call"):
        work.enqueue(1, session=Session())
    with pytest.raises(ValueError, match="work2: n is INJECTED, but its annotation does not say by what"):

        @tasks.task
        def work2(n: int = INJECTED) -> None: ...

    @tasks.every(60)
    def tick(session: SessionDep) -> None: ...


def test_what_waits_for_a_connection_does_not_keep_another_from_giving_it_back(holdfast):
    """More of them than a worker's event loop has threads for what is plain."""
    tasks, pool = Tasks(), threading.BoundedSemaphore(1)

    def get_from_pool():
        assert pool.acquire(timeout=20)
        try:
            yield pool
        finally:
            pool.release()

    @tasks.task(max_attempts=1)
    async def use(n: int, taken: Annotated[threading.BoundedSemaphore, Depends(get_from_pool)] = INJECTED) -> None:
        await asyncio.sleep(0)

    use.many(use.job(n) for n in range(64))
    assert holdfast.drain(tasks.worker(concurrency=64)) == {"concluded": 64}
