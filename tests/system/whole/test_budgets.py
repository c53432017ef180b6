"""Budgets of real processes: over two nodes at one account, and over `kill -9` with units held."""

import threading
import time
from datetime import datetime

import pytest

from cluster.postgres import server as postgres
from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, lease, push

pytestmark = pytest.mark.long(30)

JOBS = 120
QUEUES = ("a", "b", "c")


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


class Workers:
    """Workers on several servers, who count how many jobs they have at once, all together."""

    def __init__(self, servers):
        self.lock = threading.Lock()
        self.held = self.most = self.done = 0
        self.failed: list[str] = []
        self.threads = [threading.Thread(target=self.work, args=(servers[n % len(servers)],)) for n in range(8)]

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(120)
        assert not self.failed

    def work(self, server):
        try:
            with server.client() as client:
                while self.done < JOBS:
                    wanted = {"queues": QUEUES, "max": 3, "wait_ms": 500}
                    for job in client.post("/v1/leases", json=wanted).json()["jobs"]:
                        with self.lock:
                            self.held += 1
                            self.most = max(self.most, self.held)
                        time.sleep(0.002)  # it works
                        with self.lock:
                            self.held -= 1
                        assert conclude(client, job).status_code == 200
                        with self.lock:
                            self.done += 1
        except Exception as error:  # noqa: BLE001  (told by the test)
            self.failed.append(repr(error))
            self.done = JOBS


def test_two_nodes_at_one_account_never_hold_more_than_the_limit_nor_start_more_than_the_rate(serve, database, tmp_path):
    nodes = [serve("--store", database.url(), at=tmp_path / name) for name in ("a", "b")]
    with nodes[0].client() as client:
        assert client.put("/v1/budgets/five", json={"limit": 5}).status_code == 200
        assert client.put("/v1/budgets/rate", json={"limit": 40, "per_ms": 1_000, "burst": 7}).status_code == 200
        jobs = [
            {"queue": QUEUES[n % 3], "budgets": [{"name": "five"}, {"name": "rate"}] if n % 2 else [{"name": "five"}]}
            for n in range(JOBS)
        ]
        ids = [job["id"] for job in client.post("/v1/jobs", json={"jobs": jobs}).json()["jobs"]]
        workers = Workers(nodes)
        workers.run()
        assert workers.done == JOBS
        assert 2 <= workers.most <= 5
        rated = [client.get(f"/v1/jobs/{job}").json() for job in ids[1::2]]
        budget = client.get("/v1/budgets/five").json()
        assert (budget["jobs"], budget["running"], budget["waiting"]) == (0, 0, 0)
    starts = sorted(datetime.fromisoformat(job["leased_at"]).timestamp() * 1000 for job in rated)
    for first in range(len(starts)):
        for last in range(first, len(starts)):
            assert last - first + 1 <= 7 + 40 * (round(starts[last]) - round(starts[first])) / 1_000


def test_units_that_are_held_when_everything_is_killed_are_held_afterwards(serve, home):
    server = serve()
    with server.client() as client:
        client.put("/v1/budgets/two", json={"limit": 2})
        client.put("/v1/budgets/rate", json={"limit": 1, "per_ms": 3_600_000})
        for n in range(5):
            push(client, "q", n, budgets=[{"name": "two"}])
        for n in range(3):
            push(client, "r", n, budgets=[{"name": "rate"}])
        held = lease(client, "q", max=5, lease_ms=600_000)
        assert len(held) == 2
        assert len(lease(client, "r", max=5)) == 1
    server.kill_all()
    server.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []
    after = serve()
    with after.client() as client:
        assert lease(client, "q", max=5) == []
        assert lease(client, "r", max=5) == []
        assert conclude(client, held[0]).status_code == 200
        assert len(lease(client, "q", max=5)) == 1
    after.kill_all()
    after.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []
