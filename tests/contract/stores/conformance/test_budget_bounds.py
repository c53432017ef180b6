"""Budgets at their bounds: a start that is given back late, costs that add up, settings and policies that change meanwhile, callers that meet."""

import pytest

from holdfast.job.budget import Charge
from holdfast.job.closing import Closing
from holdfast.job.job import OnConflict, State
from holdfast.job.job_batch import ClosingJob
from holdfast.job.queue import QueueSettings
from holdfast.limits import BUDGET_UNITS_MAX
from holdfast.messages.answers import Granted
from holdfast.messages.beanstalk_commands import ReserveJob
from holdfast.messages.budget_commands import SetBudget
from holdfast.messages.commands import ConcludeLease, Enqueue, LeaseJobs, MoveJob, ReleaseLease, SetQueue
from holdfast.messages.frame import Refused
from holdfast.messages.job_batches import MakeJobBatch

ONE = (Charge("b"),)


async def started(client, *queues, limit=100):
    return [granted.job for granted in await client.lease(*queues, limit=limit)]


async def test_a_start_that_is_given_back_late_gives_no_units_that_time_has_refilled(client, new):
    await client.do(SetBudget("b", 10, 1_000, 2))
    await client.put_all([new(budgets=ONE) for _ in range(6)])
    first = (await started(client, limit=1))[0]
    await client.pass_time(100)
    assert len(await started(client)) == 2, "the burst"
    await client.do(ReleaseLease(first.ref()))
    assert await started(client) == [], "its unit came back before, and was spent"
    await client.pass_time(100)
    assert [job.id for job in await started(client)] == [first.id]


async def test_what_time_has_not_refilled_is_given_back(client, new):
    await client.do(SetBudget("b", 10, 1_000, 5))
    await client.put_all([new(budgets=(Charge("b", "", 5),)) for _ in range(2)])
    (first,) = await started(client)
    await client.pass_time(200)
    await client.do(ReleaseLease(first.ref()))
    assert [job.id for job in await started(client)] == [first.id], "three were given back, and two refilled"
    await client.pass_time(499)
    assert await started(client) == []
    await client.pass_time(1)
    assert len(await started(client)) == 1


@pytest.mark.parametrize("before", [SetBudget("b", 9), SetBudget("b", 10, 1_000, 2), SetBudget("b", 9, 1_000, 9)])
async def test_a_start_under_another_policy_gives_nothing_back(client, new, before):
    await client.do(before)
    await client.put_all([new(budgets=ONE) for _ in range(12)])
    held = await started(client, limit=2)
    await client.pass_time(10_000)
    await client.do(SetBudget("b", 10, 1_000, 4))
    await client.pass_time(0)
    assert len(await started(client)) == 4
    for job in held:
        await client.do(ReleaseLease(job.ref()))
    assert await started(client) == []


async def test_a_cost_is_added_to_that_of_the_queue_also_where_both_are_the_most(client, new):
    most = (Charge("b", "", BUDGET_UNITS_MAX),)
    await client.do(SetBudget("b", BUDGET_UNITS_MAX))
    await client.do(SetQueue("q", QueueSettings(budgets=most), whole=False))
    await client.put_all([new(budgets=most) for _ in range(2)])
    (job,) = await started(client)
    assert job.extras.budgets == (Charge("b", "", 2 * BUDGET_UNITS_MAX),)
    assert await started(client) == []
    await client.do(ConcludeLease(job.ref()))
    assert len(await started(client)) == 1
    await client.count_again()


async def test_a_command_that_is_decided_again_adds_the_cost_of_its_queue_once(client, new):
    await client.do(SetBudget("b", 9))
    await client.do(SetQueue("q", QueueSettings(budgets=ONE), whole=False))
    command = Enqueue([new(), new(budgets=ONE)])
    for _ in range(2):
        await client.do(command)
    costs = [[charge.cost for charge in job.extras.budgets] for job in await client.walk()]
    assert sorted(costs) == [[1], [1], [2], [2]]


