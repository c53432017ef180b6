"""Jobs that stand aside for a budget, where other features meet them: deadlines, batches, types, operations."""

import pytest

import holdfast.committer.lease
import holdfast.stores.postgres.budgets
import holdfast.stores.postgres.loader
import holdfast.stores.sqlite.loader
from holdfast.errors import InvalidRequest
from holdfast.job.budget import Charge
from holdfast.job.closing import Closing
from holdfast.job.job import State
from holdfast.job.job_batch import ClosingJob
from holdfast.job.operation import STATES, Do, JobFilter
from holdfast.limits import BUDGET_NEXT, BUDGET_PASSED, BUDGET_UNCLAIMED_MS
from holdfast.messages.budget_commands import BlockBudget, DeleteBudget, SetBudget
from holdfast.messages.commands import ConcludeLease, PauseQueue
from holdfast.messages.job_batches import CancelJobBatch, MakeJobBatch, PutClosingJobs
from holdfast.messages.operations import StartOperation
from holdfast.messages.queries import ExplainJob
from holdfast.messages.time_commands import AdmitWaiting, EndOverdue, FillTypes

EXPIRED = (State.CANCELLED, "expired")


@pytest.fixture
async def one(client):
    """A budget of which one unit is held at a time."""
    await client.do(SetBudget("one", 1))
    return (Charge("one"),)


async def aside(client, **filters):
    return [job.id for job in await client.walk(**filters) if job.waits is not None]


async def how(client, job_id):
    job = await client.job(job_id)
    return job.state, job.reason


async def test_who_stands_aside_expires_there(client, new, one):
    await client.put_all([new(budgets=one), new(budgets=one, expires_in_ms=100), new(budgets=one)])
    first = await client.take()
    assert await aside(client) == [2, 3]
    facts = await client.ask(ExplainJob(2))
    assert facts.job.deadline == client.now + 100
    assert facts.waits
    client.clock.advance(100)
    assert (await client.do(EndOverdue(10))).count == 1
    assert await how(client, 2) == EXPIRED
    await client.do(ConcludeLease(first.ref()))
    assert (await client.take()).id == 3
    await client.count_again()


async def test_who_is_next_and_has_expired_pays_nothing(client, new, one):
    await client.put_all([new(budgets=one, expires_in_ms=100), new(budgets=one, expires_in_ms=100), new(budgets=one)])
    client.clock.advance(100)
    granted = [each.job.id for _ in range(3) for each in await client.lease(limit=5)]
    await client.do(EndOverdue(10))
    granted += [each.job.id for each in await client.lease(limit=5)]
    assert granted == [3]
    assert [await how(client, number) for number in (1, 2)] == [EXPIRED] * 2
    await client.count_again()


async def test_members_that_stand_aside_are_counted_and_cancelled(client, new, one):
    closing = [ClosingJob(Closing.FINISH, new("end", budgets=one))]
    made = await client.do(MakeJobBatch([new(budgets=one) for _ in range(3)], closed=True, closing=closing))
    first = await client.take()
    left = await aside(client, batch=made.id)
    assert len(left) == 2
    assert (await client.do(CancelJobBatch(made.id, tuple(left)))).count == 2
    await client.do(ConcludeLease(first.ref()))
    assert (await client.take("end")).extras.closes.batch == made.id
    batch = await client.batch(made.id)
    assert (batch.pending, batch.concluded, batch.cancelled) == (0, 1, 2)
    await client.count_again()


async def test_a_closing_job_waits_for_its_budget(client, new, one):
    closing = [ClosingJob(Closing.FINISH, new("end", budgets=one))]
    await client.do(MakeJobBatch([new()], closed=True, closing=closing))
    await client.put("other", budgets=one)
    holder = await client.take("other")
    await client.do(ConcludeLease((await client.take()).ref()))
    assert len(await aside(client, queue="end")) == 1
    await client.do(ConcludeLease(holder.ref()))
    await client.do(AdmitWaiting(10))
    assert (await client.take("end")).extras.closes is not None


async def test_a_closing_job_names_a_budget_that_there_is(client, new, one):
    bad = [ClosingJob(Closing.FINISH, new("end", budgets=(Charge("none"),)))]
    with pytest.raises(InvalidRequest, match="no budget none"):
        await client.do(MakeJobBatch([new()], closed=True, closing=bad))
    made = await client.do(MakeJobBatch([new()], closed=True, closing=[ClosingJob(Closing.FINISH, new("end", budgets=one))]))
    await client.do(DeleteBudget("one"))
    await client.do(ConcludeLease((await client.take()).ref()))
    assert (await client.do(PutClosingJobs(10))).count == 0, "it is owed until there is one again"
    await client.do(SetBudget("one", 1))
    assert (await client.do(PutClosingJobs(10))).count == 1
    assert (await client.take("end")).extras.closes.batch == made.id


