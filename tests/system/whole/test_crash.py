"""SIGKILL, to all of the server and to each of its processes: what was acknowledged is there, and nothing is left running."""

import signal
import time
from typing import Any

import pytest

from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, lease, park, push
from tests.system.whole.load import Load, everything_is_there
from tests.system.whole.servers import Call, Server

pytestmark = [pytest.mark.long(25), pytest.mark.fresh]


def fence(job: dict[str, Any]) -> int:
    """The number in a lease's token that grows with every lease ever given."""
    return int(job["lease"]["token"].split(".")[2])


def on_their_way(server: Server, count: int) -> list[Call]:
    """Pushes that the front has sent to a keeper that stands still."""
    server.send(signal.SIGSTOP, server.keeper)
    calls = [Call(server, "POST", "/v1/queues/way/jobs", {"payload": n}) for n in range(count)]
    server.has_read_everything()
    return calls


def is_tidy(server: Server) -> None:
    """The store was closed as it should be: no WAL is left, and its every count agrees with its rows."""
    store = server.home / "holdfast-data/jobs.db"
    assert not store.with_name("jobs.db-wal").exists()
    assert maintenance.check(store) == []


def test_every_acknowledged_job_survives_kill_9_of_all_processes_under_load(serve, home):
    for _ in range(3):
        server = serve()
        load = Load(server)
        load.wait_for(pushes=300)
        server.kill_all()
        acknowledged = load.stop()
        server.gone()
        assert acknowledged.concluded, "the load concludes too"
        assert maintenance.check(home / "holdfast-data/jobs.db") == []
        after = serve()
        with after.client() as client:
            everything_is_there(client, acknowledged)
        after.kill_all()
        after.gone()


def test_a_lease_survives_kill_9_and_its_holder_can_conclude_it(serve):
    server = serve()
    with server.client() as client:
        for n in range(3):
            push(client, "q", n)
        held = lease(client, "q", max=2, lease_ms=600_000)
        short = lease(client, "q", lease_ms=1_500)[0]
    server.kill_all()
    server.gone()
    time.sleep(1.6)  # the server is away for longer than the lease
    with serve().client() as client:
        assert conclude(client, held[0], result="done").json()["state"] == "concluded"
        assert conclude(client, held[1], "extend", lease_ms=60_000).json()["ms_left"] == 60_000
        (again,) = lease(client, "q", wait_ms=20_000)
        assert (again["id"], again["attempt"], again["crashes"]) == (short["id"], 2, 0), "it ended while the server was away"
        assert conclude(client, short).json()["code"] == "lease_lost"


def test_deadlines_that_pass_while_the_server_is_away_are_kept_to(serve, home):
    server = serve()
    with server.client() as client:
        late = [push(client, "q", n, expires_in_ms=1_500)["id"] for n in range(20)]
        held = push(client, "q", "held", expires_in_ms=1_500, group_key="g", priority=1)["id"]
        (running,) = lease(client, "q", lease_ms=600_000)
        late.append(push(client, "q", "behind it", expires_in_ms=1_500, group_key="g")["id"])
        good = push(client, "q", "good", expires_in_ms=600_000)["id"]
        asleep = push(client, "q", "asleep", expires_in_ms=1_000, delay_ms=600_000)["id"]
    assert running["id"] == held
    server.kill_all()
    server.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []
    time.sleep(1.6)  # the server is away for longer than they may wait
    with serve().client() as client:
        assert [job["id"] for job in lease(client, "q", max=50)] == [good], "none is given out, however soon one asks"
        ended = [client.get(f"/v1/jobs/{job}").json() for job in late]
        assert {(job["state"], job["reason"]) for job in ended} == {("cancelled", "expired")}
        assert client.get(f"/v1/jobs/{asleep}").json()["state"] == "scheduled"
        assert conclude(client, running).json()["state"] == "concluded", "an attempt that runs may go on"


def test_ids_and_fences_go_on_growing_after_kill_9(serve):
    ids, fences = [], []
    for _ in range(3):
        server = serve()
        with server.client() as client:
            ids.append(push(client, "q", 0)["id"])
            (job,) = lease(client, "q")
            fences.append(fence(job))
            assert client.delete(f"/v1/jobs/{job['id']}").status_code == 409, "not while it is leased"
            assert conclude(client, job).status_code == 200
            assert client.delete(f"/v1/jobs/{job['id']}").status_code == 204
        server.kill_all()
        server.gone()
    assert ids == sorted(set(ids)), "not even the number of a removed job comes again"
    assert fences == sorted(set(fences))


