"""Right and wrong calls, for type checkers: a line with `# wrong` has an error, and no other line has."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, assert_type

from holdfast.tasks import INJECTED, Depends, Enqueued, Handle, Job, Retry, Task, Tasks

tasks = Tasks()


@dataclass
class Sent:
    to: str


@tasks.task
def bare(user_id: int) -> Sent:
    return Sent(str(user_id))


@tasks.task(queue="mail", retry=Retry(base=timedelta(seconds=5)), timeout=30)
def send(user_id: int, template: str = "welcome") -> Sent:
    return Sent(f"{user_id} {template}")


@tasks.task(queue="reports")
async def report(job: Job, month: str) -> int:
    job.note(month)
    return job.attempt


@tasks.task
def noted(job: Job, *, page: int = 1) -> None:
    job.note(page)


@tasks.task
async def free(payload: dict[str, Any]) -> list[str]:
    return list(payload)


@tasks.task
def anything(*, payload: Any) -> int:
    return len(payload)


@tasks.cron("0 3 * * *", tz="Europe/Vienna")
@tasks.task(queue="reports")
def nightly(days: int = 30) -> None:
    assert days


@tasks.every(timedelta(hours=1))
async def hourly() -> None: ...


@tasks.declare(queue="elsewhere")
def declared(name: str) -> bytes:
    raise NotImplementedError


@tasks.task(queue="rows", batch=100, wait=timedelta(seconds=0.5))
def insert(rows: list[Sent]) -> list[int | Exception]:
    return [len(row.to) for row in rows]


@tasks.task(batch=10, max_attempts=3)
async def ainsert(jobs: list[Job], rows: list[int]) -> None:
    assert jobs
    assert rows


def get_session() -> Iterator[Sent]:
    yield Sent("a")


@tasks.task
def injected(user_id: int, session: Annotated[Sent, Depends(get_session)] = INJECTED) -> str:
    return session.to


@tasks.task
async def as_default(job: Job, session: Sent = Depends(get_session)) -> str:
    return f"{session.to} {job.id}"


@tasks.task
def without_default(user_id: int, session: Annotated[Sent, Depends(get_session)]) -> str:
    return f"{session.to} {user_id}"


@tasks.task(batch=10)
def injected_in_a_batch(rows: list[int], session: Annotated[Sent, Depends(get_session)] = INJECTED) -> list[str]:
    return [session.to for _ in rows]


@tasks.task(batch="many")  # wrong
def sized(rows: list[int]) -> None: ...


@tasks.task(batch=10)  # wrong
def no_list(row: int) -> None: ...


@tasks.task(queue="mail", max_retries=3)  # wrong
def misspelt() -> None: ...


@tasks.task(priority="high")  # wrong
def rated() -> None: ...


def right() -> None:
    assert_type(bare.enqueue(7), Enqueued[Sent])
    assert_type(bare.enqueue(user_id=7).result(timeout=timedelta(seconds=1)), Sent)
    assert_type(send.options(delay=timedelta(minutes=5)).enqueue(7, template="x"), Enqueued[Sent])
    assert_type(send.many(send.job(n) for n in range(3)), list[Enqueued[Sent]])
    assert_type(send.then(report, "2026-12").then(nightly).enqueue(7), Enqueued[Sent])
    assert_type(send.enqueue(7).receipt.duplicate, bool)
    assert_type(send.handle(7), Handle[Sent])
    assert_type(send(7), Sent)
    anything.enqueue(payload=[1])
    assert_type(report.enqueue("2026-12"), Enqueued[int])
    assert_type(noted(page=2), None)
    assert_type(nightly.enqueue(days=3), Enqueued[None])
    assert_type(declared.enqueue("a").result(), bytes)
    assert_type(insert.enqueue(Sent("a")).result(), int)
    assert_type(insert.many(insert.job(Sent(str(n))) for n in range(3)), list[Enqueued[int]])
    assert list(insert([Sent("a")])) == [1]
    assert_type(injected.enqueue(7), Enqueued[str])
    assert_type(injected(7, session=Sent("b")), str)
    assert_type(as_default.enqueue(), Enqueued[str])
    assert_type(injected_in_a_batch.enqueue(7), Enqueued[str])
    tasks.stub("other", queue="mail").enqueue(anything=1)
    tasks.batch([send.job(7)], on_success=report.job("2026-12"), closed=False)
    accepts(send)


async def right_in_coroutines() -> None:
    assert_type(await send.aenqueue(7), Enqueued[Sent])
    assert_type(await (await report.aenqueue("2026-12")).aresult(), int)
    assert_type(await report("2026-12"), int)
    assert_type(await free.options(queue="other").amany([free.job({"a": 1})]), list[Enqueued[list[str]]])
    assert_type(await hourly(), None)
    assert_type(await ainsert.options(delay=5).aenqueue(7), Enqueued[None])
    await ainsert([7])


def accepts(task: Task[..., Any]) -> str:
    return task.name


def wrong() -> None:
    bare.enqueue("7")  # wrong
    bare.enqueue()  # wrong
    send.enqueue(7, tempalte="x")  # wrong
    send.enqueue(user_id=7, template=3)  # wrong
    send.options(delay=timedelta(minutes=5)).enqueue("7")  # wrong
    send.options(dealy=5)  # wrong
    send.options(on_conflict="replaced")  # wrong
    send.then(report, 12)  # wrong
    send.then(report)  # wrong
    send.job()  # wrong
    send.many([7])  # wrong
    report.enqueue(month="2026-12", job=1)  # wrong
    noted.enqueue(page="2")  # wrong
    free.enqueue([1])  # wrong
    nightly.enqueue(days="all")  # wrong
    declared.enqueue(1)  # wrong
    injected.enqueue("7")  # wrong
    without_default.enqueue(7)  # wrong
    injected_in_a_batch.enqueue("7")  # wrong
    insert.enqueue([Sent("a")])  # wrong
    tasks.batch([send.job(7)], on_succes=report.job("2026-12"))  # wrong
    insert.enqueue(to="a")  # wrong
    insert(Sent("a"))  # wrong
    send("7")  # wrong


async def wrong_in_coroutines() -> None:
    await send.aenqueue("7")  # wrong
    await report.aenqueue()  # wrong
    await report(month=12)  # wrong
