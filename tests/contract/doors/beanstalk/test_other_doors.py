"""What comes in at this door is seen at the others, and the other way round; bounds, draining and several fronts."""

import base64
import signal

import pytest

from holdfast.doors.beanstalk.names import queue_of
from tests.contract.doors.beanstalk.script import Client, serving, tube_port
from tests.system.whole.servers import Server, until


def test_a_job_of_either_door_is_for_workers_of_either(client, server, tube):
    job = client.put(b"\xffraw", pri=7, ttr=30)
    with server.client() as http:
        shown = http.get(f"/v1/jobs/{job}").json()
        assert (shown["queue"], shown["state"], shown["priority"]) == (tube, "ready", 7)
        leased = http.post("/v1/leases", json={"queues": [tube], "worker": "w"}).json()["jobs"][0]
        assert leased["content_type"] == "application/octet-stream"
        assert base64.b64decode(leased["payload_base64"]) == b"\xffraw"
        assert client.ask(b"delete %d\r\n" % job) == b"NOT_FOUND"
        assert http.post(f"/v1/leases/{leased['lease']['token']}/conclude", json={}).status_code == 200
        put = http.post(f"/v1/queues/{tube}/jobs", json={"payload": {"a": 1}}).json()["id"]
        assert client.reserve() == (put, b'{"a":1}')
        assert http.get(f"/v1/jobs/{put}").json()["worker"].startswith("beanstalk 127.0.0.1:")
        assert client.ask(b"bury %d 5\r\n" % put) == b"BURIED"
        dead = http.get(f"/v1/jobs/{put}").json()
        assert (dead["state"], dead["reason"], dead["priority"]) == ("dead", "buried", 5)
        assert http.post(f"/v1/jobs/{put}/retry").status_code == 200
        assert client.reserve()[0] == put
        assert client.ask(b"delete %d\r\n" % put) == b"DELETED"
        assert http.get(f"/v1/jobs/{put}").json()["state"] == "concluded"
        assert client.ask(b"peek %d\r\n" % put) == b"NOT_FOUND"
        assert client.ask(b"delete %d\r\n" % put) == b"NOT_FOUND"


def test_a_tube_with_signs_is_a_queue_with_codes(server):
    client = Client(tube_port(server))
    assert client.ask(b"use mail/in$1;(a+b)\r\n") == b"USING mail/in$1;(a+b)"
    job = client.put()
    with server.client() as http:
        assert http.get(f"/v1/jobs/{job}").json()["queue"] == "mail:2Fin:241:3B:28a:2Bb:29"
    size = int(client.ask(b"list-tubes\r\n").split()[1])
    assert b"- mail/in$1;(a+b)\n" in client.body(size)
    client.close()


@pytest.mark.parametrize("tube", ["a" * 200, "/" * 200, "+/;.$_()-" * 22, ".", "..", "..."])
def test_the_longest_and_the_oddest_tube_is_a_queue_at_the_other_doors(server, tube):
    client = Client(tube_port(server))
    assert client.ask(f"use {tube}\r\n".encode()) == f"USING {tube}".encode()
    job = client.put()
    with server.client() as http:
        queue = http.get(f"/v1/jobs/{job}").json()["queue"]
        assert queue == queue_of(tube)
        assert http.get(f"/v1/queues/{queue}").json()["jobs"]["ready"] == 1
        again = http.post(f"/v1/queues/{queue}/jobs", json={"payload": 1}).json()["id"]
        assert [job["id"] for job in http.post("/v1/leases", json={"queues": [queue], "max": 9}).json()["jobs"]] == [job, again]
        assert http.put(f"/v1/queues/{queue}x", json={}).status_code == (400 if len(tube) == 200 else 200)
    client.close()


def test_a_paused_queue_says_so_at_both_doors(client, server, tube):
    client.put()
    assert client.ask(f"pause-tube {tube} 100\r\n".encode()) == b"PAUSED"
    with server.client() as http:
        assert http.get(f"/v1/queues/{tube}").json()["paused"] is True
        page = client.page(f"stats-tube {tube}\r\n".encode())
        assert page["pause"] == "100"
        assert page["pause-time-left"] in ("98", "99")
        assert http.post(f"/v1/queues/{tube}/resume").status_code == 200
    assert client.ask(b"reserve-with-timeout 0\r\n").startswith(b"RESERVED")


