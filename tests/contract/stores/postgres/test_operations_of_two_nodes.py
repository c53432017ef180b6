"""Two nodes, one operation: one of them works on it, and when it is killed the other takes over, with each job changed once."""

import signal
import time

import psycopg
import pytest

from tests.contract.doors.rest.conftest import Api, Server
from tests.contract.doors.rest.test_operations import dead, ended, start

pytestmark = pytest.mark.long(25)
COUNT = 1_500


@pytest.fixture
def nodes(group, tmp_path):
    started = [Server(tmp_path / f"log{number}", store=group.url) for number in (1, 2)]
    yield [(one, Api(one.url)) for one in started]
    for one in started:
        one.stop()
        assert "Traceback" not in one.log(), one.log()


def worker(group, number):
    with psycopg.connect(group.url) as connection:
        (found,) = connection.execute(
            "SELECT value::json ->> 'worker' FROM holdfast.operation WHERE id = %s", (number,)
        ).fetchone()
    return found


def test_the_node_that_works_on_an_operation_is_killed_and_the_other_takes_over(group, nodes):
    (first, api), (_, other) = nodes
    dead(api, "q", COUNT)
    begun = start(api, do="retry", filter={"queue": "q"}, per_s=250)
    while other.get(f"/v1/operations/{begun['id']}").json()["done"] < 50:
        pass
    workers = {worker(group, begun["id"]) for _ in range(50)}
    assert len(workers) == 1, "one node works on it"
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    done = other.get(f"/v1/operations/{begun['id']}").json()["done"]
    deadline = time.monotonic() + 30
    killed = time.monotonic()
    while (worker(group, begun["id"])) in workers and time.monotonic() - killed < 12:
        time.sleep(0.05)
    if worker(group, begun["id"]) in workers:
        assert other.get(f"/v1/operations/{begun['id']}").json()["done"] > done, "it was the other one's from the beginning"
    shown = ended(other, begun["id"], deadline - time.monotonic())
    assert (shown["state"], shown["done"], shown["skipped"]) == ("done", COUNT, [])
    assert other.counts("q") == {"ready": COUNT}
    with psycopg.connect(group.url) as connection:
        moments = [row[0] for row in connection.execute("SELECT ready_at FROM holdfast.ready ORDER BY ready_at")]
    for place in range(len(moments) - 100):
        assert moments[place + 100] - moments[place] >= 1_000 * (100 - 2) / 250 - 120, "the pace is kept over the takeover"


def test_a_node_that_knows_nothing_yet_of_an_operation_steers_it(group, nodes):
    (_, api), (_, other) = nodes
    dead(api, "q", 5)
    begun = start(api, do="retry", filter={"queue": "q"}, per_s=0.01)
    assert other.post(f"/v1/operations/{begun['id']}/pause").json()["state"] == "paused"
    assert other.patch(f"/v1/operations/{begun['id']}", json={"per_s": None}).json()["per_s"] is None
    assert other.post(f"/v1/operations/{begun['id']}/resume").json()["state"] == "running"
    assert ended(api, begun["id"])["done"] == 5
