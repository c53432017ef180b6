"""An application's transaction and a worker who waits at a node: how soon it gets what was committed, and that nothing of it is special."""

import statistics
import time

import psycopg
import pytest

from cluster.postgres import server as postgres
from tests.system.whole.calls import park
from tests.system.whole.servers import Call

ROUNDS = 15


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
