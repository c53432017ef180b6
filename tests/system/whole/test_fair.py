"""Fair shares of real processes: two nodes on one PostgreSQL, and `kill -9` between the turns."""

import pytest

from cluster.postgres import server as postgres
from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, push

pytestmark = pytest.mark.long(30)


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


def fill(client):
    client.put("/v1/queues/q", json={"fair": True}).raise_for_status()
    for n in range(30):
        push(client, "q", n, fair_key="big")
    for key in ("s1", "s2", "s3"):
        for n in range(3):
            push(client, "q", n, fair_key=key)


def take(client):
    (job,) = client.post("/v1/leases", json={"queues": ["q"]}).json()["jobs"]
    assert conclude(client, job).status_code == 200
    return job["fair_key"]


def test_the_turns_go_on_after_kill_9(serve, home):
    server = serve()
    given = []
    with server.client() as client:
        fill(client)
        given += [take(client) for _ in range(5)]
    server.kill_all()
    server.gone()
    server = serve()
    with server.client() as client:
        given += [take(client) for _ in range(9)]
        assert client.get("/v1/queues/q/fair").json()["keys"] == 1
    assert given[:4] == given[4:8] == given[8:12] == ["big", "s1", "s2", "s3"]
    server.kill_all()
    server.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []


def test_two_nodes_give_each_key_its_turn(serve, database):
    first, second = (serve("--store", database.url()) for _ in range(2))
    with first.client() as one, second.client() as other:
        fill(one)
        given = [take((one, other)[n % 2]) for n in range(12)]
        assert given[:4] == given[4:8] == given[8:12] == ["big", "s1", "s2", "s3"]
        other.put("/v1/queues/q/fair/late", json={"weight": 3}).raise_for_status()
        for n in range(6):
            push(other, "q", n, fair_key="late")
        given = [take((one, other)[n % 2]) for n in range(8)]
        assert given.count("late") == 6
