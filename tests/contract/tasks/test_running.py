"""What is around a task: retries, timeouts, schedules, middleware and hooks, the command line; and tests without a server."""

import asyncio
import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.errors import InvalidRequest
from holdfast.tasks import DoNotRetry, InvalidArguments, Job, NotConcluded, Retry, RetryAfter, Snooze, Tasks
from tests.contract.client.proxy import Proxy, answer
from tests.contract.client.test_installed_alone import without_the_server
from tests.contract.client.worker.workers import running
from tests.system.whole.servers import until


def test_a_task_says_whether_and_when_to_try_again(holdfast):
    tasks = Tasks()

    @tasks.task(retry=Retry(base=timedelta(minutes=1), jitter=0))
    async def picky(job: Job, how: str) -> int:
        if job.attempt > 1:
            return job.attempt
        raise {"never": DoNotRetry("no use"), "later": RetryAfter(timedelta(hours=1)), "not now": Snooze(30), "": ValueError()}[
            how
        ]

    never, later, snoozed, usual = picky.many(picky.job(how) for how in ("never", "later", "not now", ""))
    worker = tasks.worker()
    assert holdfast.drain(worker) == {"failed": 3, "released": 1}
    with pytest.raises(NotConcluded, match="no use"):
        never.result()
    for wait, handle in ((30, snoozed), (30, usual), (3_540, later)):
        holdfast.advance(wait)
        assert holdfast.drain(worker) == {"concluded": 1}
        assert handle.result() == 2


def test_an_attempt_has_the_time_of_its_timeout(tasks, working):
    @tasks.task(timeout=timedelta(seconds=0.05), max_attempts=1)
    async def slow() -> None:
        await asyncio.sleep(60)

    with working(tasks):
        handle = slow.enqueue()
        with pytest.raises(NotConcluded, match=r"Timed out after 0.05 s"):
            handle.result(20)


def test_the_lease_of_a_task_is_that_of_its_jobs(tasks, working):
    @tasks.task(lease=600)
    def how_long(job: Job) -> int:
        return job.lease.ms_left

    with working(tasks):
        assert 500_000 < how_long.enqueue().result(20) <= 600_000


def test_the_lease_of_a_task_leaves_those_of_others_at_a_minute(tasks, working, witness):
    begun, go = threading.Event(), threading.Event()

    @tasks.task(lease=600)
    def other() -> None: ...

    @tasks.task
    def work() -> None:
        begun.set()
        go.wait(20)

    with working(tasks):
        handle = work.enqueue()
        assert begun.wait(20)
        until(lambda: witness.job(handle.id).lease_ms_left <= 60_000, "the lease is that of a worker")
        assert witness.job(handle.id).lease_ms_left > 20_000
        go.set()


def test_a_worker_makes_the_schedules_of_its_tasks(holdfast):
    tasks = Tasks()

    @tasks.cron("30 2 * * *", tz="Europe/Vienna")
    @tasks.task(queue="reports", unique="nightly", max_attempts=3)
    def nightly(days: int = 30) -> int:
        return days

    @tasks.every(timedelta(hours=1), overlap=False, missed="skip")
    async def hourly() -> None: ...

    tasks.cron("0 0 1 * *", name="monthly")(nightly)
    worker = tasks.worker()
    assert holdfast.drain(worker) == {}
    made = {each.name: each for each in holdfast.client.schedules()}
    assert made.keys() == {"nightly", "hourly", "monthly"}
    assert (made["nightly"].cron, made["nightly"].timezone, made["nightly"].queue) == ("30 2 * * *", "Europe/Vienna", "reports")
    assert (made["hourly"].interval_ms, made["hourly"].overlap, made["hourly"].missed) == (3_600_000, False, "skip")
    holdfast.advance(3_600)
    assert holdfast.drain(worker)["concluded"] >= 1

    next_at = holdfast.client.schedule("nightly").next_at
    holdfast.advance((next_at - holdfast.now).total_seconds())
    assert holdfast.drain(worker)["concluded"] >= 1
    (made_then,) = [job.id for job in holdfast.client.jobs(queue="reports") if job.created_at == next_at]
    job = holdfast.client.job(made_then)
    assert (job.unique_key, job.max_attempts, job.result) == ("nightly:nightly", 3, 30)


