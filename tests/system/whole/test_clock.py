"""The machine's clock under a running server: set forward, set back, asleep, and one that begins in 1970.

libfaketime is loaded into every process of the server and reads what it adds to the real time from a file, so the clock of a real server
can be moved at any moment. The clock that counts from the machine's start is left alone.
"""

import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest
from msgspec.structs import replace

from holdfast.stores import formats, rows
from tests.system.whole.calls import conclude, lease, metric, push
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(30)

DAY_S = 86_400
_PATIENT_S = 120.0  # for a page that is made for the first time, on a crowded machine


def schedule(client, name="minutely", **more):
    answer = client.put(f"/v1/schedules/{name}", json={"cron": "* * * * *", "queue": "ticks", "payload": None} | more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def instant(text):
    return datetime.fromisoformat(text)


def warnings(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready"), "it takes jobs all the same"
    return answer.json().get("warnings", [])


def test_a_clock_that_is_set_back_is_told_everywhere_and_time_goes_on_when_it_has_caught_up(serve, clock):
    clock(600)
    server = serve(env=clock.env)
    with server.client() as client:
        push(client, "q", 1)
        (held,) = lease(client, "q", lease_ms=60_000)
        clock(0)
        server.err.wait_for("time stands still")
        assert warnings(client) == ["clock_behind"]
        page = client.get("/metrics").text
        assert 500 < metric(page, "holdfast_clock_behind_seconds") <= 600
        assert metric(page, "holdfast_clock_steps_total") == 1
        assert "set back" in client.get("/web", timeout=_PATIENT_S).text
        assert conclude(client, held).status_code == 200, "no lease ends meanwhile"
        clock(601)
        server.err.wait_for("time continues")
        assert warnings(client) == []
        assert metric(client.get("/metrics").text, "holdfast_clock_behind_seconds") == 0
    assert sum("time stands still" in line for line in server.err.lines) == 1, "told once"


def test_after_a_jump_forward_and_back_a_restart_puts_everything_within_its_bounds(serve, clock):
    server = serve(env=clock.env)
    ahead = 10 * 365 * DAY_S
    with server.client() as client:
        schedule(client)
        schedule(client, "every", cron=None, interval_ms=60_000)
        push(client, "q", 1)
        clock(ahead)
        server.err.wait_for("was set forward")
        (held,) = lease(client, "q", lease_ms=30 * DAY_S * 1_000)
        until(lambda: client.get("/v1/schedules/minutely").json()["fired"] > 0, "the schedule fires")
        assert instant(client.get("/v1/schedules/minutely").json()["next_at"]).year >= datetime.now(UTC).year + 9
        clock(0)
        server.err.wait_for("time stands still")
    server.kill_all()
    server.gone()
    with serve(env=clock.env).client() as client:
        now = datetime.now(UTC)
        for name in ("minutely", "every"):
            until(
                lambda name=name: instant(client.get(f"/v1/schedules/{name}").json()["next_at"]) <= now + timedelta(seconds=90),
                "the next fire is near",
            )
        job = client.get(f"/v1/jobs/{held['id']}").json()
        assert 0 < job["lease_ms_left"] <= 30 * DAY_S * 1_000
        assert conclude(client, held).status_code == 200
        assert warnings(client) == []


def test_a_machine_that_begins_in_1970_catches_up_at_once_when_its_clock_is_set(serve, clock):
    clock(1_000_000 - time.time())  # a few days after the beginning of 1970
    server = serve(env=clock.env)
    with server.client() as client:
        assert schedule(client)["created_at"].startswith("1970-")
        schedule(client, "all", missed="all")
        push(client, "q", 1)
        push(client, "q", 2)
        held, used = lease(client, "q", max=2, lease_ms=600_000)
        assert conclude(client, used).status_code == 200
        clock(0)
        server.err.wait_for("no server ran for a while")
        assert conclude(client, held).status_code == 200, "a step of the clock is no worker's fault"
        until(lambda: client.get("/v1/schedules/all").json()["fired"] >= 100, "what is made up for")
        slowest = 0.0
        for number in range(20):
            began = time.monotonic()
            push(client, "beside", number)
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 20, "far below what walking through the minutes would take"
        for name in ("minutely", "all"):
            shown = client.get(f"/v1/schedules/{name}").json()
            assert shown["skipped"] > 29_000_000, "every minute since 1970 is accounted for"
            assert instant(shown["next_at"]) > datetime.now(UTC) - timedelta(seconds=5)


@pytest.mark.parametrize("how", ["stopped", "set forward"])
def test_a_server_that_stood_still_for_longer_than_a_lease_makes_no_crash(serve, clock, how):
    server = serve(env=clock.env)
    with server.client() as client:
        push(client, "q", 1)
        (held,) = lease(client, "q", lease_ms=600_000)
        assert conclude(client, held, "extend", lease_ms=60_000).status_code == 200
        if how == "stopped":  # as a machine that sleeps: everything stands, and the clock has gone on
            server.send(signal.SIGSTOP, *server.pids())
            clock(DAY_S)
            server.send(signal.SIGCONT, *server.pids())
        else:
            clock(DAY_S)
        server.err.wait_for("no server ran for a while")
        assert conclude(client, held, "extend", lease_ms=60_000).status_code == 200
        job = client.get(f"/v1/jobs/{held['id']}").json()
        assert (job["state"], job["crashes"]) == ("leased", 0)
        assert conclude(client, held).status_code == 200


def test_a_server_that_was_away_for_longer_than_a_lease_is_no_workers_fault(serve):
    server = serve()
    with server.client() as client:
        push(client, "q", 1, max_attempts=1)
        push(client, "q", 2, max_attempts=1)
        held, left = lease(client, "q", max=2, lease_ms=1_000)
    for _ in range(6):  # more outages than crashes lead to quarantine
        server.kill_all()
        server.gone()
        time.sleep(1.1)  # the outage itself
        server = serve()
        with server.client() as client:
            assert client.get(f"/v1/jobs/{held['id']}").json()["crashes"] == 0
            assert conclude(client, held, "extend", lease_ms=1_000).status_code == 200
    with server.client() as client:
        assert conclude(client, held, result="done").json()["state"] == "concluded"
        (again,) = lease(client, "q", wait_ms=20_000)
        assert (again["id"], again["attempt"], again["crashes"], again["failures"]) == (left["id"], 2, 0, 0)


def test_a_night_in_which_an_hour_is_repeated_fires_once(serve, clock):
    night = datetime(2026, 10, 25, 1, 10, tzinfo=UTC).timestamp()
    clock(night - time.time())
    server = serve(env=clock.env)
    with server.client() as client:
        shown = schedule(client, "night", cron="30 2 * * *", timezone="Europe/Vienna", queue="rep")
        assert shown["next_at"].startswith("2026-10-26T01:30:00")
        clock(night - time.time() + 3 * 3_600)
        server.err.wait_for("was set forward")
        assert client.get("/v1/schedules/night").json()["fired"] == 0
    server.kill_all()
    server.gone()
    with serve(env=clock.env).client() as client:
        clock(night - time.time() + 25 * 3_600)
        until(lambda: client.get("/v1/schedules/night").json()["fired"] == 1, "the fire of the next day")
        assert client.get("/v1/queues/rep").json()["jobs"]["ready"] == 1


def test_a_zone_that_is_gone_stops_one_schedule_and_fills_no_log(serve, home):
    server = serve()
    with server.client() as client:
        schedule(client, "bad", timezone="Europe/Vienna", queue="a")
        schedule(client, "good", cron=None, interval_ms=1_000, queue="b")
    server.kill_all()
    server.gone()
    _lose_zone(home)
    server = serve()
    with server.client() as client:
        until(lambda: client.get("/v1/schedules/bad").json().get("set_aside"), "it is set aside")
        assert "Nowhere/Land" in client.get("/v1/schedules/bad").json()["last_error"]
        before = client.get("/v1/schedules/good").json()["fired"]
        until(lambda: client.get("/v1/schedules/good").json()["fired"] >= before + 3, "the other goes on")
        until(lambda: warnings(client) == ["schedules_set_aside"], "it is seen")
        assert metric(client.get("/metrics").text, "holdfast_set_aside", what="schedule") == 1
        assert client.get("/web/schedules", timeout=_PATIENT_S).status_code == 200
        assert "set aside" in client.get("/web", timeout=_PATIENT_S).text
        assert sum("Nowhere/Land" in line for line in server.err.lines) <= 2
        assert client.delete("/v1/schedules/bad").status_code == 204
        until(lambda: warnings(client) == [], "and is over")


def _lose_zone(home: Path) -> None:
    """As on a machine with other zones: the stored schedule names one that is not there."""
    connection = apsw.Connection(str(home / "holdfast-data/jobs.db"))
    kept = rows.schedule_of(
        *connection.execute("SELECT name, state, try_at, paused FROM schedule WHERE name = 'bad'").fetchone()
    )
    spoiled = replace(kept, spec=replace(kept.spec, timezone="Nowhere/Land"), try_at=0, next_at=0)
    connection.execute("UPDATE schedule SET state = ?, try_at = 0 WHERE name = 'bad'", (formats.schedule_json(spoiled),))
    connection.close()
