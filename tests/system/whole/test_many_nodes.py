"""Two equal servers over one PostgreSQL: what one does the other knows, and neither is missed when it is killed."""

import signal
import socket
import statistics
import time

import pytest

from cluster.postgres import server as postgres
from tests.contract.doors.websocket.channel import open_channel
from tests.system.whole.calls import metric, park
from tests.system.whole.servers import Call, until

pytestmark = pytest.mark.long(30)

ROUNDS = 15


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


@pytest.fixture
def nodes(serve, database, tmp_path):
    """Two servers on one database in which nothing is."""
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")

    def start(*options: str):
        return [serve("--store", database.url(), *options, at=tmp_path / name) for name in ("a", "b")]

    return start


def put(server, payload=1, queue="q", **options):
    status, job = Call(server, "POST", f"/v1/queues/{queue}/jobs", {"payload": payload} | options).answer()
    assert status == 201, job
    return job


def lease(server, queue="q", **options):
    status, found = Call(server, "POST", "/v1/leases", {"queues": [queue]} | options).answer()
    assert status == 200, found
    return found["jobs"]


def conclude(server, job):
    return Call(server, "POST", f"/v1/leases/{job['lease']['token']}/conclude", {}).answer()


def test_a_job_put_on_one_node_wakes_a_worker_who_waits_on_another_long_before_the_slow_look(nodes):
    """A node that only looked every second would need half a second in the middle."""
    one, other = nodes()
    put(one)
    conclude(other, lease(other)[0])
    took = []
    for number in range(ROUNDS):
        (call,) = park(other, "q")
        started = time.monotonic()
        put(one, number)
        status, found = call.answer()
        took.append(time.monotonic() - started)
        assert (status, found["jobs"][0]["payload"]) == (200, number)
        conclude(one, found["jobs"][0])
    assert statistics.median(took) < 0.4, [f"{seconds * 1000:.0f} ms" for seconds in took]


def test_a_lease_from_one_node_is_ended_on_another_and_only_once(nodes):
    one, other = nodes()
    put(one)
    (job,) = lease(one)
    assert lease(other) == []
    assert conclude(other, job)[0] == 200
    assert conclude(one, job)[0] == 200  # the same lease again: the same answer
    assert lease(one) == lease(other) == []


def test_the_bound_of_a_queue_holds_over_both_nodes(nodes):
    one, other = nodes("--size", "5")
    answers = [Call(server, "POST", "/v1/queues/q/jobs", {"payload": n}) for n in range(10) for server in (one, other)]
    statuses = [call.answer()[0] for call in answers]
    assert sorted(statuses) == [201] * 5 + [429] * 15


def test_room_made_on_one_node_lets_a_push_in_that_waits_on_another(nodes):
    one, other = nodes("--size", "1")
    put(one)
    waiting = Call(other, "POST", "/v1/queues/q/jobs?wait_ms=20000", {"payload": 2})
    with other.client() as client:
        until(lambda: 'holdfast_waiters{front="0"} 1.0' in client.get("/metrics").text, "the push waits")
    conclude(one, lease(one)[0])
    assert waiting.answer()[0] == 201


def test_a_call_that_waits_for_a_job_hears_that_it_ended_on_another_node(nodes):
    one, other = nodes()
    job = put(one)
    waiting = Call(other, "GET", f"/v1/jobs/{job['id']}?wait_ms=20000")
    with other.client() as client:
        until(lambda: 'holdfast_waiters{front="0"} 1.0' in client.get("/metrics").text, "the call waits")
    conclude(one, lease(one)[0])
    status, found = waiting.answer()
    assert (status, found["state"]) == (200, "concluded")


def test_one_key_makes_one_job_whichever_node_is_asked(nodes):
    one, other = nodes()
    calls = [
        Call(server, "POST", "/v1/queues/q/jobs", {"payload": 1}, **{"Idempotency-Key": f"k{n}"})
        for n in range(10)
        for server in (one, other)
    ]
    answers = [call.answer() for call in calls]
    assert all(status in (200, 201) for status, _ in answers), answers
    assert len({body["id"] for _, body in answers}) == 10


