"""Damaged rows under a real server: it starts, serves what stands beside them, names them on every place that tells of trouble, and lets them be
removed. `tests/contract/stores/test_damaged_columns.py` goes through every column with every kind of value.
"""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from cluster.postgres import PostgresServer, server
from holdfast.stores.postgres import maintenance as database
from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, lease, metric, push
from tests.system.whole.servers import Server, until

pytestmark = pytest.mark.long(40)

DAMAGES = {
    "job": 'UPDATE job SET extras = \'{"unique_key":"k\' WHERE id = 1',
    "job's text": "UPDATE job SET type = CAST(x'ff' AS TEXT) WHERE id = 1",
    "job's numbers": "UPDATE job SET created_at = -9223372036854775808, max_attempts = -1 WHERE id = 1",
    "job that is missing": "DELETE FROM job WHERE id = 1",
    "queue's settings": "UPDATE queue SET settings = '{\"max_attempts\": \"x\"}' WHERE name = 'sick'",
    "interest": "UPDATE interest SET match = '{\"(\": \"x\"}' WHERE queue = (SELECT id FROM queue WHERE name = 'sick')",
    "worker": "UPDATE worker SET queues = '[', state = 'asleep'",
    "counter": "DELETE FROM counter",
    "queue that is missing": "DELETE FROM queue WHERE name = 'sick'",
}
DAMAGES_IN_POSTGRES = {
    "account of a queue's lines": "UPDATE queue SET ready_floors = '[1]' WHERE name = 'sick'",
    "queue's last moment": "UPDATE queue SET seen_at = 9223372036854775807 WHERE name = 'sick'",
}
FILLED = "filled"
KEPT = ("--worker-silence-ms", "86400000")  # the worker of a store that was filled a while ago is not removed as silent
NOT_IN_POSTGRES = ("job's text",)  # it takes no text that is none
NOTICED_AT_A_START = [("postgres, beside a server", "queue that is missing")]
NOT_COUNTED = ("counter", "queue's last moment")  # a start mends it
TOLD_BY_CHECK = ("job", "queue's settings", "interest", "worker", "job that is missing")


def fill(client: httpx.Client) -> None:
    """A queue to be damaged with one job, and one beside it."""
    for name in ("sick", "well"):
        client.put(f"/v1/interests/{name}", json={"match": {"kind": f"^{name}$"}}).raise_for_status()
    push(client, "sick", "one", tags=["a"])
    push(client, "well", "two")
    client.post("/v1/workers", json={"name": "w", "queues": ["well"]}).raise_for_status()


def the_neighbour_is_served(client: httpx.Client) -> None:
    """Put, take, conclude, publish, list, look."""
    put = push(client, "well", "hello")
    jobs = lease(client, "well", max=100)
    assert put["id"] in {job["id"] for job in jobs}
    assert {conclude(client, job).status_code for job in jobs} == {200}
    published = client.post("/v1/publish", json={"data": {"kind": "well"}})
    assert published.status_code == 201, published.text
    (copy,) = lease(client, "well")
    assert conclude(client, copy, "fail", reason="no", retry=False).status_code == 200
    assert client.delete(f"/v1/jobs/{copy['id']}").status_code == 204
    paths = [
        "/v1/queues",
        "/v1/queues/well",
        "/v1/jobs",
        "/v1/jobs?queue=well",
        "/v1/stats",
        "/v1/workers",
        "/v1/interests",
        "/metrics",
    ]
    paths += [
        "/web",
        "/web/jobs",
        "/web/failures",
        "/web/workers",
        "/web/interests",
        "/web/store",
        "/web/queues/well",
        "/readyz",
    ]
    for path in paths:
        answer = client.get(path, follow_redirects=True)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])


def mend(client: httpx.Client) -> None:
    """By the verbs that everybody uses."""
    for info in client.get("/v1/queues").json()["queues"]:
        if info["name"] != "well":
            client.put(f"/v1/queues/{info['name']}", json={}).raise_for_status()
            client.post(f"/v1/queues/{info['name']}/resume")
            client.put(f"/v1/interests/{info['name']}", json={"match": "*"}).raise_for_status()
            lease(client, info["name"], max=100)  # what can't be read is set aside when its turn comes
    for job in client.get("/v1/jobs?state=dead").json()["jobs"]:
        assert job["reason"] == "unreadable"
        assert "can't be read" in client.get(f"/v1/jobs/{job['id']}").json()["errors"][0]["reason"]
        assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
    for worker in client.get("/v1/workers").json()["workers"]:
        assert client.delete(f"/v1/workers/{worker['id']}").status_code in (200, 204)