async def test_who_comes_back_into_a_queue_that_is_kept_by_type_has_its_type(client, new, one, monkeypatch):
    for module in (holdfast.committer.lease, holdfast.stores.sqlite.loader, holdfast.stores.postgres.loader):
        monkeypatch.setattr(module, "TYPES_HEAD", 4)
    await client.put_all([new(type="other") for _ in range(9)])
    await client.put_all([new(type="mail", budgets=one) for _ in range(3)])
    assert await client.lease(types=("none",)) == []
    while (await client.do(FillTypes("q", 3))).count:
        pass
    for number in (10, 11, 12):
        (granted,) = await client.lease(limit=5, types=("mail",))
        assert granted.job.id == number
        assert await client.lease(types=("mail",)) == []
        await client.do(ConcludeLease(granted.job.ref()))
    await client.put_all([new(type="mail", budgets=one)])
    await client.do(BlockBudget("one", None, 1_000))
    assert await client.lease(types=("mail",)) == []
    assert await aside(client) == [13]
    client.clock.advance(1_000)
    await client.do(AdmitWaiting(10))
    assert [each.job.id for each in await client.lease(types=("mail",))] == [13]
    await client.count_again()


@pytest.mark.parametrize("do", [Do.CANCEL, Do.DELETE, Do.MOVE])
async def test_an_operation_reaches_who_stands_aside(client, new, one, do):
    await client.put_all([new(budgets=one, expires_in_ms=10_000) for _ in range(4)])
    first = await client.take()
    to = "elsewhere" if do is Do.MOVE else None
    options = {} if to is None else {"to": to}
    await client.do(StartOperation(do, JobFilter("q", state=State.READY), (State.READY,), **options))
    while await client.backend.operations.work(anyhow=True):
        pass
    assert await aside(client, queue="q") == []
    await client.do(ConcludeLease(first.ref()))
    if to is not None:
        await client.do(AdmitWaiting(10))
        assert len(await client.lease(to, limit=5)) == 1
        assert len(await aside(client, queue=to)) == 2
    await client.count_again()


async def test_an_operation_promotes_into_the_line_of_a_budget(client, new, one):
    await client.put_all([new(budgets=one, delay_ms=10_000) for _ in range(3)])
    await client.do(StartOperation(Do.PROMOTE, JobFilter("q"), STATES[Do.PROMOTE]))
    while await client.backend.operations.work(anyhow=True):
        pass
    assert await aside(client) == [2, 3]
    await client.count_again()


async def test_of_very_many_queues_from_which_nobody_takes_a_bounded_number_is_passed_over(client, new):
    """Each has a line to look at, in every transaction of the account; the others keep what they have."""
    idle = BUDGET_PASSED + 6
    await client.do(SetBudget("many", idle))
    many = (Charge("many"),)
    await client.put_all([new(f"idle-{number}", budgets=many) for number in range(idle)])
    await client.put_all([new("used", budgets=many) for _ in range(idle)])
    assert await client.lease("used", limit=idle) == []
    for _ in range(2):
        await client.pass_time(BUDGET_UNCLAIMED_MS + 1_000)
        account = (await client.count_accounts_again())[many[0].account]
        assert (account.passed, account.passed_jobs, account.passed_units) == (BUDGET_PASSED,) * 3
        assert account.wake_at is None or account.wake_at > client.now, "no tick looks at it again and again"
    taken = await client.lease("used", limit=idle)
    assert len(taken) == idle - 6, "six keep what they have"
    await client.do(ConcludeLease(taken[0].job.ref()))
    assert len(await client.lease("idle-0", limit=1)) == 1, "who comes back has its turn"
    await client.pass_time(BUDGET_UNCLAIMED_MS + 1_000)
    account = (await client.count_accounts_again())[many[0].account]
    assert account.passed == BUDGET_PASSED, "another one is passed over in its place"