def test_an_autoscaler_of_beanstalkd_gets_the_numbers_that_it_asks_for(client, server, tube):
    """As KEDA's `beanstalkd` scaler: ready and reserved jobs, perhaps delayed ones, and none of a tube that is not there."""
    assert client.ask(b"stats-tube nowhere-%d\r\n" % server.port) == b"NOT_FOUND"
    client.put()
    client.put()
    client.put(delay=60)
    client.reserve()
    page = client.page(f"stats-tube {tube}\r\n".encode())
    names = (
        "total-jobs",
        "current-jobs-ready",
        "current-jobs-reserved",
        "current-jobs-urgent",
        "current-jobs-buried",
        "current-jobs-delayed",
    )
    assert [int(page[name]) for name in names] == [3, 1, 1, 1, 0, 1]


def test_a_full_queue_is_out_of_memory_and_the_body_is_skipped(client, server, tube):
    with server.client() as http:
        assert http.put(f"/v1/queues/{tube}", json={"capacity_jobs": 3}).status_code == 200
    client.send(b"put 0 0 60 1\r\nx\r\n" * 5 + b"list-tube-used\r\n")
    answers = [client.line() for _ in range(6)]
    assert [answer.split()[0] for answer in answers] == [b"INSERTED"] * 3 + [b"OUT_OF_MEMORY"] * 2 + [b"USING"]
    assert client.reserve()[0] == int(answers[0].split()[1])


def test_a_job_that_runs_out_of_time_too_often_is_buried(client, server, tube):
    with server.client() as http:
        assert http.put(f"/v1/queues/{tube}", json={"max_crashes": 1}).status_code == 200
    job = client.put(ttr=1)
    assert client.reserve()[0] == job
    until(lambda: client.page(b"stats-job %d\r\n" % job)["state"] == "buried", "it is set aside")
    assert client.ask(b"kick 1\r\n") == b"KICKED 1"
    page = client.page(b"stats-job %d\r\n" % job)
    assert (page["state"], page["timeouts"], page["kicks"]) == ("ready", "1", "1")


def test_metrics_count_commands_and_connections(client, server):
    client.put()
    with server.client() as http:
        text = http.get("/metrics").text
    assert 'holdfast_beanstalk_commands_total{command="put",front="0"}' in text
    assert 'holdfast_beanstalk_connected{front="0"}' in text
    assert 'holdfast_beanstalk_clients{front="0",role="producer"}' in text


def test_several_fronts_share_the_port_and_their_numbers(tmp_path):
    with serving(tmp_path / "home", "--fronts", "2") as server:
        crowd = [Client(tube_port(server)) for _ in range(30)]
        jobs = {one.put() for one in crowd}
        assert {one.reserve()[0] for one in crowd} == jobs

        def told() -> tuple[str, ...]:
            page = crowd[0].page(b"stats\r\n")
            return page["cmd-put"], page["current-connections"], page["current-producers"], page["current-jobs-reserved"]

        until(lambda: told() == ("30", "30", "30", "30"), "the fronts have told each other")
        for one in crowd:
            one.close()


def test_a_server_that_drains_lets_a_worker_finish(tmp_path):
    server = Server(tmp_path / "home", "--store", "memory", "--beanstalk", "127.0.0.1:0")
    server.start()
    try:
        worker, idle, waiting, slow = (Client(tube_port(server)) for _ in range(4))
        job = worker.put()
        assert worker.reserve()[0] == job
        waiting.send(b"reserve\r\n")
        slow.send(b"put 0 0 60 3\r\nab")
        assert idle.ask(b"list-tube-used\r\n") == b"USING default"
        until(lambda: worker.page(b"stats\r\n")["current-waiting"] == "1", "one waits")
        server.send(signal.SIGTERM)
        assert idle.is_over()
        assert waiting.line() == b"TIMED_OUT"
        assert waiting.is_over()
        assert slow.ask(b"c\r\n") == b"DRAINING"
        assert slow.is_over()
        assert worker.ask(b"put 0 0 60 1\r\nx\r\n") == b"DRAINING"
        assert worker.ask(b"reserve\r\n") in (b"TIMED_OUT", b"OUT_OF_MEMORY")
        assert worker.page(b"stats\r\n")["draining"] == "true"
        assert worker.ask(b"delete %d\r\n" % job) == b"DELETED"
        assert worker.is_over()
        assert server.ended() == 0, server.err.text
    finally:
        server.destroy()