def test_a_schedule_is_changed_with_its_task_and_stays_paused(holdfast):
    def worker(interval):
        tasks = Tasks()

        @tasks.every(interval)
        @tasks.task
        def tick() -> None: ...

        return tasks.worker()

    holdfast.drain(worker(3_600))
    made = holdfast.client.pause_schedule("tick")
    holdfast.advance(60)
    holdfast.drain(worker(3_600))
    assert holdfast.client.schedule("tick") == made
    holdfast.drain(worker(60))
    changed = holdfast.client.schedule("tick")
    assert (changed.interval_ms, changed.paused, changed.created_at) == (60_000, True, made.created_at)
    assert len(list(holdfast.client.audit(action="schedule.set"))) == 2


def test_a_schedule_that_the_server_refuses_ends_the_worker_with_its_sentence(holdfast):
    tasks = Tasks()
    tasks.cron("61 * * * *")(tasks.task(wait_for))
    with pytest.raises(InvalidRequest, match="cron can't be read"):
        holdfast.drain(tasks.worker())


def test_a_worker_that_finds_no_server_makes_its_schedules_when_one_is_there(server, witness, monkeypatch):
    monkeypatch.setattr("holdfast.tasks.worker.LONG_DEADLINE_S", 0.2)
    monkeypatch.setattr("holdfast.tasks.worker._PAUSE_S", 0.01)
    proxy = Proxy(server.port)
    proxy.refuse.extend([answer("502 Bad Gateway")] * 8)
    tasks = Tasks(proxy.url, queue="late")
    tasks.every(3_600, name="late")(tasks.task(wait_for))
    with running(tasks.worker()):
        until(lambda: any(each.name == "late" for each in witness.schedules()), "the schedule is made")
    proxy.close()
    assert not proxy.refuse


def wait_for() -> None: ...


def test_middleware_is_around_each_attempt_and_each_enqueue(tasks, working, witness):
    tenant, seen, enqueued = contextvars.ContextVar("tenant", default=""), [], []

    @tasks.around_enqueue
    def tell(job):
        job.meta["tenant"] = tenant.get()
        job.tags.append(tenant.get())
        yield
        enqueued.append(job.type)

    @tasks.around_attempt
    def outer(job):
        tenant.set(job.job.meta["tenant"])
        try:
            yield
        except ValueError as error:
            seen.append(f"{job.type} raised {error}")
            raise

    @tasks.around_attempt
    @contextlib.contextmanager
    def inner(job):
        seen.append(f"inner of {tenant.get()}")
        yield

    @tasks.task(max_attempts=1)
    def plain() -> str:
        return f"{tenant.get()} {threading.current_thread().name}"

    @tasks.task(max_attempts=1, tags=["a"], meta={"b": "c"})
    async def coroutine() -> str:
        if tenant.get() == "broken":
            raise ValueError("no")
        return tenant.get()

    tenant.set("seven")
    with working(tasks):
        assert plain.enqueue().result(20) == "seven holdfast-handler"
        (handle,) = coroutine.many([coroutine.job()])
        assert handle.result(20) == "seven"
        tenant.set("broken")
        job = witness.wait(asyncio.run(coroutine.aenqueue()).id, 20)
        (failed,) = job.errors
    assert (job.tags, job.meta) == (["a", "broken"], {"b": "c", "tenant": "broken"})
    assert "in coroutine" in failed.error.traceback
    assert "holdfast/tasks" not in failed.error.traceback
    assert seen == ["inner of seven", "inner of seven", "inner of broken", "coroutine raised no"]
    assert enqueued == ["plain", "coroutine", "coroutine"]


def test_hooks_run_in_the_event_loop_of_a_worker_around_its_work(tasks):
    seen = []

    @tasks.on_startup
    async def connect() -> None:
        seen.append(("connect", asyncio.get_running_loop()))

    @tasks.on_shutdown
    def first() -> None:
        seen.append(("first", asyncio.get_running_loop()))

    @tasks.on_shutdown
    async def last() -> None:
        seen.append(("last", asyncio.get_running_loop()))

    @tasks.task
    async def where() -> None:
        seen.append(("where", asyncio.get_running_loop()))

    with running(tasks.worker()):
        where.enqueue().result(20)
    assert [name for name, _ in seen] == ["connect", "where", "last", "first"]
    assert len({loop for _, loop in seen}) == 1