async def test_a_queue_from_which_nobody_takes_keeps_units_from_others_for_a_moment_only(client, new):
    await client.do(SetBudget("two", 2))
    two = (Charge("two"),)
    for name in ("paused", "idle"):
        await client.put_all([new(name, budgets=two) for _ in range(5)])
    await client.do(PauseQueue("paused", True))
    await client.put_all([new("used", budgets=two) for _ in range(3)])
    await client.put_all([new("idle", budgets=two)])
    assert await client.lease("used", limit=9) == []
    await client.pass_time(BUDGET_UNCLAIMED_MS + 1_000)
    await client.count_accounts_again()
    assert await client.lease("used", limit=9) == [], "the second queue keeps them as long"
    await client.pass_time(BUDGET_UNCLAIMED_MS + 1_000)
    await client.count_accounts_again()
    taken = [granted.job for granted in await client.lease("used", limit=9)]
    assert [job.id for job in taken] == [11, 12]
    await client.do(ConcludeLease(taken[0].ref()))
    assert [granted.job.id for granted in await client.lease("used", limit=9)] == [13]
    await client.count_accounts_again()
    await client.do(PauseQueue("paused", False))
    assert await client.lease("paused", limit=9) == [], "two are running"
    await client.put_all([new("used", budgets=two) for _ in range(3)])
    await client.do(ConcludeLease(taken[1].ref()))
    await client.pass_time(0)
    assert await client.lease("used", limit=9) == [], "somebody wants the oldest by now"
    assert [granted.job.id for granted in await client.lease("paused", limit=9)] == [1]
    await client.count_accounts_again()
    await client.count_again()


async def test_dear_jobs_are_not_starved_by_cheap_ones_of_another_queue(client, new):
    await client.do(SetBudget("five", 5))
    five = (Charge("five"),)
    await client.put_all([new("cheap", budgets=five) for _ in range(5)])
    (dear,) = await client.put_all([new("dear", budgets=(Charge("five", "", 5),))])
    running = [granted.job for granted in await client.lease("cheap", limit=5)]
    for _ in range(30):
        await client.put_all([new("cheap", budgets=five)])
        await client.pass_time(2_000)
        assert await client.lease("dear") == [] or not running
        if running:
            await client.do(ConcludeLease(running.pop().ref()))
        running += [granted.job for granted in await client.lease("cheap")]
        if not running:
            break
    await client.pass_time(0)
    assert [granted.job.id for granted in await client.lease("dear")] == [dear.id]
    await client.count_again()


async def test_jobs_that_come_into_a_paused_queue_keep_no_units_from_others(client, new):
    await client.do(SetBudget("two", 2))
    (plain,) = await client.put_all([new("paused")])
    await client.do(PauseQueue("paused", True))
    two = (Charge("two"),)
    await client.put_all([new("paused", budgets=two) for _ in range(5)])
    await client.put_all([new("used", budgets=two) for _ in range(3)])
    await client.count_accounts_again()
    assert [granted.job.id for granted in await client.lease("used", limit=9)] == [plain.id + 6, plain.id + 7]
    await client.do(PauseQueue("paused", False))
    assert [granted.job.id for granted in await client.lease("paused", limit=9)] == [plain.id]
    for job in await client.walk(state=State.LEASED):
        await client.do(ConcludeLease(job.ref()))
        await client.pass_time(0)
    assert [granted.job.id for granted in await client.lease("paused", limit=9)] == [plain.id + 1, plain.id + 2]
    await client.count_again()


@pytest.mark.parametrize("paused", [False, True])
async def test_a_thousand_next_of_a_queue_passed_over_are_not_looked_at_without_end(client, new, paused):
    await client.do(SetBudget("many", 2 * BUDGET_NEXT))
    many = (Charge("many"),)
    await client.put("idle")
    await client.do(PauseQueue("idle", paused))
    for _ in range(2):
        await client.put_all([new("idle", budgets=many) for _ in range(BUDGET_NEXT)])
    client.clock.advance(BUDGET_UNCLAIMED_MS + 1_000)
    looks = 0
    while (await client.do(AdmitWaiting(10))).count:
        looks += 1
        assert looks < 5, "as long as nobody takes from it, time alone lets nobody in"
    await client.do(PauseQueue("idle", False))
    assert len(await client.lease("idle", limit=6)) == 6
    await client.pass_time(0)
    assert sum([job.waits is None for job in await client.walk(queue="idle", state=State.READY)]) == BUDGET_NEXT
    await client.count_accounts_again()


async def test_queues_passed_over_in_which_nobody_waits_are_not_read(client, new, monkeypatch):
    reads = []
    for rows in (holdfast.stores.postgres.budgets.BudgetRows, holdfast.stores.sqlite.loader.Loader):
        read = rows.waiting_in
        monkeypatch.setattr(
            rows,
            "waiting_in",
            lambda self, one, queues, *rest, read=read: reads.append(queues) or read(self, one, queues, *rest),
        )
    await client.do(SetBudget("two", 2))
    two = (Charge("two"),)
    for n in range(12):
        await client.put(f"paused{n}")
        await client.do(PauseQueue(f"paused{n}", True))
        await client.put_all([new(f"paused{n}", budgets=two) for _ in range(1 if n else 4)])
    await client.put_all([new("used", budgets=two)])
    await client.pass_time(0)
    taken = await client.take("used")
    reads.clear()
    await client.do(ConcludeLease(taken.ref()))
    assert len(reads) <= 2, "of 13 lines one has jobs"
    await client.count_accounts_again()
