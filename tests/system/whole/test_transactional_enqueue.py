"""An application's transaction and a worker who waits at a node: how soon it gets what was committed, and that nothing of it is special."""

import signal
import statistics
import time

import psycopg
import pytest

from cluster.postgres import server as postgres
from tests.contract.doors.web.alerts import exported, rules, unknown_names
from tests.system.whole.calls import park
from tests.system.whole.servers import Call, until

ROUNDS = 15
BURST = 3_000
ENQUEUE = "SELECT holdfast.enqueue('burst', n::text) FROM generate_series(1, %s) n"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


def test_a_worker_who_waits_gets_what_an_application_commits_long_before_the_slow_look(serve, database, tmp_path):
    """How soon exactly is measured by `python -m bench`; a node that only looked every second would need half a second in the middle."""
    nodes = [serve("--store", database.url(), at=tmp_path / name) for name in ("a", "b")]
    took = []
    with psycopg.connect(database.url()) as application:
        for number in range(ROUNDS):
            (call,) = park(nodes[number % 2], "orders")
            application.execute("SELECT holdfast.enqueue('orders', %s::text)", [str(number)])
            application.commit()
            started = time.monotonic()
            status, found = call.answer()
            took.append(time.monotonic() - started)
            assert (status, found["jobs"][0]["payload"]) == (200, number)
            token = found["jobs"][0]["lease"]["token"]
            assert Call(nodes[0], "POST", f"/v1/leases/{token}/conclude", {}).answer()[0] == 200
    assert statistics.median(took) < 0.4, [f"{seconds * 1000:.0f} ms" for seconds in took]


def test_a_delayed_job_of_an_application_is_given_when_it_is_due(serve, database, tmp_path):
    node = serve("--store", database.url(), at=tmp_path / "node")
    with psycopg.connect(database.url(), autocommit=True) as application:
        (call,) = park(node, "later")
        application.execute("SELECT holdfast.enqueue('later', '1', delay_ms => 300)")
    status, found = call.answer()
    assert (status, found["jobs"][0]["payload"]) == (200, 1)


def test_requests_that_enqueue_and_then_idle_hold_up_nobody(serve, database, tmp_path):
    """As requests of a web application that have enqueued, and wait for something else before they commit."""
    node = serve("--store", database.url(), at=tmp_path / "node")
    with psycopg.connect(database.url()) as one, psycopg.connect(database.url()) as other:
        numbers = [
            connection.execute("SELECT holdfast.enqueue('idle', '1', unique_key => 'k')").fetchone()[0]
            for connection in (one, other)
        ]
        assert Call(node, "POST", "/v1/queues/idle/jobs", {"payload": "http"}).answer()[0] == 201
        with psycopg.connect(database.url(), autocommit=True) as third:
            third.execute("SELECT holdfast.enqueue('idle', '\"sql\"')")
        found = []
        while len(found) < 2:
            status, leased = Call(node, "POST", "/v1/leases", {"queues": ["idle"], "max": 5, "wait_ms": 10_000}).answer()
            assert status == 200
            found += [job["payload"] for job in leased["jobs"]]
        assert sorted(found) == ["http", "sql"]
        other.commit()
        until(lambda: state_of(node, numbers[1]) == "ready", "the second is taken in before the first")
        one.commit()
        until(lambda: state_of(node, numbers[0]) == "dead", "the first is refused")
    shown = Call(node, "GET", f"/v1/jobs/{numbers[0]}").answer()[1]
    assert shown["reason"] == "refused"
    assert f"not_unique: Job {numbers[1]} holds the unique key" in shown["errors"][0]["reason"]
    why = Call(node, "GET", f"/v1/jobs/{numbers[0]}/why").answer()[1]
    assert "it could not be enqueued when it was taken in" in str(why)
    with node.client() as client:
        series = exported(client.get("/metrics").text)
        found = rules("holdfast-inbox.rules.yml")
        assert not [
            (rule["alert"], wrong) for rule in found for wrong in unknown_names(rule["expr"], str(rule["annotations"]), series)
        ]
        assert client.get("/v1/stats").json()["inbox"].keys() == {"rows", "bytes", "oldest_ms"}
        assert "Enqueued by SQL" in client.get("/web/store").text


def state_of(node, number):
    return Call(node, "GET", f"/v1/jobs/{number}").answer()[1].get("state")


def test_nodes_that_are_killed_while_they_take_in_lose_nothing_and_put_nothing_twice(serve, database, tmp_path):
    nodes = [serve("--store", database.url(), at=tmp_path / name) for name in ("a", "b")]
    with psycopg.connect(database.url(), autocommit=True) as application:
        numbers: list[int] = []
        for turn in range(4):
            with application.transaction():
                numbers += [number for (number,) in application.execute(ENQUEUE, [BURST])]
            until(lambda: left(application) < BURST, "somebody takes in")
            nodes[turn % 2].process.send_signal(signal.SIGKILL)
            nodes[turn % 2].gone()
            nodes[turn % 2] = serve("--store", database.url(), at=tmp_path / "ab"[turn % 2])
        until(lambda: not left(application), "all is taken in")
        query = "SELECT j.id FROM holdfast.job j JOIN holdfast.queue q ON q.id = j.queue WHERE q.name = 'burst' ORDER BY j.id"
        assert [number for (number,) in application.execute(query)] == numbers
    tally = Call(nodes[0], "GET", "/v1/queues/burst").answer()[1]["jobs"]
    assert tally["ready"] == len(numbers)


def left(application) -> int:
    return application.execute("SELECT count(*) FROM holdfast.inbox").fetchone()[0]


def test_a_node_that_stands_still_with_its_turn_holds_up_nobody_for_long(serve, database, tmp_path):
    nodes = [serve("--store", database.url(), at=tmp_path / name) for name in ("a", "b")]
    with psycopg.connect(database.url(), autocommit=True) as application:
        for turn, node in enumerate(nodes):
            node.send(signal.SIGSTOP)
            application.execute("SELECT holdfast.enqueue('still', '1')")
            until(lambda: not left(application), "the other takes in")
            node.send(signal.SIGCONT)
            status, found = Call(nodes[1 - turn], "POST", "/v1/leases", {"queues": ["still"], "wait_ms": 10_000}).answer()
            assert (status, len(found["jobs"])) == (200, 1)
