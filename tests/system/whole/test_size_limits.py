"""Bounds on the size of files and quotas: to the store it is as if the disk were full, and not as if it were broken."""

import resource
import signal

import pytest

from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, lease, push
from tests.system.whole.servers import Server

pytestmark = [pytest.mark.long(20), pytest.mark.fresh]

MIB = 1 << 20


@pytest.fixture
def bounded(serve):
    """Starts servers none of whose files may be larger than this."""

    def start(size_bytes: int, *options: str) -> Server:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
        try:
            return serve(*options)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return start


@pytest.mark.parametrize("size_bytes", [1 * MIB, 3 * MIB + 1_234])
@pytest.mark.parametrize("payload_bytes", [10_000, 200_000])
def test_at_the_bound_on_file_size_pushes_are_refused_and_nothing_is_lost(bounded, serve, home, size_bytes, payload_bytes):
    server = bounded(size_bytes)
    with server.client() as client:
        kept = [push(client, "q", "first")["id"]]
        (job,) = lease(client, "q", lease_ms=600_000)
        refused = 0
        for _ in range(20 * MIB // payload_bytes):
            answer = client.post("/v1/queues/q/jobs", json={"payload": "x" * payload_bytes})
            assert answer.status_code in (201, 507), answer.text
            if answer.status_code == 507:
                assert answer.json()["code"] == "storage_full"
                refused += 1
                if refused > 5:
                    break
            else:
                kept.append(answer.json()["id"])
        assert refused
        assert client.get("/v1/queues/q").json()["jobs"]["ready"] == len(kept) - 1
        assert conclude(client, job).status_code in (200, 507)
    assert server.process.poll() is None, server.err.text
    server.send(signal.SIGTERM)
    assert server.ended() == 0
    server.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []
    with serve().client() as client:
        jobs = client.get("/v1/queues/q").json()["jobs"]
        assert jobs["ready"] + jobs["leased"] + jobs["concluded"] == len(kept)
        push(client, "q", "again")


def test_a_commit_of_nothing_is_not_counted(serve):
    with serve().client() as client:
        push(client, "q", 1)
        before = client.get("/v1/stats").json()
        for _ in range(30):
            assert lease(client, "empty") == []
            assert client.get("/readyz").status_code == 200
        after = client.get("/v1/stats").json()
        push(client, "q", 1)
        last = client.get("/v1/stats").json()
    assert after["store"]["commits"] == before["store"]["commits"]
    assert last["store"]["commits"] == before["store"]["commits"] + 1