def test_a_push_whose_keeper_dies_is_told_that_its_outcome_is_unknown(serve):
    server = serve()
    (poll,) = park(server, "elsewhere")
    calls = on_their_way(server, 20)
    question = Call(server, "GET", "/v1/jobs/1")
    server.has_read_everything()
    server.send(signal.SIGKILL, server.keeper)
    for call in calls:
        status, body = call.answer()
        assert (status, body["code"], body["status"]) == (503, "outcome_unknown", 503)
        assert int(call.headers["Retry-After"]) >= 1
    assert question.answer()[1]["code"] == "store_unavailable", "a question that nobody answered has changed nothing"
    status, body = poll.answer()
    assert (status, body["code"]) == (503, "outcome_unknown"), "a commit may just have granted it a job"
    assert server.ended() == 1
    assert "holdfast: The keeper died" in server.err.text
    assert "Traceback" not in server.err.text
    server.gone()


def test_when_the_keeper_dies_under_load_nobody_is_told_something_false(serve):
    server = serve()
    load = Load(server)
    load.wait_for(pushes=200)
    server.send(signal.SIGKILL, server.keeper)
    assert server.ended() == 1
    acknowledged = load.stop()
    server.gone()
    with serve().client() as client:
        everything_is_there(client, acknowledged)


def test_when_the_front_dies_the_keeper_commits_what_it_has_and_ends_by_itself(serve):
    server = serve()
    with server.client() as client:
        push(client, "q", "acknowledged")
    keeper = server.keeper
    calls = on_their_way(server, 20)
    server.send(signal.SIGKILL, server.pid)
    server.send(signal.SIGCONT, keeper)
    server.gone()
    assert server.ended() == -signal.SIGKILL
    is_tidy(server)
    with serve().client() as client:
        assert [job["payload"] for job in lease(client, "q")] == ["acknowledged"]
        assert sorted(job["payload"] for job in lease(client, "way", max=100)) == list(range(20))
    for call in calls:
        call.connection.close()


def test_when_the_front_dies_under_load_every_acknowledged_job_is_there(serve):
    server = serve()
    load = Load(server)
    load.wait_for(pushes=200)
    server.send(signal.SIGKILL, server.pid)
    acknowledged = load.stop()
    server.gone()
    is_tidy(server)
    with serve().client() as client:
        everything_is_there(client, acknowledged)


def test_what_was_done_by_hand_is_in_the_audit_log_after_a_kill_right_behind_the_answer(serve, home):
    server = serve()
    with server.client() as client:
        job = push(client, "q", 1)["id"]
        assert client.post(f"/v1/jobs/{job}/cancel").status_code == 200
        server.kill_all()
    server.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []
    with serve().client() as client:
        (entry,) = client.get("/v1/audit", params={"job": job}).json()["entries"]
    assert (entry["action"], entry["outcome"], entry["queue"]) == ("job.cancel", "done", "q")


def test_a_kill_while_jobs_are_given_their_types_loses_nothing_and_the_next_server_goes_on(serve, home):
    server = serve()
    with server.client() as client:
        for _ in range(20):
            client.post("/v1/jobs", json={"jobs": [{"queue": "q", "type": "old"}] * 1_000})
        client.post("/v1/jobs", json={"jobs": [{"queue": "q", "type": "new", "priority": 5_000}]})
        assert client.post("/v1/leases", json={"queues": ["q"], "types": ["new"]}).json()["jobs"] == []
    server.kill_all()
    server.gone()
    server = serve()
    with server.client() as client:
        wanted = {"queues": ["q"], "types": ["new"], "wait_ms": 20_000}
        (job,) = client.post("/v1/leases", json=wanted).json()["jobs"]
        assert (job["id"], job["type"]) == (20_001, "new")
        assert len(client.post("/v1/leases", json={"queues": ["q"], "max": 1_000, "types": ["old"]}).json()["jobs"]) == 1_000
    server.kill_all()
    server.gone()
    assert maintenance.check(home / "holdfast-data/jobs.db") == []