def test_a_worker_whose_hook_fails_takes_no_job(tasks, witness):
    @tasks.on_startup
    def fail() -> None:
        raise ConnectionError("no database")

    @tasks.task
    def work() -> None: ...

    handle = work.enqueue()
    with pytest.raises(ConnectionError):
        tasks.run(until_empty=True)
    assert witness.job(handle.id).attempt == 0


# ---------------------------------------------------------------------------------------------------------- eager


@pytest.fixture
def shop() -> Tasks:
    """Tasks without a server."""
    return Tasks("http://127.0.0.1:1")


def test_eager_mode_runs_calls_at_once_by_way_of_json(shop):
    @shop.task
    def plain(job: Job, at: datetime) -> datetime:
        assert job.type == "plain"
        return at

    @shop.task(unique="x")
    async def coroutine(n: int) -> int:
        await asyncio.sleep(0)
        return n

    @shop.task
    async def parent(job: Job) -> None:
        job.follow(coroutine.job(7))
        await coroutine.aenqueue(8)

    at = datetime(2026, 12, 1, tzinfo=UTC)
    with shop.eager() as jobs:
        assert plain.options(delay=60).enqueue(at).result() == at
        assert coroutine.enqueue(1).result() == 1
        assert [handle.result() for handle in coroutine.many(coroutine.job(n) for n in (2, 3))] == [2, 3]
        assert plain.then(coroutine, 4).then(coroutine, 5).enqueue(at).receipt.state == "concluded"
        later = parent.enqueue()

        async def within() -> int:
            coroutine.enqueue(9)
            await plain.aenqueue(at)
            return await (await coroutine.aenqueue(10)).aresult()

        assert asyncio.run(within()) == 10
    assert later.result() is None
    assert [job.payload["n"] if job.type == "coroutine" else job.type for job in jobs] == [
        "plain", 1, 2, 3, "plain", 4, 5, "parent", 8, 7, 9, "plain", 10,
    ]  # fmt: skip


def test_eager_mode_raises_what_the_task_raises(shop):
    @shop.task
    def broken(n: int) -> None:
        raise LookupError(n)

    @shop.task
    async def also() -> None:
        raise LookupError

    caught = []

    @shop.around_attempt
    def catch(job):
        try:
            yield
        except LookupError as error:
            caught.append(job.type)
            raise LookupError from error

    with shop.eager():
        with pytest.raises(LookupError):
            broken.enqueue(1)
        with pytest.raises(LookupError):
            also.enqueue()
        with pytest.raises(InvalidArguments):
            broken.enqueue("1")
        with pytest.raises(ValueError, match="other: this program has no function to run it"):
            shop.stub("other").enqueue(n=1)
    assert caught == ["broken", "also"]


# -------------------------------------------------------------------------------------------------- command line

