"""Workers: what becomes of tasks that return, fail, are retried, are not known, and whose worker dies."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from holdfast import AsyncClient, Client
from holdfast.client import Unreachable
from holdfast.django import WorkerLost
from holdfast.django.compat import TaskResultStatus
from tests.contract.django import jobs
from tests.system.whole.servers import Output

HERE = "tests.contract.django.jobs"


pytestmark = pytest.mark.long(40)


@pytest.fixture(autouse=True)
def nothing_ran():
    jobs.ran.clear()


@pytest.mark.parametrize("task", [jobs.add, jobs.add_async])
def test_a_task_is_run_and_its_result_is_kept(backend, drain, heard, task):
    result = task.enqueue(1, b=2)
    drain(backend)
    assert result.status == TaskResultStatus.READY
    result.refresh()
    assert (result.status, result.return_value, result.attempts, result.is_finished) == ("SUCCESSFUL", 3, 1, True)
    assert result.enqueued_at <= result.started_at <= result.last_attempted_at <= result.finished_at
    assert result.errors == []
    names = [(name, status) for name, id, status in heard if id == result.id]
    assert names == [("enqueued", "READY"), ("started", "RUNNING"), ("finished", "SUCCESSFUL")]


@pytest.mark.parametrize("task", [jobs.fail, jobs.fail_async])
def test_an_exception_is_kept_with_its_class_and_its_traceback_and_is_not_tried_again(backend, drain, heard, task):
    result = task.enqueue()
    drain(backend)
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.FAILED, 1)
    with pytest.raises(ValueError, match="Task failed"):
        _ = result.return_value
    (error,) = result.errors
    assert error.exception_class is KeyError
    assert error.traceback.startswith("Traceback (most recent call last):")
    assert error.traceback.endswith("KeyError: 'nothing there'\n")
    assert "holdfast" not in error.traceback
    assert [name for name, id, _ in heard if id == result.id] == ["enqueued", "started", "finished"]


@pytest.mark.parametrize(("task", "kind"), [(jobs.leave, SystemExit), (jobs.unwritable, TypeError)])
def test_whatever_is_raised_is_the_error(backend, drain, task, kind):
    result = task.enqueue()
    drain(backend)
    result.refresh()
    assert result.status == TaskResultStatus.FAILED
    assert result.errors[0].exception_class is kind


def test_wrong_arguments_fail(backend, drain):
    result = jobs.add.enqueue(1, c=3)
    drain(backend)
    result.refresh()
    assert result.errors[0].exception_class is TypeError


def test_a_task_that_asks_for_it_is_tried_again_and_sees_its_earlier_attempts(backend, drain, heard):
    result = jobs.third_time.enqueue()
    drain(backend)
    result.refresh()
    assert result.return_value == [3, result.id, 2]
    assert [error.traceback.splitlines()[-1] for error in result.errors] == [
        "ValueError: attempt 1",
        "ValueError: attempt 2",
    ]
    assert (result.attempts, len(set(result.worker_ids))) == (3, 1)
    assert result.started_at < result.last_attempted_at
    assert [name for name, id, _ in heard if id == result.id] == ["enqueued", "started", "started", "started", "finished"]


def test_the_last_attempt_is_the_end(backend, drain, heard):
    result = jobs.in_vain.enqueue()
    drain(backend)
    result.refresh()
    assert (result.status, result.attempts, len(result.errors)) == (TaskResultStatus.FAILED, 2, 2)
    assert [name for name, id, _ in heard if id == result.id] == ["enqueued", "started", "started", "finished"]


def test_attempts_for_all_tasks_in_the_settings(configured, drain, witness, prefix):
    with configured(MAX_ATTEMPTS=2) as backend:
        result = jobs.fail.enqueue()
        drain(backend)
        result.refresh()
        assert (result.status, result.attempts) == (TaskResultStatus.READY, 1)


def test_a_task_may_ask_for_another_time(backend, drain, witness):
    result = jobs.later.enqueue()
    drain(backend)
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.READY, 1)
    snoozing = jobs.snoozing.enqueue()
    drain(backend)
    snoozing.refresh()
    assert (snoozing.return_value, snoozing.attempts) == ("awake", 1)


def test_the_larger_priority_is_first(backend, drain):
    for priority in (-5, 50, 0):
        jobs.note.using(priority=priority).enqueue(priority)
    drain(backend, concurrency=1)
    assert jobs.ran == [50, 0, -5]


def test_a_task_for_later_waits(backend, drain):
    result = jobs.add.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1)
    drain(backend)
    result.refresh()
    assert result.status == TaskResultStatus.READY


def test_a_timeout_ends_an_attempt(backend, drain):
    once, again = jobs.slow.enqueue(), jobs.slow.using(max_attempts=2).enqueue()
    drain(backend)
    for result, status in ((once, TaskResultStatus.FAILED), (again, TaskResultStatus.READY)):
        result.refresh()
        assert (result.status, result.attempts) == (status, 1)
        assert "Timed out" in result.errors[0].traceback


@pytest.mark.parametrize("priority", [0, 5_000])
def test_a_priority_that_django_does_not_have_is_no_failure(backend, drain, witness, prefix, priority):
    job = witness.enqueue(f"{prefix}default", {"args": [1]}, type=f"{HERE}.add", priority=priority)
    drain(backend)
    assert witness.job(job.id).state == "concluded"
    assert backend.get_result(f"job-{job.id}").return_value == 1


@pytest.mark.parametrize(("task", "client"), [(jobs.third_time, Client), (jobs.third_time_async, AsyncClient)])
def test_a_server_that_can_not_be_asked_for_earlier_attempts_costs_none(backend, drain, witness, monkeypatch, task, client):
    def away(*_):
        raise Unreachable("It is away.")

    result = task.enqueue(2)
    (receipt,) = witness.receipts(result.id)
    with monkeypatch.context() as patched:
        patched.setattr(client, "job", away)
        drain(backend)
    job = witness.job(receipt.id)
    assert (job.state, job.failures, job.crashes) == ("scheduled", 1, 0)
    witness.promote(job.id)
    drain(backend)
    result.refresh()
    assert (result.status, result.return_value[0]) == (TaskResultStatus.SUCCESSFUL, 2)


def test_a_cancelled_task_says_so(backend, witness):
    result = jobs.add.enqueue(1)
    witness.cancel(witness.receipts(result.id)[0].id)
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.FAILED, 0)
    assert result.errors[0].exception_class.__name__ == "TaskCancelled"


def test_what_is_no_task_is_never_called(backend, drain, witness, prefix):
    job = witness.enqueue(f"{prefix}default", {"args": []}, type=f"{HERE}.no_task")
    drain(backend)
    found = witness.job(job.id)
    assert (found.state, jobs.ran) == ("dead", [])
    assert found.errors[0].error.kind == "django.core.exceptions.SuspiciousOperation"


def test_a_task_that_this_program_does_not_have_is_left_to_others(backend, drain, witness, prefix):
    job = witness.enqueue(f"{prefix}default", {"args": []}, type=f"{HERE}.of_tomorrow")
    drain(backend)
    found = witness.job(job.id)
    assert (found.state, found.failures, found.crashes) == ("scheduled", 0, 0)


@pytest.mark.parametrize("payload", [7, {"args": 7}, {"kwargs": []}])
def test_a_payload_that_no_task_has_is_dead_at_once(backend, drain, witness, prefix, payload):
    job = witness.enqueue(f"{prefix}default", payload, type=f"{HERE}.add")
    drain(backend)
    assert witness.job(job.id).state == "dead"


@pytest.mark.parametrize("task", [jobs.users, jobs.users_async])
def test_tasks_use_the_database(backend, drain, task):
    result = task.enqueue()
    drain(backend)
    result.refresh()
    assert result.return_value == 0


def test_coroutines_that_run_at_once_have_a_thread_each_which_serves_the_next_and_ends_with_the_worker(backend, drain):
    at_once = [jobs.in_threads.enqueue(2) for _ in range(2)]
    drain(backend)
    for each in at_once:
        each.refresh()
    (first, again), (second, too) = (each.return_value for each in at_once)
    assert (first, second) == (again, too)
    assert first != second
    jobs.ran.clear()
    in_turn = [jobs.in_threads.enqueue() for _ in range(5)]
    drain(backend, concurrency=1)
    for each in in_turn:
        each.refresh()
    assert len({name for each in in_turn for name in each.return_value}) == 1
    assert not [each.name for each in threading.enumerate() if each.name.startswith("holdfast-django")]


def test_each_task_begins_without_an_old_connection(backend, drain):
    results = [jobs.thread_is_connected.enqueue() for _ in range(3)]
    drain(backend, concurrency=1)
    for result in results:
        result.refresh()
    assert [result.return_value for result in results] == [False, False, False]
    connection.close()


# ------------------------------------------------------------------------------------------------------- processes


@pytest.fixture
def processes(server, prefix, tmp_path):
    """Starts workers as a user does, and ends those that are left."""
    started = []
    (tmp_path / "settings_of_test.py").write_text(
        "from tests.contract.django.project_settings import *\n"
        f"TASKS['default']['OPTIONS'] = {{'URL': {server.url!r}, 'QUEUE_PREFIX': {prefix!r}}}\n"
    )
    program = "from django.core.management import execute_from_command_line as run; import sys; run(['manage.py', 'holdfast_worker', *sys.argv[1:]])"
    paths = os.pathsep.join([str(tmp_path), str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings_of_test", "PYTHONPATH": paths}

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment
        )
        process.said = Output(process.stderr)
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.wait()


def wait_for(look, within_s=60):
    until = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.02)
    return found


def test_the_task_of_a_killed_worker_is_run_again_and_shows_both(backend, processes, tmp_path):
    path = tmp_path / "log"
    result = jobs.hold.enqueue(str(path))
    first = processes("--lease", "4")
    wait_for(path.exists)
    first.send_signal(signal.SIGKILL)
    second = processes("--lease", "4")
    wait_for(lambda: len(path.read_text().splitlines()) == 2)
    (tmp_path / "log.end").touch()
    wait_for(lambda: result.refresh() or result.is_finished)
    assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, second.pid, 2)
    assert len(set(result.worker_ids)) == 2
    assert result.errors[0].exception_class is WorkerLost
    assert result.started_at < result.last_attempted_at


def test_sigterm_lets_a_running_task_end_and_takes_no_other(backend, processes, tmp_path):
    path = tmp_path / "log"
    result, waiting = jobs.hold.enqueue(str(path)), jobs.add.enqueue(1)
    worker = processes("--concurrency", "1")
    wait_for(path.exists)
    worker.terminate()
    worker.said.wait_for("draining")
    (tmp_path / "log.end").touch()
    assert worker.wait(60) == 0
    for each in (result, waiting):
        each.refresh()
    assert (result.status, waiting.status) == (TaskResultStatus.SUCCESSFUL, TaskResultStatus.READY)


def test_several_processes_share_the_tasks(backend, processes, tmp_path):
    path = tmp_path / "log"
    for _ in range(2):
        jobs.hold.enqueue(str(path))
    worker = processes("--processes", "2", "--concurrency", "1")
    wait_for(lambda: path.exists() and len(set(path.read_text().split())) == 2)
    (tmp_path / "log.end").touch()
    worker.terminate()
    assert worker.wait(60) == 0


def test_the_command_says_what_is_wrong_with_its_options(backend):
    for wrong, says in (
        ({"backend": "none"}, "no backend 'none'"),
        ({"queues": "default,nowhere"}, "no queue 'nowhere'"),
        ({"exclude_queues": "default,other"}, "from 1 to"),
        ({"processes": 0}, "at least 1"),
    ):
        with pytest.raises(CommandError, match=says):
            call_command("holdfast_worker", **wrong)


def test_it_takes_from_the_queues_that_it_is_told(backend, drain):
    here, there = jobs.add.enqueue(1), jobs.add.using(queue_name="other").enqueue(2)
    call_command("holdfast_worker", exclude_queues="default", until_empty=True, verbosity=0)
    here.refresh()
    there.refresh()
    assert (here.status, there.status) == (TaskResultStatus.READY, TaskResultStatus.SUCCESSFUL)


def test_a_server_is_started_for_development_and_ends_with_the_worker(tmp_path, processes, prefix):
    from cluster.ports import free_port  # noqa: PLC0415

    url = f"http://127.0.0.1:{free_port()}"
    settings = tmp_path / "settings_of_test.py"
    settings.write_text(settings.read_text() + f"TASKS['default']['OPTIONS']['URL'] = {url!r}\nBASE_DIR = {str(tmp_path)!r}\n")
    worker = processes("--serve")
    worker.said.wait_for("taking jobs")
    with Client(url) as client:
        client.enqueue(f"{prefix}default", {"args": [1]}, type=f"{HERE}.add")
        job = client.wait(1, 30)
        assert (job.state, job.result) == ("concluded", 1)
    worker.terminate()
    assert worker.wait(60) == 0
    with Client(url) as client:
        assert not client.ready()
        assert (tmp_path / ".holdfast" / "jobs.db").exists()
        worker = processes("--serve")
        worker.said.wait_for("taking jobs")
        worker.kill()
        wait_for(lambda: not client.ready())


def test_a_server_elsewhere_is_not_started(configured):
    with configured(URL="http://192.0.2.1:1"), pytest.raises(CommandError, match="at an address of this machine only"):
        call_command("holdfast_worker", serve=True)
