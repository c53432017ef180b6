"""Enqueueing and results: what a producer sees, in and outside of transactions."""

import pickle
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import SuspiciousOperation
from django.db import transaction
from django.test.utils import override_settings
from django.utils import timezone

from holdfast.django.compat import TASKS, InvalidTask, TaskResultDoesNotExist, TaskResultStatus
from holdfast.django.results import new_id
from holdfast.errors import HoldfastError, NotUnique, QueueNotFound
from tests.contract.django import jobs


def test_a_call_is_stored_and_found_again(backend, witness, prefix, heard):
    result = jobs.add.enqueue(1, b=2)
    assert (result.status, result.args, result.kwargs, result.attempts) == (TaskResultStatus.READY, [1], {"b": 2}, 0)
    assert result.enqueued_at <= timezone.now()
    assert (result.started_at, result.finished_at, result.last_attempted_at) == (None, None, None)
    assert jobs.add.get_result(result.id) == backend.get_result(result.id) == result
    (job,) = witness.jobs(queue=f"{prefix}default")
    assert (job.type, job.priority) == ("tests.contract.django.jobs.add", 1024)
    assert job.payload == {"id": result.id, "args": [1], "kwargs": {"b": 2}}
    assert heard == [("enqueued", result.id, "READY")]


async def test_and_in_a_coroutine(configured):
    for options in ({}, {"ENQUEUE": "now"}):
        with configured(**options) as backend:
            result = await jobs.add_async.aenqueue(1)
            assert await jobs.add_async.aget_result(result.id) == result
            with pytest.raises(TaskResultDoesNotExist):
                await backend.aget_result(new_id())


@pytest.mark.parametrize(
    "id", ["01a23278-b6a3-7ae4-92cb-50a0d1cf4079", "123", "", "é", "\n", "x" * 300, "job-999999", "job-0", None]
)
def test_what_is_not_there_does_not_exist(backend, id):
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(id)


def test_another_process_finds_it_by_its_id(backend):
    from holdfast.django import backend as module  # noqa: PLC0415

    result = jobs.add.enqueue(1)
    module._numbers.clear()
    assert backend.get_result(result.id) == result


def test_ids_are_uuids_that_grow():
    ids = [new_id() for _ in range(3)]
    import uuid  # noqa: PLC0415

    assert {uuid.UUID(id).version for id in ids} == {7}
    assert ids[0][:8] <= ids[1][:8] <= ids[2][:8]


def test_a_job_of_another_program_has_its_number_as_its_id(backend, witness, prefix, drain):
    job = witness.enqueue(f"{prefix}default", {"args": [1, 2]}, type="tests.contract.django.jobs.add")
    assert backend.get_result(f"job-{job.id}").status == TaskResultStatus.READY
    drain(backend)
    assert backend.get_result(f"job-{job.id}").return_value == 3


def test_the_result_of_what_is_no_task_is_refused(backend, witness, prefix):
    job = witness.enqueue(f"{prefix}default", {}, type="tests.contract.django.jobs.no_task")
    with pytest.raises(SuspiciousOperation, match="is no task"):
        backend.get_result(f"job-{job.id}")
    job = witness.enqueue(f"{prefix}default", {}, type="tests.contract.django.jobs.gone")
    with pytest.raises(ImportError):
        backend.get_result(f"job-{job.id}")


def test_priorities_and_times_are_those_of_the_server(backend, witness, prefix):
    at = datetime(2050, 1, 1, 12, tzinfo=UTC)
    results = [jobs.add.using(priority=priority).enqueue(1) for priority in (-100, 0, 100)]
    scheduled = jobs.add.using(run_after=at, queue_name="other").enqueue(1)
    listed = [*witness.jobs(queue=f"{prefix}default"), *witness.jobs(queue=f"{prefix}other")]
    found = {job.payload["id"]: job for job in listed}
    assert [found[result.id].priority for result in results] == [1124, 1024, 924]
    assert (found[scheduled.id].ready_at, found[scheduled.id].queue) == (at, f"{prefix}other")
    assert jobs.add.get_result(scheduled.id) == scheduled
    assert scheduled.status == TaskResultStatus.READY


def test_without_time_zones_moments_are_local(backend):
    with override_settings(USE_TZ=False):
        result = jobs.add.using(run_after=datetime.now() + timedelta(hours=1)).enqueue(1)  # noqa: DTZ005
        assert result.enqueued_at.tzinfo is None
        assert backend.get_result(result.id) == result


def test_what_can_not_be_enqueued_is_refused_at_once(backend, witness, prefix):
    for wrong in ({"max_attempts": 0}, {"retry": 3}, {"unique_while": "queued"}, {"unique_key": lambda x: x}, {"expires": -1}):
        with pytest.raises(InvalidTask):
            jobs.add.using(**wrong)
    with pytest.raises(TypeError):
        jobs.add.using(priorty=3)
    with pytest.raises(TypeError, match="Unsupported type"):
        jobs.add.enqueue(datetime.now(UTC))
    with pytest.raises(InvalidTask, match="is no key of 1 to 256"):
        jobs.one_of_each.enqueue("x" * 500)
    with pytest.raises(InvalidTask, match="keys can't be made"):
        jobs.one_of_each.enqueue()
    with pytest.raises(QueueNotFound):
        witness.queue(f"{prefix}default")