APP = """
import os
from holdfast.tasks import Tasks

tasks = Tasks()

@tasks.task(queue="cli")
def pid() -> int:
    return os.getpid()

@tasks.task(queue="kills", lease=1)
async def kill() -> None:
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def program(tmp_path, server, monkeypatch):
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.setenv("HOLDFAST_URL", server.url)
    monkeypatch.chdir(tmp_path)

    def start(*options: str) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "holdfast", "worker", "run", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    return start


def of_queue(witness, queue):
    """The processes that take jobs from this queue."""
    return {int(each.name.rpartition(":")[2]) for each in witness.workers() if each.queues == [queue]}


def test_the_command_line_runs_the_tasks_of_a_module(program, witness, server, monkeypatch):
    job = witness.enqueue("cli", type="pid").id
    monkeypatch.delenv("HOLDFAST_URL")
    worker = program("app:tasks", "--until-empty", "--queues", "cli", "--url", server.url)
    said, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    assert witness.job(job).result == worker.pid


def test_several_processes_run_them_one_that_dies_is_replaced_and_all_end_with_the_first(program, witness):
    worker = program("app", "--processes", "2", "--concurrency", "1", "--queues", "cli")
    killed = witness.result(witness.enqueue("cli", {}, type="pid").id, 60)
    os.kill(killed, signal.SIGKILL)
    until(lambda: len(of_queue(witness, "cli") - {killed}) == 2, "there are two again")
    worker.send_signal(signal.SIGTERM)
    said, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0, said
    assert "was killed by SIGKILL; another one is started" in said
    assert said.count("ended: ") == 2, said


def test_a_job_that_kills_its_processes_is_quarantined(program, witness):
    """The lease of a process that was killed ends without it, which counts as a crash."""
    witness.set_queue("kills", max_crashes=2)
    worker = program("app", "--processes", "1", "--reload", "--queues", "kills")
    job = witness.enqueue("kills", type="kill", lease_ms=1_000).id
    ended = witness.wait(job, 60)
    assert (ended.state, ended.reason, ended.crashes, ended.failures) == ("dead", "crashed", 2, 0)
    assert isinstance(witness.result(witness.enqueue("kills", type="pid").id, 60), int)
    worker.send_signal(signal.SIGTERM)
    said, _ = worker.communicate(timeout=60)
    assert (worker.returncode, said.count("was killed by SIGKILL; another one is started")) == (0, 2), said


def test_a_process_that_dies_at_once_is_started_later_and_later(program, tmp_path):
    (tmp_path / "dies.py").write_text(
        "import multiprocessing, os\nfrom app import tasks\nif multiprocessing.parent_process(): os._exit(9)\n"
    )
    worker = program("dies:tasks", "--processes", "2")
    lines = []
    for line in worker.stdout:
        lines.append(line)
        if "another one is started in 1 s" in line:
            break
    worker.send_signal(signal.SIGTERM)
    rest, _ = worker.communicate(timeout=60)
    assert worker.returncode in (0, 9), rest  # 9 where one of them died of its own just then
    assert sum("ended with exit code 9; another one is started in 0.5 s" in line for line in lines) == 2, lines


def test_a_worker_starts_again_when_its_program_changes(program, witness, tmp_path):
    (tmp_path / "told.py").write_text("WORD = 'one'\n")
    (tmp_path / "changing.py").write_text(
        "import told\nfrom holdfast.tasks import Tasks\ntasks = Tasks()\n"
        "@tasks.task(queue='changing')\ndef say() -> str:\n    return told.WORD\n"
    )

    def said(line: str) -> str:
        return next(found for found in worker.stdout if line in found)

    def result():
        return witness.result(witness.enqueue("changing", type="say").id, 60)

    worker = program("changing", "--reload")
    assert result() == "one"
    (tmp_path / "told.py").write_text("WORD = 'two, and longer'\n")
    said("told.py has changed: starting again")
    assert result() == "two, and longer"
    (tmp_path / "told.py").write_text("WORD = \n")
    said("told.py has changed: starting again")
    said("SyntaxError")
    said("waiting for a change")
    (tmp_path / "told.py").write_text("WORD = 'mended once more'\n")
    assert result() == "mended once more"
    worker.send_signal(signal.SIGTERM)
    worker.communicate(timeout=60)
    assert worker.returncode == 0


def test_processes_end_with_the_one_that_started_them(program, witness):
    worker = program("app", "--processes", "2", "--queues", "orphans")
    until(lambda: len(of_queue(witness, "orphans")) == 2, "both take jobs")
    worker.kill()
    until(lambda: not of_queue(witness, "orphans"), "both have gone")
    worker.communicate(timeout=60)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        (["nowhere:tasks"], "there is no module 'nowhere' here"),
        (["app:other", "--processes", "2"], "app:other names no Tasks"),
        (["app:os"], "names no Tasks"),
        (["app", "--queues", "a b", "--processes", "2"], "'a b' can't be the name of a queue"),
    ],
)
def test_the_command_line_says_what_is_wrong(program, place, said):
    worker = program(*place)
    printed, _ = worker.communicate(timeout=60)
    assert (worker.returncode, said in printed) == (2, True), printed


def test_tasks_need_nothing_of_the_server():
    done = without_the_server("from holdfast.tasks import Tasks; print(Tasks)")
    assert done.returncode == 0, done.stderr
