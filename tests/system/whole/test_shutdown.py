"""Being told to stop: nothing new is taken, parked polls go home empty, open requests finish, what was accepted is committed, exit 0."""

import os
import signal
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

import pytest

from holdfast.stores.sqlite import maintenance
from tests.system.whole.calls import conclude, lease, park, push, uploads
from tests.system.whole.load import Load, everything_is_there
from tests.system.whole.servers import Call, Server, again_until_it_ends

pytestmark = [pytest.mark.long(30), pytest.mark.fresh]

Told = Callable[[Server], None]


def by_sigterm(server: Server) -> None:
    """As `kill` does it."""
    server.send(signal.SIGTERM)


def by_ctrl_c(server: Server) -> None:
    """As a terminal does it: to the whole group."""
    os.killpg(server.pid, signal.SIGINT)


def by_systemd(server: Server) -> None:
    """As systemd does it unless told otherwise: to every process, one after the other."""
    server.send(signal.SIGTERM, *server.pids())


WAYS = pytest.mark.parametrize("tell", [by_sigterm, by_ctrl_c, by_systemd], ids=lambda tell: tell.__name__)
FRONTS = pytest.mark.parametrize("fronts", [1, 2])


def ended_well(server: Server) -> None:
    """Exit 0, nothing left running, no complaint, and the store closed as it should be."""
    assert server.ended() == 0, server.err.text
    server.gone()
    assert "Traceback" not in server.err.text
    assert not [line for line in server.err.lines if line.startswith("holdfast:")]
    store = server.home / "holdfast-data/jobs.db"
    assert not store.with_name("jobs.db-wal").exists()
    assert maintenance.check(store) == []


@FRONTS
@WAYS
def test_parked_polls_go_home_empty_and_open_requests_are_answered(serve, tell: Told, fronts):
    server = serve("--fronts", str(fronts))
    with server.client() as client:
        push(client, "q", 1)
        (job,) = lease(client, "q")
    polls = park(server, "empty", count=8)
    pushes = uploads(server)
    concludes = uploads(server, path=f"/v1/leases/{job['lease']['token']}/conclude", body=b"{ }")
    tell(server)
    assert [poll.answer() for poll in polls] == [(200, {"jobs": []})] * 8
    server.err.wait_for("draining", count=fronts)
    for upload in pushes:
        status, body = upload.finish()
        assert (status, body["code"]) == (503, "draining")
    for upload in concludes:
        status, body = upload.finish()
        assert (status, body["state"]) == (200, "concluded"), "what is leased can be ended to the last"
    ended_well(server)


@WAYS
def test_what_was_accepted_is_committed(serve, tell: Told):
    server = serve("--fronts", "2")
    load = Load(server)
    load.wait_for(pushes=100)
    tell(server)
    ended_well(server)
    acknowledged = load.stop()
    assert not any("outcome_unknown" in line for line in acknowledged.unknown), "an orderly end leaves no doubt"
    with serve().client() as client:
        everything_is_there(client, acknowledged)


def test_readyz_says_draining_with_503(serve):
    server = serve()
    keeper = server.keeper
    server.send(signal.SIGSTOP, keeper)  # so that the question is open when the signal comes
    ready = Call(server, "GET", "/readyz")
    server.has_read_everything()
    by_sigterm(server)
    server.err.wait_for("draining")
    server.send(signal.SIGCONT, keeper)
    assert ready.answer() == (503, {"status": "not ready", "reasons": ["draining"]})
    ended_well(server)


@FRONTS
def test_with_linger_s_new_callers_are_told_until_the_port_closes_and_what_is_leased_is_ended(serve, fronts):
    server = serve("--fronts", str(fronts), "--linger-s", "2")
    with server.client() as client:
        client.post("/v1/queues/q/jobs", json={}).raise_for_status()
        token = client.post("/v1/leases", json={"queues": ["q"]}).json()["jobs"][0]["lease"]["token"]
    by_sigterm(server)
    server.err.wait_for("draining", count=fronts)
    with server.client() as late:
        ready = late.get("/readyz")
        assert (ready.status_code, ready.json()["reasons"]) == (503, ["draining"])
        assert late.post("/v1/queues/q/jobs", json={}).json()["code"] == "draining"
        assert late.post(f"/v1/leases/{token}/conclude").json()["state"] == "concluded"
    ended_well(server)


@FRONTS
def test_a_second_signal_ends_it_at_once(serve, fronts):
    server = serve("--fronts", str(fronts))
    begun = uploads(server)
    server.send(signal.SIGTERM)
    server.err.wait_for("draining", count=fronts)
    assert server.process.poll() is None, "it waits for the open requests"
    again_until_it_ends(server)
    assert server.ended() == 1
    server.gone()
    for upload in begun:
        with pytest.raises((OSError, HTTPException)):
            upload.finish()


def test_a_second_ctrl_c_ends_it_at_once(serve):
    server = serve("--fronts", "2")
    begun = uploads(server)
    by_ctrl_c(server)
    server.err.wait_for("draining", count=2)
    again_until_it_ends(server, by_ctrl_c)
    assert server.ended() == 1
    server.gone()
    assert "Traceback" not in server.err.text
    for upload in begun:
        upload.cut()


def test_a_request_that_never_ends_keeps_it_no_longer_than_the_drain_limit(serve):
    server = serve("--drain-s", "1")
    (upload,) = uploads(server, count=1)
    by_sigterm(server)
    ended_well(server)
    upload.cut()


def test_an_event_stream_is_ended(serve):
    server = serve()
    with server.client() as client, client.stream("GET", "/v1/stream") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": holdfast"
        by_sigterm(server)
        assert "event: end" in list(lines)
    ended_well(server)


def test_a_call_that_waits_for_a_job_to_end_is_answered(serve):
    server = serve()
    with server.client() as client:
        job = push(client, "q", 1)
        waiting = Call(server, "GET", f"/v1/jobs/{job['id']}?wait_ms=50000")
        server.has_read_everything()
        by_sigterm(server)
        assert waiting.answer()[1]["state"] == "ready"
    ended_well(server)


def test_a_keeper_that_dies_while_the_server_drains_is_not_passed_over(serve):
    server = serve()
    (upload,) = uploads(server, count=1)
    keeper = server.keeper
    by_sigterm(server)
    server.err.wait_for("draining")
    server.send(signal.SIGKILL, keeper)
    upload.cut()
    assert server.ended() == 1
    assert "holdfast: The keeper died" in server.err.text
    server.gone()


def test_a_conclude_and_a_lease_after_a_stop_go_on_where_they_were(serve):
    server = serve()
    with server.client() as client:
        push(client, "q", 1)
        (job,) = lease(client, "q", lease_ms=600_000)
    by_sigterm(server)
    ended_well(server)
    with serve().client() as client:
        assert conclude(client, job).json()["state"] == "concluded"


@WAYS
def test_it_ends_while_it_waits_for_a_database_to_keep_its_first_key_in(serving, tmp_path: Path, tell: Told):
    key = tmp_path / "admin.key"
    key.write_text("a" * 64)
    server = serving("--store", "postgresql://holdfast@127.0.0.1:1/holdfast", "--admin-key-file", str(key)).launch()
    server.err.wait_for("the admin key can't be written yet")
    tell(server)
    assert server.ended() == 0, server.err.text
    server.gone()