class InFile:
    """A store file, changed while nobody serves it: a copy of one that a server filled."""

    beside = False
    options: tuple[str, ...] = KEPT

    def __init__(self, home: Path, filled: Path) -> None:
        self._path = home / "holdfast-data/jobs.db"
        shutil.copytree(filled, home)

    def change(self, statement: str) -> None:
        with closing(sqlite3.connect(self._path)) as other, other:
            assert other.execute(statement).rowcount > 0

    def check(self) -> list[str]:
        return maintenance.check(self._path)


class InDatabase:
    """A database, a copy of one that a server filled, changed while nobody serves it, or `beside` a server at work that fills it itself."""

    def __init__(self, database: PostgresServer, beside: bool) -> None:
        self.beside = beside
        self._database = database
        database.empty("template1" if beside else FILLED)
        self.options = ("--store", database.url(), *KEPT)

    def change(self, statement: str) -> None:
        with self._database.connect("holdfast", "holdfast") as other:
            other.execute("SET search_path = holdfast")
            assert other.execute(statement).rowcount > 0

    def check(self) -> list[str]:
        return asyncio.run(database.check(self._database.url()))


def filled_by_a_server(home: Path, *options: str) -> None:
    """Start one, fill its store, and end it."""
    served = Server(home, *options).start()
    try:
        with served.client() as client:
            fill(client)
    finally:
        served.destroy()


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """The folder of a server that has filled its store file."""
    home = tmp_path_factory.mktemp("filled") / "home"
    filled_by_a_server(home)
    return home


@pytest.fixture(scope="module")
def postgres(tmp_path_factory) -> Iterator[PostgresServer]:
    """With a database that was filled."""
    folder = tmp_path_factory.mktemp("postgres")
    with server(folder) as one:
        one.sql(f"CREATE DATABASE {FILLED} OWNER holdfast")
        filled_by_a_server(folder / "home", "--store", one.url(database=FILLED))
        yield one


@pytest.fixture
def place(request, home) -> InFile | InDatabase:
    if request.param == "sqlite":
        return InFile(home, request.getfixturevalue("filled"))
    return InDatabase(request.getfixturevalue("postgres"), request.param == "postgres, beside a server")


CASES = [("sqlite", what) for what in DAMAGES]
CASES += [
    (name, what)
    for name in ("postgres", "postgres, beside a server")
    for what in (*DAMAGES, *DAMAGES_IN_POSTGRES)
    if what not in NOT_IN_POSTGRES and (name, what) not in NOTICED_AT_A_START
]


@pytest.mark.parametrize(("place", "what"), CASES, indirect=["place"])
def test_one_damaged_row_stops_nothing_else_and_can_be_removed(serve, place, what):
    if place.beside:
        served = serve(*place.options)
        with served.client() as client:
            fill(client)
    place.change((DAMAGES | DAMAGES_IN_POSTGRES)[what])
    if what in TOLD_BY_CHECK:
        assert place.check() != []
    if not place.beside:
        served = serve(*place.options)
    with served.client() as client:
        the_neighbour_is_served(client)
        lease(client, "sick", max=10)
        the_neighbour_is_served(client)
        if what not in NOT_COUNTED:
            until(lambda: metric(client.get("/metrics").text, "holdfast_unreadable_rows_total") > 0, "it is counted")
            until(lambda: "could not be read" in client.get("/web").text, "the page says so, once it looks anew")
            assert "could not be read" in client.get("/web/store").text
            assert served.err.text.count("a row of the store can't be read") <= 3
        mend(client)
        the_neighbour_is_served(client)
        again = push(client, "sick", "again")
        assert again["id"] in {job["id"] for job in lease(client, "sick", max=10)}
    end(served)
    assert [one for one in place.check() if "can be read" in one] == []


def end(served: Server) -> None:
    served.kill_all()
    served.gone()