def test_when_one_node_is_killed_the_other_has_everything_and_its_leases_live_on(nodes):
    one, other = nodes()
    for number in range(20):
        put(one, number)
    (kept,) = lease(one, lease_ms=60_000)
    (lost,) = lease(one, lease_ms=1_500)
    one.kill_all()
    one.gone()
    assert conclude(other, kept)[0] == 200
    found = []
    until(lambda: found.extend(lease(other, max=100, wait_ms=500)) or len(found) == 19, "the other jobs")
    assert lost["id"] in [job["id"] for job in found]
    assert conclude(other, lost)[0] == 409


def test_a_paused_node_holds_nobody_up_and_goes_on_afterwards(nodes):
    one, other = nodes()
    put(one)
    one.send(signal.SIGSTOP)
    (job,) = lease(other)
    assert conclude(other, job)[0] == 200
    one.send(signal.SIGCONT)
    assert lease(one) == []
    put(one)


def test_a_server_starts_before_its_database_and_serves_when_it_is_there(serving, database, tmp_path):
    database.stop()
    try:
        server = serving("--store", database.url(), at=tmp_path / "early").start()
        with server.client() as client:
            assert client.get("/healthz").status_code == 200
            assert client.get("/readyz").json()["reasons"] == ["store_unavailable"]
            assert client.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 503
    finally:
        database.start()
    with server.client() as client:
        until(lambda: client.get("/readyz").status_code == 200, "it is ready")
        assert client.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 201
    server.send(signal.SIGTERM)
    assert server.ended() == 0


def test_beyond_loopback_a_node_asks_the_database_for_keys_and_lets_nobody_in_before_it_can(serving, database, tmp_path):
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    flags = ("--host", "0.0.0.0", "--store", database.url())
    without = serving(*flags, at=tmp_path / "without").launch()
    assert without.ended() == 2
    assert "there is no access key" in without.err.text
    database.stop()
    try:
        early = serving(*flags, at=tmp_path / "early").start()
        with early.client() as client:
            assert client.get("/healthz").status_code == 200
            assert client.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 503
    finally:
        database.start()
    with early.client() as client:
        until(lambda: client.get("/readyz").status_code == 200, "it is ready")
        until(lambda: client.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 401, "it has asked for keys")
    early.send(signal.SIGTERM)
    assert early.ended() == 0


@pytest.mark.parametrize("on_break", ["release", "keep"])
def test_what_a_channel_held_when_the_database_went_away_is_ready_again_when_it_is_back_and_that_is_no_crash(
    nodes, database, on_break
):
    one, other = nodes()
    put(one, 1)
    put(one, 2)
    with open_channel(one.url) as worker:
        worker.start("q", credits=2, lease_ms=600_000, on_break=on_break)
        worker.jobs(2)
        database.kill()
        worker.line.socket.shutdown(socket.SHUT_RDWR)
        with one.client() as client:
            until(lambda: metric(client.get("/metrics").text, "holdfast_channels") == 0, "the node knows that it has broken")
            assert client.post("/v1/queues/q/jobs", json={"payload": 3}).status_code == 503, "which is said behind what it held"
    database.start()
    with other.client() as client:
        until(lambda: client.get("/readyz").status_code == 200, "it is ready")
    back = []
    until(lambda: back.extend(lease(other, max=2, wait_ms=500)) or len(back) == 2, "its jobs")
    assert {(job["attempt"], job["crashes"]) for job in back} == {(2, 0)}


def test_a_worker_that_beats_on_one_node_is_not_taken_for_silent_by_the_other(nodes):
    one, other = nodes("--worker-silence-ms", "1000")
    status, worker = Call(one, "POST", "/v1/workers", {"queues": ["q"]}).answer()
    assert status == 201
    ends = time.monotonic() + 5  # longer than the silence and what sharing adds to it
    while time.monotonic() < ends:
        assert Call(one, "POST", f"/v1/workers/{worker['id']}/beat").answer()[0] == 200
        assert Call(other, "GET", f"/v1/workers/{worker['id']}").answer()[0] == 200
        time.sleep(0.1)
    until(lambda: Call(other, "GET", f"/v1/workers/{worker['id']}").answer()[0] == 404, "it is removed when it is silent")
