"""Budgets by the client and the worker, against a real server."""

import itertools

import pytest

from holdfast import BackOff, NewJob, Worker
from holdfast.client import Block, Charge, Fail, Release
from holdfast.errors import BudgetInUse, BudgetNotFound, InvalidRequest
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until

_numbers = itertools.count()


@pytest.fixture
def name():
    return f"budget-{next(_numbers)}"


def test_a_budget_is_made_changed_listed_blocked_and_removed(client, queue, name):
    made = client.set_budget(name, 10, per_ms=60_000, burst=2)
    assert (made.limit, made.per_ms, made.burst, made.left) == (10, 60_000, 2, 2)
    assert client.set_budget(name, 3).per_ms is None
    assert [one.limit for one in client.budgets() if one.name == name] == [3]
    client.enqueue(queue, budgets=[Charge(name, key="t", cost=2)])
    client.enqueue(queue, budgets=[Charge(name, key="t", cost=2)])
    (job,) = client.lease(queue, max=5)
    assert job.budgets == [Charge(name, "t", 2)]
    shown = client.budget(name)
    assert [(one.key, one.left, one.running, one.waiting) for one in shown.some] == [("t", 1, 2, 1)]
    assert client.block_budget(name, 60_000).blocked_until is not None
    assert client.unblock_budget(name).blocked_until is None
    with pytest.raises(BudgetInUse):
        client.delete_budget(name)
    client.delete_budget(name, force=True)
    with pytest.raises(BudgetNotFound):
        client.budget(name)


def test_why_says_which_budget_a_job_waits_for(client, queue, name):
    client.set_budget(name, 1, per_ms=3_600_000)
    first, second = client.enqueue_many([NewJob(queue=queue, budgets=[Charge(name)]) for _ in range(2)])
    assert [job.id for job in client.lease(queue, max=2)] == [first.id]
    why = client.why(second.id)
    assert [reason.code for reason in why.reasons] == ["waits_for_budget"]
    assert f"the budget {name}" in why.reasons[0].detail
    (wait,) = why.budgets
    assert (wait.budget, wait.left, wait.in_its_line, wait.ahead) == (name, 0, True, 0)
    assert wait.earliest is not None


def test_what_can_not_be_is_refused_by_its_field(client, queue, name):
    client.set_budget(name, 1)
    for budgets, field in (
        ([Charge("no-such")], "budgets[0].name"),
        ([Charge(name, cost=2)], "budgets[0].cost"),
        ([Charge(name), Charge(name)], "budgets[1]"),
        ([Charge(f"{name}-{n}") for n in range(9)], "budgets"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            client.enqueue(queue, budgets=budgets)
        assert refused.value.fields["field"] == field
    for limit, options, field in ((0, {}, "limit"), (1, {"burst": 1}, "burst"), (1, {"per_ms": 0}, "per_ms")):
        with pytest.raises(InvalidRequest) as refused:
            client.set_budget(name, limit, **options)
        assert refused.value.fields["field"] == field


def test_a_release_and_a_failure_block(client, queue, name):
    client.set_budget(name, 5)
    client.enqueue_many([NewJob(queue=queue, budgets=[Charge(name)]) for _ in range(3)])
    one, two = client.lease(queue, max=2)
    client.release(one.lease.token, block=Block(name, 60_000))
    assert client.lease(queue, max=5) == []
    client.unblock_budget(name)
    client.batch([Fail(token=two.lease.token, reason="429", delay_ms=0, block=Block(name, 60_000))])
    assert client.lease(queue, max=5) == []
    client.unblock_budget(name)
    jobs = client.lease(queue, max=5)
    client.batch([Release(token=job.lease.token, block=Block(name, 50)) for job in jobs])
    assert client.budget(name, key="").some[0].waiting == 3


def test_the_settings_of_a_queue_add_what_each_new_job_costs(client, queue, name):
    client.set_budget(name, 2)
    client.set_queue(queue, budgets=[Charge(name)])
    assert client.queue(queue).settings["budgets"] == [{"name": name}]
    client.enqueue_many([NewJob(queue=queue) for _ in range(3)] + [NewJob(queue=queue, budgets=[Charge(name)])])
    assert len(client.lease(queue, max=9)) == 2
    with pytest.raises(BudgetInUse):
        client.delete_budget(name)
    with pytest.raises(InvalidRequest):
        client.set_queue(queue, budgets=[Charge("no-such")])


def test_a_worker_that_backs_off_blocks_the_account_and_spends_no_attempt(shared, witness, queue, name):
    witness.set_budget(name, 5)
    worker = Worker(queue, url=shared.url)
    asked = []

    @worker.handler()
    def ask(job):
        asked.append(job.attempt)
        if len(asked) == 1:
            raise BackOff(name, for_ms=400)
        return "done"

    job = witness.enqueue(queue, budgets=[Charge(name, key="t")])
    with running(worker):
        until(lambda: asked, "the handler is called")
        assert witness.result(job.id, 20) == "done"
    assert asked == [1, 2]
    assert (witness.job(job.id).failures, witness.job(job.id).crashes) == (0, 0)
