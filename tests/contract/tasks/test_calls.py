"""Calls become jobs that anybody can read, and results come back with their types."""

import asyncio
import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import msgspec
import pydantic
import pytest

from holdfast import NewJob
from holdfast.client import Charge
from holdfast.errors import NotUnique
from holdfast.tasks import InvalidArguments, Job, NotConcluded, Retry, Tasks
from tests.system.whole.servers import until

Level = Annotated[int, msgspec.Meta(le=10)]


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Item:
    name: str
    price: Decimal


class Line(pydantic.BaseModel):
    item: str
    count: int = pydantic.Field(gt=0)


class Order(pydantic.BaseModel):
    number: UUID
    lines: list[Line]
    at: datetime


class Renamed(pydantic.BaseModel):
    order_number: int = pydantic.Field(alias="orderNumber")


class Box(msgspec.Struct):
    items: list[Item]
    order: Order | None = None


ORDER = Order(number=UUID(int=7), lines=[Line(item="nail", count=3)], at=datetime(2026, 12, 1, tzinfo=UTC))
VALUES: list[tuple[Any, Any]] = [
    (int, 10**15),
    (float, 1.5),
    (str, "ä"),
    (bool, True),
    (bytes, b"\x00\xff"),
    (datetime, datetime(2026, 12, 1, 3, tzinfo=UTC)),
    (date, date(2026, 12, 1)),
    (timedelta, timedelta(minutes=5)),
    (UUID, UUID(int=7)),
    (Decimal, Decimal("1.10")),
    (Colour, Colour.RED),
    (Literal["a", "b"], "b"),
    (Item, Item("nail", Decimal("0.05"))),
    (dict[int, list[Item]], {3: [Item("nail", Decimal(1))]}),
    (tuple[int, str], (1, "a")),
    (set[str], {"a", "b"}),
    (int | None, None),
    (Box, Box([Item("nail", Decimal(2))], ORDER)),
    (Order, ORDER),
    (list[Order], [ORDER]),
    (Renamed, Renamed(orderNumber=7)),
    (dict[str, Any], {"a": [1, None, {"b": 2.5}]}),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=range(len(VALUES)))
def test_arguments_and_results_have_the_types_of_their_annotations(tasks, kind, value):
    def echo(given):
        assert given == value
        assert type(given) is type(value)
        return given

    echo.__annotations__ = {"given": kind, "return": kind}
    task = tasks.task(echo)
    with tasks.eager():
        got = task.enqueue(value).result()
    assert got == value
    assert type(got) is type(value)


def test_a_result_that_is_not_as_annotated_is_told_to_who_asks_for_it(tasks):
    @tasks.task
    def count(of: str) -> int:
        return of  # type: ignore[return-value]

    with tasks.eager(), pytest.raises(ValueError, match="count: its result: expected `int`, got `str`"):
        count.enqueue("seven").result()


def test_keys_are_made_of_what_the_worker_reads_however_it_was_given(tasks):
    @tasks.task(unique=lambda month: f"{month:%Y-%m}", group=lambda order: order.number)
    def close(month: date, order: Order) -> None: ...

    for given in (date(2026, 12, 1), "2026-12-01"):
        job = close.job(given, ORDER.model_dump(mode="json"))
        assert (job.unique_key, job.group_key) == ("close:2026-12", str(ORDER.number))


def test_a_call_is_a_job_with_its_arguments_by_name(tasks, witness):
    @tasks.task(queue="by-name", priority=10, max_attempts=3, tags=["a"], meta={"tenant": "7"}, lease=timedelta(seconds=90))
    def send(user_id: int, at: date, template: str = "welcome") -> None: ...

    handle = send.enqueue(7, at=date(2026, 12, 1))
    job = witness.job(handle.id)
    assert (job.queue, job.type, job.payload) == ("by-name", "send", {"user_id": 7, "at": "2026-12-01"})
    assert (job.priority, job.max_attempts, job.tags, job.meta) == (10, 3, ["a"], {"tenant": "7"})
    assert (handle.receipt.state, handle.durability) == ("ready", "disk")


def test_a_worker_runs_functions_and_coroutines_and_gives_them_the_job(tasks, working, witness, loop):
    @tasks.task
    def double(n: int) -> int:
        return 2 * n

    @tasks.task
    async def item(job: Job, name: str) -> Item:
        await asyncio.sleep(0)
        return Item(f"{name} {job.attempt} {job.queue}", Decimal(1))

    with working(tasks):
        assert double.enqueue(4).result(timeout=20) == 8
        assert item.enqueue("nail").result(timeout=timedelta(seconds=20)) == Item(f"nail 1 {item.queue}", Decimal(1))

        async def both() -> tuple[int, Item]:
            first, second = await double.aenqueue(5), await item.aenqueue(name="bolt")
            return await first.aresult(20), await second.aresult(20)

        assert loop.run(both()) == (10, Item(f"bolt 1 {item.queue}", Decimal(1)))
        from_a_shell = witness.enqueue(double.queue, {"n": 6}, type="double")
        assert double.handle(from_a_shell.id).result(20) == 12