def test_the_further_keywords_are_options_of_the_job(backend, witness, prefix):
    witness.set_budget("pages", 5)
    result = jobs.charged.using(max_attempts=3).enqueue()
    job = witness.job(next(iter(witness.jobs(queue=f"{prefix}default"))).id)
    assert (job.max_attempts, job.tags, job.meta, job.group_key) == (3, ["a"], {"tenant": "7"}, "g")
    assert [(each.name, each.cost) for each in job.budgets] == [("pages", 2)]
    assert job.expires_at == job.created_at + timedelta(minutes=1)
    assert job.payload["retry"] is True
    assert backend.get_result(result.id).id == result.id


def test_a_unique_key_is_made_of_arguments(backend, witness, prefix):
    first, second = jobs.one_of_each.enqueue("x", b=1), jobs.one_of_each.enqueue("x", b=2)
    (job,) = witness.jobs(queue=f"{prefix}default")
    assert job.unique_key == "tests.contract.django.jobs.one_of_each:x"
    assert first.id != second.id
    assert backend.get_result(second.id).kwargs == {"b": 1}
    with pytest.raises(NotUnique):
        jobs.one_of_each.using(on_conflict="refuse").enqueue("x")


@pytest.mark.parametrize("name", ["unique_key", "group_key", "fair_key"])
@pytest.mark.parametrize("value", [None, "", "x" * 257])
def test_what_is_no_key_is_refused_and_shared_by_no_calls(backend, witness, prefix, name, value):
    with pytest.raises(InvalidTask, match=f"add: {name}: .* is no key of 1 to"):
        jobs.add.using(**{name: lambda a: value}).enqueue(1)
    with pytest.raises(QueueNotFound):
        witness.queue(f"{prefix}default")


def test_a_fair_key_may_be_made_of_arguments_too(backend, witness, prefix):
    jobs.add.using(fair_key=lambda b: f"tenant-{b}").enqueue(1, b=7)
    (job,) = witness.jobs(queue=f"{prefix}default")
    assert job.fair_key == "tenant-7"


def test_on_commit_nothing_is_enqueued_before_the_commit(backend, heard):
    with transaction.atomic():
        result = jobs.add.enqueue(1)
        assert result.enqueued_at is None
        with pytest.raises(TaskResultDoesNotExist):
            backend.get_result(result.id)
        assert heard == []
    assert result.enqueued_at is not None
    assert backend.get_result(result.id) == result
    assert heard == [("enqueued", result.id, "READY")]


def test_on_commit_nothing_is_enqueued_after_a_rollback(backend):
    with transaction.atomic():
        result = jobs.add.enqueue(1)
        transaction.set_rollback(True)
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(result.id)
    with transaction.atomic():
        with transaction.atomic():
            inner = jobs.add.enqueue(1)
            transaction.set_rollback(True)
        outer = jobs.add.enqueue(2)
    assert backend.get_result(outer.id).args == [2]
    with pytest.raises(TaskResultDoesNotExist):
        backend.get_result(inner.id)


def test_one_that_can_not_be_enqueued_after_the_commit_is_logged_and_costs_nothing_else(configured, caplog):
    done = []
    with configured(URL="http://127.0.0.1:9", DEADLINE=0.1), transaction.atomic():
        transaction.on_commit(lambda: done.append("before"))
        result = jobs.add.enqueue("a secret")
        transaction.on_commit(lambda: done.append("after"))
    assert done == ["before", "after"]
    (record,) = [record for record in caplog.records if record.name == "holdfast.django"]
    assert (
        record.getMessage() == f"The task tests.contract.django.jobs.add ({result.id}) could not be enqueued after the commit."
    )
    assert record.levelname == "ERROR"
    assert isinstance(record.exc_info[1], HoldfastError)
    assert "a secret" not in caplog.text


def test_now_is_now(configured):
    with configured(ENQUEUE="now") as backend, transaction.atomic():
        result = jobs.add.enqueue(1)
        assert backend.get_result(result.id) == result


def test_a_server_that_is_away_is_told_to_the_caller(configured):
    with configured(URL="http://127.0.0.1:9", DEADLINE=0.1), pytest.raises(HoldfastError):
        jobs.add.enqueue(1)


def test_the_same_backend_in_another_alias(configured, server, drain):
    other = {
        "BACKEND": "holdfast.django.HoldfastBackend",
        "QUEUES": [],
        "OPTIONS": {"URL": server.url, "QUEUE_PREFIX": "alias-"},
    }
    with configured(), override_settings(TASKS={**TASKS.settings, "more": other}):
        result = jobs.add.using(backend="more", queue_name="any").enqueue(3)
        drain(TASKS["more"], "any")
        result.refresh()
        assert (result.return_value, result.backend) == (3, "more")


def test_tasks_and_results_can_be_pickled(backend):
    for task in (jobs.add, jobs.add.using(priority=5), jobs.one_of_each, jobs.charged.using(max_attempts=7)):
        assert pickle.loads(pickle.dumps(task)) == task
    result = jobs.one_of_each.enqueue("p")
    assert pickle.loads(pickle.dumps(result)) == result


def test_a_number_gives_no_result_of_a_task_with_an_id_nor_of_somebody_else(backend, witness, prefix):
    result = jobs.add.enqueue(1)
    (receipt,) = witness.receipts(result.id)
    other = witness.enqueue("somebody-elses", {"args": [1]}, type="tests.contract.django.jobs.add")
    ours = witness.enqueue(f"{prefix}default", {"args": [1]}, type="tests.contract.django.jobs.add")
    for number in (receipt.id, other.id, 9_999_999_999_999_999_999):
        with pytest.raises(TaskResultDoesNotExist):
            backend.get_result(f"job-{number}")
    assert backend.get_result(f"job-{ours.id}").args == [1]
