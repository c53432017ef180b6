"""What users of Celery rely on, and what they miss elsewhere, with real workers and a real server."""

import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import kombu
import pytest
from kombu.exceptions import OperationalError

from holdfast.celery import QueueFull
from holdfast.testing import LocalServer
from tests.contract.celery.processes import HERE, Program, until, worker

pytestmark = pytest.mark.long(60)
PATIENCE_S = 60.0


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path


def project(monkeypatch: pytest.MonkeyPatch, broker: str, results: Path, **environment: str) -> ModuleType:
    """The project as this process has it: it enqueues."""
    for name, value in {"BROKER": broker, "RESULTS": str(results), **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(HERE))
    sys.modules.pop("shop", None)
    return importlib.import_module("shop")


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, broker: str, results: Path, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    found = project(monkeypatch, f"{broker}/{request.node.name}", results, LEASE_S="2")
    yield found
    found.app.close()


def lines(results: Path, count: int = 1) -> list[str]:
    """What tasks have noted, as soon as there is so much of it."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = (results / "done.txt").read_text().splitlines() if (results / "done.txt").exists() else []
        if len(found) >= count or time.monotonic() > until:
            return found
        time.sleep(0.05)


def test_a_project_moves_by_its_url(shop, results):
    """Three tasks, a chord, an ETA and a beat schedule."""
    with worker():
        assert shop.price.delay(4).get(timeout=PATIENCE_S) == 40
        assert shop.order([1, 2, 3]).get(timeout=PATIENCE_S) == 60
        shop.note.apply_async(["soon"], countdown=0.5)
        assert lines(results) == ["soon"]
        beat = Program("beat", "-s", str(results / "beat"), "-l", "info")
        try:
            assert lines(results, 3)[1:3] == ["beat", "beat"]
        finally:
            beat.kill()
        assert shop.app.control.inspect(timeout=PATIENCE_S, limit=1).ping()


def test_a_task_with_an_eta_an_hour_away_is_with_the_server_until_then_and_runs_once(monkeypatch, results):
    """Over a restart of the worker, and long after the end of any lease."""
    with LocalServer() as server:
        shop = project(monkeypatch, f"holdfast://{urlsplit(server.url).netloc}", results, LEASE_S="2")
        with worker():
            shop.note.apply_async(["later"], countdown=3_600)
            shop.note.delay("now")
            assert lines(results) == ["now"]
            inspected = shop.app.control.inspect(timeout=PATIENCE_S, limit=1)
            assert list(inspected.scheduled().values()) == [[]], "the worker holds a timer"
        server.advance(3_500)
        with worker():
            shop.note.delay("before")
            assert lines(results, 2) == ["now", "before"]
            (job,) = server.client.jobs(queue="celery", state="scheduled")
            assert (job.type, job.attempt) == ("shop.note", 0)
            server.advance(101)
            assert lines(results, 3) == ["now", "before", "later"]
            assert until(lambda: server.client.job(job.id).state == "concluded")
            server.advance(3_600)
            shop.note.delay("end")
            assert lines(results, 4)[3:] == ["end"]
        shop.app.close()


def test_what_a_killed_worker_had_is_run_by_another(shop, results):
    with worker() as first:
        shop.slow.delay(600)
        [begun] = lines(results)
        assert begun.endswith("redelivered False")
        first.kill()
    with worker() as second:
        assert lines(results, 2)[1].endswith("redelivered True")
        second.kill()


def test_the_lease_of_a_long_task_is_extended(shop, results, witness, request):
    with worker():
        assert shop.slow.delay(7).get(timeout=PATIENCE_S) == "done"
    assert len(lines(results, 2)) == 2
    [job] = witness.jobs(queue=f"{request.node.name}.celery", type="shop.slow")
    assert (job.state, job.attempt, job.crashes) == ("concluded", 1, 0)


def test_a_full_queue_refuses_as_celery_says_that_brokers_do(shop, witness, request):
    queue = f"{request.node.name}.celery"
    witness.set_queue(queue, capacity_jobs=2)
    shop.price.delay(1)
    shop.price.delay(2)
    with pytest.raises(OperationalError, match="full") as refused:
        shop.price.delay(3)
    assert isinstance(refused.value, QueueFull)
    assert (refused.value.queue, refused.value.code) == (queue, "queue_full")
    assert witness.queue(queue).settings["capacity_jobs"] == 2


def test_a_task_without_a_worker_that_knows_it_is_dead_and_not_gone(shop, witness, request):
    with worker():
        shop.app.send_task("shop.unknown", args=[7])
        shop.price.delay(1).get(timeout=PATIENCE_S)
        until = time.monotonic() + PATIENCE_S
        while not (dead := list(witness.jobs(queue=f"{request.node.name}.celery", state="dead"))) and time.monotonic() < until:
            time.sleep(0.05)
    assert [job.type for job in dead] == ["shop.unknown"]


def test_any_client_calls_a_task_by_a_job_of_its_type(shop, witness, request, results):
    queue = f"{request.node.name}.celery"
    with worker():
        witness.enqueue(queue, {"text": "by name"}, type="shop.note")
        witness.enqueue(queue, ["by place"], type="shop.note")
        assert sorted(lines(results, 2)) == ["by name", "by place"]


def test_events_are_seen_by_who_listens(shop):
    seen: list[str] = []
    enough = threading.Event()

    def on_event(event):
        seen.append(event["type"])
        if "task-succeeded" in seen:
            enough.set()
            receiver.should_stop = True

    with worker("-E"), shop.app.connection_for_read() as connection:
        receiver = shop.app.events.Receiver(connection, handlers={"*": on_event})
        threading.Timer(1.0, lambda: shop.price.delay(1)).start()
        receiver.capture(limit=None, timeout=PATIENCE_S, wakeup=False)
    assert enough.is_set()
    assert {"task-received", "task-started", "task-succeeded"} <= set(seen)


def test_a_worker_is_listed_and_stopped_gracefully(shop, witness, request):
    with worker("-n", "anna@%h"):
        assert shop.app.control.inspect(timeout=PATIENCE_S, limit=1).ping()
        [found] = [one for one in witness.workers() if f"{request.node.name}.celery" in one.queues]
        assert found.name.startswith("anna@")
    assert not [one for one in witness.workers() if f"{request.node.name}.celery" in one.queues]


def test_a_setting_reaches_it_where_nothing_is_imported(broker):
    program = f"""
from celery import Celery
app = Celery("plain", broker={broker!r})
app.conf.broker_transport = "holdfast.celery:Transport"
app.send_task("nothing", queue="plain")
with app.connection() as connection:
    print(connection.default_channel.queue_declare("plain", passive=True).message_count)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ)
    )
    assert done.stdout.strip() == "1", done.stderr


def test_the_server_is_that_of_the_environment_if_no_url_is_given(broker, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URL", broker.replace("holdfast", "http"))
    with kombu.Connection(transport="holdfast.celery:Transport", hostname=None) as connection:
        assert connection.connect()


def test_one_of_the_servers_of_the_environment_is_enough(broker, monkeypatch):
    monkeypatch.setenv("HOLDFAST_URL", "http://127.0.0.1:9," + broker.replace("holdfast", "http"))
    with kombu.Connection(transport="holdfast.celery:Transport", hostname=None) as connection:
        assert connection.ensure_connection(max_retries=1)