def test_a_worker_runs_in_each_kind_of_event_loop(tasks, loop):
    @tasks.task
    async def where() -> str:
        return type(asyncio.get_running_loop()).__module__

    handle = where.enqueue()
    worker = tasks.worker()

    async def work() -> str:
        working = asyncio.create_task(worker.work())
        said = await handle.aresult(20)
        worker.stop()
        await working
        return said

    assert loop.run(work()).partition(".")[0] in ("asyncio", "uvloop")


def test_called_it_is_the_plain_function(tasks):
    @tasks.task
    def double(n: int) -> int:
        """Twice as much."""
        return 2 * n

    @tasks.task
    async def number(job: Job, n: int = 3) -> int:
        job.note("no server is there")
        return job.attempt + n

    assert double(4) == 8
    assert asyncio.run(number()) == 4
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")


@pytest.mark.parametrize(
    ("args", "kwargs", "said"),
    [
        ((), {}, "missing a required argument: 'user_id'"),
        ((1, 2, 3, 4, 5), {}, "too many positional arguments"),
        ((1,), {"usr": 1}, "got an unexpected keyword argument 'usr'"),
        (("seven",), {}, "user_id: expected `int`, got `str`"),
        ((True,), {}, "user_id: expected `int`, got `bool`"),
        ((1,), {"item": {"name": "nail"}}, "item: no argument `price`"),
        ((1,), {"item": Item("nail", "many")}, "item.price: invalid decimal string"),
        ((1,), {"item": object()}, "item: no rule to write object as JSON"),
        ((1,), {"share": float("nan")}, "share: NaN"),
        ((1,), {"level": 11}, "level: expected `int` <= 10"),
    ],
)
def test_a_wrong_argument_is_named_before_anything_is_sent(tasks, witness, args, kwargs, said):
    @tasks.task
    def send(user_id: int, item: Item | None = None, share: float | None = None, level: Level = 1) -> None: ...

    with pytest.raises(InvalidArguments, match=said):
        send.enqueue(*args, **kwargs)
    with pytest.raises(InvalidArguments, match=r"^send: "):
        asyncio.run(send.aenqueue(*args, **kwargs))
    assert send.queue not in [queue.name for queue in witness.queues()]


def test_a_wrong_field_of_a_model_is_named(tasks):
    @tasks.task
    def ship(orders: list[Order]) -> None: ...

    with (
        tasks.eager(),
        pytest.raises(InvalidArguments, match=r"^ship: orders\[0\]: lines\.0\.count: Input should be greater than 0"),
    ):
        ship.enqueue([{**ORDER.model_dump(mode="json"), "lines": [{"item": "nail", "count": 0}]}])


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"user_id": "seven"}, "send: user_id: expected `int`, got `str`"),
        ({}, "send: no argument `user_id`"),
        ({"user_id": 1, "usr": 2}, "send: there is no argument `usr`"),
        ([1], "send: expected `object`, got `array`"),
        (b"1", "send: the payload is application/octet-stream, and not a JSON object of its arguments"),
    ],
)
def test_a_payload_that_a_task_cannot_read_is_dead_at_once_with_the_reason(tasks, working, witness, payload, said):
    @tasks.task
    def send(user_id: int) -> None: ...

    with working(tasks):
        job = witness.wait(witness.enqueue(send.queue, payload, type="send").id, 20)
    assert (job.state, job.failures, job.errors[0].reason) == ("dead", 1, said)


def test_a_job_whose_follow_ups_cannot_be_read_is_not_run(tasks, working, witness):
    ran = []

    @tasks.task
    def send() -> None:
        ran.append("send")

    with working(tasks):
        job = witness.wait(send.options(meta={"holdfast.then": '[{"type": "x"}]'}).enqueue().id, 20)
    assert (job.state, ran) == ("dead", [])
    assert "its meta holdfast.then can't be read: Object missing required field `queue`" in job.errors[0].reason


def test_a_result_that_is_no_json_is_dead_with_a_sentence(tasks, working, witness):
    @tasks.task
    def odd() -> Any:
        return object()

    with working(tasks):
        handle = odd.enqueue()
        with pytest.raises(NotConcluded, match="it was done, but its result can't be written as JSON: no rule to write object"):
            handle.result(20)