async def test_a_job_that_replaces_another_pays_what_the_queue_adds_now(client, new):
    await client.do(SetBudget("b", 9))
    await client.put(unique_key="u", budgets=ONE)
    await client.do(SetQueue("q", QueueSettings(budgets=(Charge("b", "", 2),)), whole=False))
    for on, own, paid in ((OnConflict.REPLACE, 1, 3), (OnConflict.DEBOUNCE, 4, 6), (OnConflict.EXISTING, 1, 6)):
        await client.put(unique_key="u", on_conflict=on, budgets=(Charge("b", "", own),))
        (job,) = await client.walk()
        assert [charge.cost for charge in job.extras.budgets] == [paid]
        await client.count_again()
    moved = (await client.do(MoveJob(1, "r"))).jobs[0].id
    assert (await client.job(moved)).extras.budgets == (Charge("b", "", 4),)


async def test_a_follow_up_and_a_closing_job_pay_what_their_queue_adds_and_leave_it_there(client, new):
    await client.do(SetBudget("b", 9))
    for queue in ("q", "end"):
        await client.do(SetQueue(queue, QueueSettings(budgets=ONE), whole=False))
    await client.do(MakeJobBatch([new()], closed=True, closing=[ClosingJob(Closing.FINISH, new("end", budgets=ONE))]))
    (first,) = await started(client)
    await client.do(ConcludeLease(first.ref(), then=[new("r"), new("q", budgets=ONE)]))
    costs = {job.queue: job.extras.budgets for job in await client.walk() if job.id != first.id}
    assert costs == {"r": (), "q": (Charge("b", "", 2),), "end": (Charge("b", "", 2),)}
    await client.count_again()


@pytest.mark.parametrize(("put_under", "moved_under"), [(ONE, ()), ((), ONE), (ONE, (Charge("b", "", 3),))])
async def test_a_moved_job_leaves_behind_what_its_queue_has_added_and_keeps_its_own(client, new, put_under, moved_under):
    await client.do(SetBudget("b", 9))
    own = (Charge("b", "", 2), Charge("b", "k"))
    await client.do(SetQueue("q", QueueSettings(budgets=put_under), whole=False))
    await client.do(SetQueue("r", QueueSettings(budgets=(Charge("b", "k", 2),)), whole=False))
    await client.put(budgets=own)
    await client.do(SetQueue("q", QueueSettings(budgets=moved_under), whole=False))
    there = (await client.do(MoveJob(1, "r"))).jobs[0].id
    assert (await client.job(there)).extras.budgets == (Charge("b", "", 2), Charge("b", "k", 3))
    elsewhere = (await client.do(MoveJob(there, "s"))).jobs[0].id
    assert (await client.job(elsewhere)).extras.budgets == own
    await client.count_again()


async def test_jobs_that_are_taken_by_their_ids_together_pay_one_after_the_other(client, new):
    await client.do(SetBudget("b", 5))
    await client.put_all([new(budgets=ONE) for _ in range(5)])
    await client.do(SetBudget("b", 2))
    results = await client.together(*[ReserveJob(number, "w") for number in range(1, 6)])
    assert [isinstance(result, Granted) for result in results] == [True, True, False, False, False]
    assert all(result.code == "wrong_state" for result in results if isinstance(result, Refused))
    await client.count_again()
    assert await started(client) == []
    assert len(await client.walk(state=State.LEASED)) == 2


async def test_a_call_for_which_others_left_nothing_to_pay_looks_behind_those_that_can_not(client, new):
    await client.do(SetBudget("b", 4))
    await client.put_all([new(budgets=ONE) for _ in range(4)])
    await client.put_all([new() for _ in range(2)])
    await client.do(SetBudget("b", 2))
    calls = [client.backend.submit(LeaseJobs(("q",), 2, "w")) for _ in range(2)]
    assert [[granted.job.id for granted in (await call).jobs] for call in calls] == [[1, 2], [5, 6]]
