"""What kombu's own tests do not ask of a transport: bindings that all processes see, what is left by the dead, an outage."""

import socket
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import kombu
import pytest
from kombu.exceptions import OperationalError

from holdfast.celery import orphans
from holdfast.celery.exchanges import pattern_of
from holdfast.celery.messages import options
from holdfast.errors import QueueNotFound
from tests.contract.celery.processes import until
from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.servers import Server


@pytest.mark.parametrize(
    ("binding", "fits", "does_not"),
    [
        ("a.*", ["a.b"], ["a", "a.b.c", "xa.b"]),
        ("a.#", ["a", "a.b", "a.b.c"], ["ab", "b.a"]),
        ("#.z", ["z", "a.z", "a.b.z"], ["az", "z.a"]),
        ("a.#.z", ["a.z", "a.b.z", "a.b.c.z"], ["az", "a.zz"]),
        ("*.stock.#", ["usd.stock", "usd.stock.db"], ["stock", "a.b.stock"]),
        ("#", ["", "a", "a.b"], []),
        ("a+b(c)|d", ["a+b(c)|d"], ["aab", "d", "a+b(c)"]),
        ("ä b", ["ä b"], ["a b"]),
    ],
)
def test_a_binding_of_a_topic_exchange_matches_as_amqp_says(connection, witness, binding, fits, does_not):
    channel = connection.default_channel
    channel.exchange_declare("topics", type="topic")
    channel.queue_declare("q-topics")
    channel.queue_bind("q-topics", "topics", binding)
    try:
        for key in fits:
            assert witness.who_wants({"exchange": {"topics": key}}) == ["q-topics"], key
        for key in does_not:
            assert witness.who_wants({"exchange": {"topics": key}}) == [], key
    finally:
        channel.queue_delete("q-topics")


def test_bindings_are_seen_by_every_process_and_taken_back_one_by_one(connection, broker, witness):
    here = connection.default_channel
    here.exchange_declare("logs", type="direct")
    here.queue_declare("q-logs")
    for key in ("error", "warning"):
        here.queue_bind("q-logs", "logs", key)
    with kombu.Connection(broker) as elsewhere:
        elsewhere.Producer().publish("1", exchange="logs", routing_key="error")
        there = elsewhere.default_channel
        there.exchange_declare("logs", type="direct")
        assert sorted(pattern for pattern, _, _ in there.get_table("logs")) == ["error", "warning"]
        there.queue_unbind("q-logs", "logs", "error")
        elsewhere.Producer().publish("2", exchange="logs", routing_key="error")
        elsewhere.Producer().publish("3", exchange="logs", routing_key="warning")
        assert witness.queue("q-logs").jobs.ready == 2
        there.exchange_delete("logs")
    assert witness.who_wants({"exchange": {"logs": "warning"}}) == []
    assert here.queue_purge("q-logs") == 2
    here.queue_delete("q-logs")
    with pytest.raises(QueueNotFound):
        witness.queue("q-logs")


def test_a_declaration_keeps_what_an_operator_has_set(connection, witness):
    witness.set_queue("q-set", capacity_jobs=7)
    queue = kombu.Queue("q-set", max_length=5, message_ttl=60)
    queue(connection.default_channel).declare()
    settings = witness.queue("q-set").settings
    assert (settings["capacity_jobs"], settings["expires_in_ms"]) == (7, 60_000)
    for _ in range(7):
        connection.Producer().publish("x", routing_key="q-set")
    with pytest.raises(OperationalError, match="full"):
        connection.Producer().publish("x", routing_key="q-set")


def test_queues_of_processes_that_are_gone_are_removed_and_those_of_others_are_not(connection, broker, witness):
    channel = connection.default_channel
    channel.exchange_declare("all", type="fanout")
    for name in ("q-gone", "q-here"):
        channel.queue_declare(name, auto_delete=True, arguments={"x-expires": 10_000})
        channel.queue_bind(name, "all")
    connection.Producer().publish("x", exchange="all")
    consumer = kombu.Consumer(connection, [kombu.Queue("q-here", no_declare=True)], on_message=lambda message: message.ack())
    with consumer:
        connection.drain_events(timeout=PATIENCE_S)
        assert until(lambda: [worker for worker in witness.workers() if "q-here" in worker.queues])
        later = datetime.now(UTC) + timedelta(minutes=11)
        assert "q-gone" not in orphans.remove(witness, datetime.now(UTC))
        removed = orphans.remove(witness, later)
    assert "q-gone" in removed
    assert "q-here" not in removed


def test_a_message_that_kombu_sends_again_is_stored_once(connection, witness):
    channel = connection.default_channel
    properties = {"delivery_mode": 2}
    eta = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for _ in range(2):
        message = channel.prepare_message("x", headers={"eta": eta}, properties=properties, content_type="text/plain")
        channel.basic_publish(message, "", "q-once")
        time.sleep(0.01)
    assert len(list(witness.jobs(queue="q-once"))) == 1