def test_whose_job_it_is_comes_from_arguments(tasks, witness):
    @tasks.task(fair=lambda tenant: tenant, fair_cost=3)
    def report(tenant: str, year: int) -> None: ...

    job = witness.job(report.enqueue("t-7", 2026).id)
    assert (job.fair_key, job.fair_cost) == ("t-7", 3)
    assert witness.job(report.options(fair="all").enqueue("t-7", 2026).id).fair_key == "all"
    with pytest.raises(InvalidArguments, match=r"fair: .* is no key of 1 to 128 characters"):
        report.enqueue("x" * 129, 2026)


def test_unique_and_group_keys_come_from_arguments(tasks, witness):
    @tasks.task(unique=lambda user_id: f"u{user_id}", group=lambda user_id, region: f"{region}-{user_id}", group_limit=2)
    def sync(user_id: int, region: str = "eu") -> None: ...

    @tasks.task(unique=lambda user_id: f"u{user_id}", on_conflict="existing", unique_while="queued")
    def mail(user_id: int) -> None: ...

    first = sync.enqueue(7)
    job = witness.job(first.id)
    assert (job.unique_key, job.group_key, job.group_limit) == ("sync:u7", "eu-7", 2)
    with pytest.raises(NotUnique):
        sync.enqueue(7, region="us")
    held = mail.enqueue(7)  # another task has keys of its own
    again = mail.enqueue(7)
    assert (again.id, again.receipt.duplicate, witness.job(held.id).unique_while) == (held.id, True, "queued")
    put_off = mail.options(delay=60, on_conflict="replace").enqueue(7)
    assert put_off.id == held.id
    with pytest.raises(InvalidArguments, match="unique: None is no key of 1 to 256 characters"):
        sync.options(unique=lambda: None).enqueue(7)


def test_a_task_names_what_it_costs_and_a_call_may_say_otherwise(tasks, witness):
    witness.set_budget(budget := f"b{uuid4().hex}", 5)

    @tasks.task(budgets=[Charge(budget)])
    def ask(page: int) -> None: ...

    assert witness.job(ask.enqueue(1).id).budgets == [Charge(budget)]
    dear = ask.options(budgets=(Charge(budget, key="tenant-7", cost=3),))
    assert witness.job(dear.enqueue(1).id).budgets == [Charge(budget, "tenant-7", 3)]


def test_options_of_a_call_leave_the_task_as_it_is(tasks, witness):
    @tasks.task(delay=5, retry=Retry(base=1, max=timedelta(minutes=1)))
    def send(user_id: int) -> None: ...

    at = datetime.now(UTC) + timedelta(days=1)
    later = witness.job(send.options(run_at=at, queue=f"{send.queue}-b", priority=1).enqueue(1).id)
    assert (later.queue, later.priority) == (f"{send.queue}-b", 1)
    assert abs(later.ready_at - at) < timedelta(seconds=1)
    usual = witness.job(send.enqueue(1).id)
    assert (usual.queue, usual.state, usual.priority) == (send.queue, "scheduled", 1024)
    one, two = (send.options(idempotency_key=f"{send.queue} 7").enqueue(7) for _ in range(2))
    assert one.id == two.id


def test_calls_have_deadlines_and_are_members_of_batches(tasks, witness):
    @tasks.task(expires=timedelta(hours=1))
    def send(user_id: int) -> None: ...

    @tasks.task
    def report(month: str) -> None: ...

    job = witness.job(send.enqueue(1).id)
    assert job.expires_at - job.ready_at == timedelta(hours=1)
    job = witness.job(send.options(expires=30).enqueue(1).id)
    assert job.expires_at - job.ready_at == timedelta(seconds=30)
    made = tasks.client.make_batch((send.job(n) for n in range(3)), closed=False, on_success=report.job("2026-12"))
    joined = send.options(batch=made.id).enqueue(4)
    assert {witness.job(number).batch for number in (*made.jobs, joined.id)} == {made.id}
    assert witness.batch_status(made.id).total == 4


def test_a_batch_of_calls_is_followed_by_another(tasks, working, witness, loop):
    seen = []

    @tasks.around_enqueue
    def tell(job):
        job.meta["tenant"] = "seven"
        yield

    @tasks.task(max_attempts=1)
    def send(user_id: int) -> int:
        if user_id < 0:
            raise LookupError
        return user_id

    @tasks.task
    def report(job: Job, word: str) -> None:
        seen.append((word, job.job.meta["tenant"]))

    with working(tasks):
        good = tasks.batch((send.job(n) for n in range(3)), on_success=report.job("good"), on_failure=report.job("never"))
        bad = loop.run(tasks.abatch([send.job(-1)], name="bad", on_failure=report.job("bad"), on_finish=report.job("over")))
        until(lambda: len(seen) == 3, "they are closed")
        assert [send.handle(number).result(5) for number in good.jobs] == [0, 1, 2]
        assert (witness.batch_status(bad.id).name, witness.batch_status(bad.id).dead) == ("bad", 1)
    assert sorted(seen) == [("bad", "seven"), ("good", "seven"), ("over", "seven")]
    with tasks.eager() as jobs:
        made = tasks.batch([send.job(1)], on_success=report.job("eager"))
        loop.run(tasks.abatch([send.job(2)], on_finish=report.job("eager")))
        assert send.handle(made.jobs[0]).result() == 1
        with pytest.raises(LookupError):
            tasks.batch([send.job(-1)], on_finish=report.job("no"))
    assert [job.type for job in jobs] == ["send", "report", "send", "report", "send"]


