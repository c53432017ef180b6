"""Dramatiq with its own workers, in this process and in others, on a real server."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dramatiq
import msgspec
import pytest
from dramatiq.errors import QueueJoinTimeout, QueueNotFound
from msgspec import Raw

from holdfast.dramatiq import HoldfastBroker
from holdfast.errors import QueueFull
from tests.system.whole.servers import Output

WITHIN_MS = 60_000
_numbers = itertools.count()


@pytest.fixture
def broker(server) -> Iterator[HoldfastBroker]:
    broker = HoldfastBroker(server.url, prefix=f"b{next(_numbers)}.", lease_s=2)
    dramatiq.set_broker(broker)
    yield broker
    broker.flush_all()
    broker.close()


@pytest.fixture
def worker(broker) -> Iterator[dramatiq.Worker]:
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=4)
    worker.start()
    yield worker
    worker.stop()


def test_a_message_is_processed_and_acknowledged(broker, worker, witness):
    done = []

    @dramatiq.actor
    def add(x, y):
        done.append(x + y)

    add.send(1, y=2)
    broker.join(add.queue_name, timeout=WITHIN_MS)
    worker.join()
    assert done == [3]
    [job] = witness.jobs(queue=f"{broker.prefix}default")
    assert (job.state, job.type, job.payload["kwargs"]) == ("concluded", "add", {"y": 2})


def test_a_delayed_message_waits_with_the_server(broker, worker, witness):
    done = []

    @dramatiq.actor
    def note(text):
        done.append((text, time.monotonic()))

    began = time.monotonic()
    note.send_with_options(args=("later",), delay=1_500)
    note.send("now")
    [job] = witness.jobs(queue=f"{broker.prefix}default", state="scheduled")
    assert "eta" not in job.payload["options"]
    broker.join("default", timeout=WITHIN_MS)
    assert [text for text, _ in done] == ["now", "later"]
    assert done[1][1] - began >= 1.5


def test_what_fails_is_retried_and_then_dead(broker, worker, witness):
    tries = []

    @dramatiq.actor(max_retries=2, min_backoff=50, max_backoff=100)
    def fail():
        tries.append(1)
        raise ValueError("always")

    fail.send()
    broker.join("default", timeout=WITHIN_MS)
    worker.join()
    assert len(tries) == 3
    until = time.monotonic() + 60
    while not (dead := list(witness.jobs(queue=f"{broker.prefix}default", state="dead"))) and time.monotonic() < until:
        time.sleep(0.05)
    assert "always" in witness.job(dead[0].id).errors[-1].reason
    assert len(dead) == 1


def test_a_message_of_an_unknown_actor_is_dead(broker, witness):
    @dramatiq.actor
    def known():
        pass

    message = dramatiq.Message(queue_name="default", actor_name="unknown", args=(), kwargs={}, options={})
    broker.enqueue(message)
    worker = dramatiq.Worker(broker, worker_timeout=100)
    worker.start()
    broker.join("default", timeout=WITHIN_MS)
    worker.stop()
    assert [job.type for job in witness.jobs(queue=f"{broker.prefix}default", state="dead")] == ["unknown"]


def test_what_a_stopped_worker_has_not_begun_goes_back(broker, witness):
    begun, go_on = threading.Event(), threading.Event()

    @dramatiq.actor
    def wait():
        begun.set()
        go_on.wait(60)

    for _ in range(5):
        wait.send()
    worker = dramatiq.Worker(broker, worker_timeout=100, worker_threads=1)
    worker.start()
    assert begun.wait(60)
    threading.Timer(0.3, go_on.set).start()
    worker.stop()
    jobs = witness.queue(f"{broker.prefix}default").jobs
    assert (jobs.leased, jobs.dead, jobs.ready + jobs.concluded) == (0, 0, 5)
    assert jobs.ready >= 1
    assert all(job.crashes == 0 for job in witness.jobs(queue=f"{broker.prefix}default"))


def test_the_lease_of_a_long_message_is_extended(broker, worker, witness):
    @dramatiq.actor
    def long():
        time.sleep(5)

    long.send()
    broker.join("default", timeout=WITHIN_MS)
    [job] = witness.jobs(queue=f"{broker.prefix}default")
    assert (job.state, job.attempt, job.crashes) == ("concluded", 1, 0)


def test_flush_and_join(broker):
    @dramatiq.actor
    def never():
        pass

    never.send()
    never.send_with_options(delay=100_000)
    with pytest.raises(QueueJoinTimeout):
        broker.join("default", timeout=300)
    broker.flush_all()
    broker.join("default", timeout=1)
    for call in (broker.flush, broker.join, broker.consume):
        with pytest.raises(QueueNotFound):
            call("unknown")


def test_a_full_queue_refuses(broker, witness):
    @dramatiq.actor
    def never():
        pass

    witness.set_queue(f"{broker.prefix}default", capacity_jobs=1)
    never.send()
    with pytest.raises(QueueFull):
        never.send()


def test_a_message_that_can_not_be_read_is_dead(broker, worker, witness):
    @dramatiq.actor
    def known():
        pass

    witness.enqueue(f"{broker.prefix}default", {"no": "message"})
    broker.join("default", timeout=WITHIN_MS)
    [job] = witness.jobs(queue=f"{broker.prefix}default", state="dead")
    assert "decode" in witness.job(job.id).errors[-1].reason


def test_worker_processes_that_are_killed(broker, tmp_path, witness):
    notes = tmp_path / "notes"

    def start() -> subprocess.Popen[bytes]:
        environment = os.environ | {"BROKER": broker.client.nodes.urls[0], "PREFIX": broker.prefix, "NOTES": str(notes)}
        command = [sys.executable, "-m", "dramatiq", "program", "--processes", "1", "--threads", "2"]
        return subprocess.Popen(
            command,
            cwd=Path(__file__).parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @dramatiq.actor
    def note(text, seconds=0):
        raise AssertionError

    def noted(count: int) -> list[str]:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = notes.read_text().split() if notes.exists() else []
            if len(found) >= count:
                return found
            time.sleep(0.05)
        raise AssertionError("nothing was noted")

    first = start()
    note.send("again", 600)
    assert noted(1) == ["again"]
    os.killpg(first.pid, signal.SIGKILL)
    first.wait(30)
    [job] = witness.jobs(queue=f"{broker.prefix}default")
    second = start()
    assert second.stdout is not None
    said = Output(second.stdout)
    assert noted(2) == ["again", "again"], said.text
    assert witness.job(job.id).crashes == 1
    os.killpg(second.pid, signal.SIGKILL)
    second.wait(30)


def test_a_consumer_that_is_begun_anew_ends_what_the_earlier_one_has_brought(broker, witness):
    @dramatiq.actor
    def noop():
        pass

    noop.send()
    first = broker.consume("default", timeout=WITHIN_MS)
    message = next(first)
    first.close()
    second = broker.consume("default")
    second.ack(message)
    second.close()
    assert [job.state for job in witness.jobs(queue=f"{broker.prefix}default")] == ["concluded"]


def test_a_message_that_was_moved_is_of_the_queue_where_it_is(broker, worker, witness):
    done = []

    @dramatiq.actor(queue_name="second")
    def note(text):
        done.append(text)

    moved = note.message("moved").copy(queue_name="first")
    witness.enqueue(f"{broker.prefix}second", Raw(moved.encode()), type="note")
    broker.join("second", timeout=WITHIN_MS)
    assert done == ["moved"]
    assert [job.state for job in witness.jobs(queue=f"{broker.prefix}second")] == ["concluded"]


@pytest.mark.parametrize("wrong", [{"options": None}, {"actor_name": ["x"]}])
def test_a_message_of_a_wrong_form_is_dead_and_ends_no_consumer(broker, worker, witness, wrong):
    @dramatiq.actor
    def known():
        pass

    message = msgspec.json.decode(known.message().encode())
    witness.enqueue(f"{broker.prefix}default", {**message, **wrong})
    known.send()
    broker.join("default", timeout=WITHIN_MS)
    states = sorted(job.state for job in witness.jobs(queue=f"{broker.prefix}default"))
    assert states == ["concluded", "dead"]
    assert all(job.crashes == 0 for job in witness.jobs(queue=f"{broker.prefix}default"))