def test_a_job_that_was_taken_back_is_reserved_no_more(tmp_path):
    server = Server(tmp_path / "home", "--store", "memory", "--beanstalk", "127.0.0.1:0", "--drain-s", "600")
    server.start()
    try:
        hanging, other = (Client(tube_port(server)) for _ in range(2))
        taken, expiring = hanging.put(), hanging.put(ttr=1)
        assert [hanging.reserve()[0], hanging.reserve()[0]] == [taken, expiring]
        with server.client() as http:
            assert http.post(f"/v1/jobs/{taken}/release-lease").json()["state"] == "ready"
        assert hanging.ask(b"touch %d\r\n" % taken) == b"NOT_FOUND"
        assert [other.reserve()[0], other.reserve()[0]] == [taken, expiring]
        for verb in (b"delete %d\r\n", b"release %d 0 0\r\n", b"bury %d 0\r\n"):
            assert hanging.ask(verb % taken) == b"NOT_FOUND"
        for job in (taken, expiring):
            assert other.ask(b"delete %d\r\n" % job) == b"DELETED"
        server.send(signal.SIGTERM)  # which waits for those who hold a job
        assert hanging.is_over()
        assert server.ended() == 0, server.err.text
        assert "connections were closed" not in server.err.text
    finally:
        server.destroy()


@pytest.mark.parametrize("fronts", ["1", "2"])
def test_sigusr1_ends_no_server_and_is_told_to_an_idle_connection_at_its_next_put(tmp_path, fronts):
    with serving(tmp_path / "home", "--fronts", fronts) as server:
        crowd = [Client(tube_port(server)) for _ in range(12)]  # on all fronts
        for one in crowd:
            one.put()
        server.send(signal.SIGUSR1)
        until(lambda: {one.ask(b"put 0 0 60 1\r\nx\r\n") for one in crowd} == {b"DRAINING"}, "each front refuses puts")
        crowd[0].send(b"put 0 0 60 3\r\nabc\r\n" * 3 + b"list-tube-used\r\n")
        assert [crowd[0].line() for _ in range(4)] == [b"DRAINING"] * 3 + [b"USING default"]
        assert {one.page(b"stats\r\n")["draining"] for one in crowd} == {"true"}
        late = Client(tube_port(server))
        assert late.ask(b"put 0 0 60 1\r\nx\r\n") == b"DRAINING"
        server.send(signal.SIGUSR1)
        taken = [one.reserve()[0] for one in crowd]
        assert len(set(taken)) == len(crowd)
        for one, job in zip(crowd, taken, strict=True):
            assert one.ask(b"release %d 0 0\r\n" % job) == b"RELEASED"
        with server.client() as http:
            assert http.get("/readyz").status_code == 200
            assert http.post("/v1/queues/other/jobs", json={"payload": 1}).status_code == 201
        assert server.process.poll() is None


def test_sigusr1_does_nothing_to_a_server_without_this_door(tmp_path):
    server = Server(tmp_path / "home", "--store", f"sqlite:///{tmp_path / 'jobs.db'}")
    server.start()
    try:
        server.send(signal.SIGUSR1)
        with server.client() as http:
            assert http.post("/v1/queues/q/jobs", json={"payload": 1}).status_code == 201
        server.send(signal.SIGTERM)
        assert server.ended() == 0, server.err.text
    finally:
        server.destroy()


def test_what_is_still_reserved_when_the_time_is_up_is_handed_back(tmp_path):
    home = tmp_path / "home"
    with serving(home, "--drain-s", "0") as server:
        client = Client(tube_port(server))
        job = client.put()
        assert client.reserve()[0] == job
    with serving(home) as server:
        client = Client(tube_port(server))
        assert client.reserve()[0] == job
        client.close()


def test_what_was_inserted_is_there_after_a_crash(tmp_path):
    home = tmp_path / "home"
    with serving(home) as server:
        client = Client(tube_port(server))
        client.send(b"".join(b"put 0 0 60 4\r\n%04d\r\n" % n for n in range(500)))
        inserted = [int(client.line().split()[1]) for _ in range(300)]
        server.kill_all()
        server.gone()
    with serving(home) as server:
        client = Client(tube_port(server))
        for n, job in enumerate(inserted):
            assert client.reserve() == (job, b"%04d" % n)
        client.close()


def test_it_is_off_by_default_and_a_bad_address_is_refused(tmp_path):
    server = Server(tmp_path / "home", "--store", "memory").start()
    assert "beanstalkd" not in server.out.text
    server.destroy()
    wrong = Server(tmp_path / "other", "--store", "memory", "--beanstalk", "11300").launch()
    assert wrong.ended() == 2
    assert "HOST:PORT" in wrong.err.text
    wrong.gone()