def test_many_calls_are_put_together(tasks, witness, loop):
    @tasks.task
    def send(user_id: int) -> None: ...

    @tasks.task
    def other() -> None: ...

    handles = send.many(send.job(n) for n in range(1_200))
    assert len({handle.id for handle in handles}) == 1_200
    assert [witness.job(handle.id).payload for handle in loop.run(send.options(priority=1).amany([send.job(7)]))] == [
        {"user_id": 7}
    ]
    with pytest.raises(InvalidArguments, match=r"send: many takes jobs that send\.job\(…\) made, not <Enqueued"):
        send.many(handles[:1])
    with pytest.raises(InvalidArguments, match=r"a batch is of jobs that task\.job\(…\) made, not <Enqueued"):
        tasks.batch(handles[:1])
    with pytest.raises(InvalidArguments, match=r"many takes jobs that send\.job"):
        send.many([send.job(1), other.job()])
    assert witness.queue(send.queue).jobs.ready == 1_201


def test_what_follows_is_put_with_the_conclusion(tasks, working, witness):
    ran = []

    @tasks.task(max_attempts=1)
    def first(fails: bool) -> None:
        if fails:
            raise RuntimeError("broken")

    @tasks.task
    async def second(job: Job, n: int) -> None:
        ran.append((n, job.job.follows))

    chain = second.options(tags=["x"]).then(second, 3)
    with working(tasks):
        broken = first.then(second, 1).enqueue(fails=True)
        handle = first.then(chain, 2).then(second, n=4).enqueue(fails=False)
        handle.result(20)
        done = witness.job(handle.id)
        two, four = (receipt.id for receipt in done.then)
        (three,) = (receipt.id for receipt in witness.wait(two, 20).then)
        witness.wait(four, 20)
        witness.wait(three, 20)
        assert witness.wait(broken.id, 20).then == []
    assert sorted(ran) == [(2, handle.id), (3, two), (4, handle.id)]


def test_a_producer_makes_no_worker_put_what_is_no_task_of_its_program(tasks, working, witness):
    @tasks.task
    def first() -> None:
        pass

    @tasks.task(queue="elsewhere")
    def second() -> None:
        pass

    with pytest.raises(InvalidArguments, match="only in its own queue, and not in other"):
        first.then(second.options(queue="other"))
    for planted in (NewJob(queue="other", type="second", payload={}), NewJob(queue="elsewhere", type="third", payload={})):
        job = first.job()
        job.meta = {"holdfast.then": msgspec.json.encode([planted]).decode()}
        with working(tasks):
            (made,) = first.many([job])
            ended = witness.wait(made.id, 20)
        assert (ended.state, ended.then) == ("dead", [])
        assert f"has no task '{planted.type}' in the queue {planted.queue}" in ended.errors[-1].reason


def test_a_task_may_put_typed_jobs_with_its_own_conclusion(tasks, working, witness):
    @tasks.task
    def child(n: int) -> int:
        return n

    @tasks.task
    def parent(job: Job) -> None:
        for n in range(3):
            job.follow(child.job(n))

    with working(tasks):
        handle = parent.enqueue()
        handle.result(20)
        assert [child.handle(each.id).result(20) for each in witness.job(handle.id).then] == [0, 1, 2]
    assert isinstance(child.job(1), NewJob)


def test_producers_need_no_function(tasks, server, working):
    @tasks.task(queue="stubs")
    def send(user_id: int) -> int:
        return user_id

    there = Tasks(server.url)
    stub = there.stub("send", queue="stubs")
    with pytest.raises(InvalidArguments, match="name the arguments"):
        stub.enqueue(7)
    elsewhere = Tasks(server.url)

    @elsewhere.declare(queue="stubs", name="send")
    def declared(user_id: int) -> int: ...

    with pytest.raises(InvalidArguments, match=r"^send: user_id: expected `int`"):
        declared.enqueue("7")
    with working(tasks):
        assert stub.enqueue(user_id=7).result(20) == 7
        assert declared.enqueue(8).result(20) == 8
    with pytest.raises(ValueError, match="there is no task to run"):
        elsewhere.worker()