def test_a_program_that_ends_at_once_has_acknowledged_what_it_said(broker, witness):
    program = f"""
import kombu, holdfast.celery
connection = kombu.Connection({broker!r})
queue = connection.SimpleQueue("q-exit")
queue.put("x")
queue.get(timeout=60).ack()
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert [job.state for job in witness.jobs(queue="q-exit")] == ["concluded"]


def test_options_of_a_job():
    def of(headers: dict[str, Any], **properties: Any) -> dict[str, Any]:
        return options({"headers": headers, "properties": properties}, False)

    assert of({}) == {}
    assert of({"task": "t", "id": "7"}, priority=9) == {"type": "t", "meta": {"task_id": "7"}, "priority": 1_015}
    assert options({"headers": {}, "properties": {"priority": 3}}, True) == {"priority": 1_027}
    assert of({"task": "t" * 129}) == {}
    assert of({"eta": "not a time"}) == {}
    assert of({"eta": "2001-01-01T00:00:00"}) == {}
    soon = (datetime.now(UTC) + timedelta(seconds=100)).isoformat()
    found = of({"eta": soon}, expiration="150000")
    assert 99_000 < found["delay_ms"] <= 100_000
    assert found["expires_in_ms"] == 150_000 - found["delay_ms"]
    assert of({"eta": soon}, expiration="1000")["expires_in_ms"] == 1
    assert of({"eta": "9999-01-01T00:00:00+00:00"})["delay_ms"] == 316_224_000_000


def test_a_pattern_of_a_fanout_exchange_takes_any_key():
    assert pattern_of("fanout", "x") == ".*"


def test_what_is_held_over_a_restart_of_the_server_is_acknowledged_afterwards(tmp_path):
    """And the consumer goes on."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = str(listener.getsockname()[1])
    listener.close()
    server = Server(tmp_path, "--log-level", "warning", "--port", port).start()
    got: list[Any] = []
    try:
        with kombu.Connection(f"holdfast://127.0.0.1:{port}") as connection:
            queue = connection.SimpleQueue("q")
            queue.put("first")
            first = queue.get(timeout=PATIENCE_S)
            server.kill_all()
            first.ack()
            server = Server(tmp_path, "--log-level", "warning", "--port", port).start()
            thread = threading.Thread(target=lambda: got.append(queue.get(timeout=PATIENCE_S)))
            thread.start()
            with kombu.Connection(f"holdfast://127.0.0.1:{port}") as other:
                other.SimpleQueue("q").put("second")
            thread.join(PATIENCE_S)
            assert [message.payload for message in got] == ["second"]
            got[0].ack()
            queue.close()
        from holdfast import Client  # noqa: PLC0415

        with Client(server.url) as client:
            assert [job.state for job in client.jobs(queue="q")] == ["concluded"] * 2
            assert all(job.attempt == 1 for job in client.jobs(queue="q"))
    finally:
        server.destroy()


def test_a_producer_s_key_sends_and_declares_nothing(tmp_path):
    server = Server(tmp_path, "--log-level", "warning").start()
    try:
        from holdfast import Client  # noqa: PLC0415

        with Client(server.url) as client:
            admin = client.create_key("admin", ["admin", "read", "manage", "produce", "consume", "publish"])
            client = Client(server.url, token=admin.secret)  # noqa: PLW2901
            key = client.create_key("web", ["produce", "publish"], queues=["celery"])
            with kombu.Connection(server.url.replace("http://", f"holdfast://:{key.secret}@")) as connection:
                queue = kombu.Queue("celery", kombu.Exchange("celery"), routing_key="celery")
                connection.Producer().publish("x", routing_key="celery", declare=[queue])
            assert client.queue("celery").jobs.ready == 1
            with pytest.raises(Exception, match="key"), kombu.Connection(server.url.replace("http", "holdfast")) as stranger:
                stranger.connect()
    finally:
        server.destroy()


@pytest.mark.parametrize(
    ("number", "payload"),
    list(
        enumerate(
            [
                {"body": "x", "headers": {}, "properties": {"body_encoding": "rot13"}},
                {"body": "abc", "headers": {}, "properties": {"body_encoding": "base64"}},
                {"body": {"x": 1}, "headers": {}, "properties": {"body_encoding": "base64"}},
                {"body": "x", "headers": {"task": ["t"], "id": "7"}, "properties": {}},
                {"body": "x", "headers": {"task": "t"}, "properties": {}},
                {"body": "x", "headers": {}, "properties": {"delivery_info": "x"}},
            ]
        )
    ),
)
def test_a_message_that_would_end_a_consumer_is_dead_and_the_next_is_received(connection, witness, number, payload):
    queue = f"q-poison-{number}"
    job = witness.enqueue(queue, payload, type="t")
    simple = connection.SimpleQueue(queue)
    simple.put("good")
    message = simple.get(timeout=PATIENCE_S)
    assert message.payload == "good"
    message.ack()
    assert until(lambda: witness.job(job.id).state == "dead")
    simple.close()


def test_a_payload_that_is_no_json_calls_no_task(connection, witness):
    job = witness.enqueue("q-bytes", b"\x00\x01", content_type="application/octet-stream", type="t")
    simple = connection.SimpleQueue("q-bytes")
    with pytest.raises(simple.Empty):
        simple.get(timeout=1)
    assert until(lambda: witness.job(job.id).state == "dead")
    simple.close()


def test_a_token_that_logs_would_show_is_refused():
    with pytest.raises(ValueError, match="behind a colon") as refused:
        kombu.Connection("holdfast://my-token@127.0.0.1").connect()
    assert "my-token" not in str(refused.value)
