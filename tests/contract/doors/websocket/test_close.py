"""However a channel ends, what it held goes back to its queue and no try is spent; and a server that is told to stop lets its channels finish."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from holdfast.doors.websocket import connection, deliveries
from holdfast.testing.local import LocalServer
from tests.contract.doors.rest.conftest import LOOK_S, Api
from tests.contract.doors.websocket.channel import ChannelClient, RawSocket, frame, open_channel, token

PATIENCE_S = 20.0


def unharmed(api, queue, count):
    """Wait until so many jobs are ready again; none has failed or crashed."""
    jobs = []
    while len(jobs) < count:
        came = api.lease(queue, max=1_000, wait_ms=20_000)
        assert came, f"only {len(jobs)} of {count} came back"
        jobs += came
    assert [(job["failures"], job["crashes"]) for job in jobs] == [(0, 0)] * count
    return jobs


def holding(api, url, queue, count=3):
    """An open socket that holds so many jobs."""
    for n in range(count):
        api.push(queue, n)
    bare = RawSocket(url)
    bare.send("start", queues=[queue], credits=count)
    deadline = time.monotonic() + PATIENCE_S
    while api.counts(queue) != {"leased": count}:
        assert time.monotonic() < deadline, api.counts(queue)
        time.sleep(LOOK_S)
    return bare


def close_in_order(bare):
    bare.socket.sendall(frame(b"\x03\xe8", opcode=8))
    assert b"\x88\x02\x03\xe8" in bare.received()


def hang_up(bare):
    bare.socket.close()


def reset(bare):
    bare.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    bare.socket.close()


def close_half(bare):
    bare.socket.shutdown(socket.SHUT_WR)


def break_off_in_a_frame(bare):
    bare.socket.sendall(frame(b'{"op":"batch"}')[:9])
    bare.socket.close()


def break_the_protocol(bare):
    bare.socket.sendall(b"\xff" * 20)


@pytest.mark.parametrize(
    "leave",
    [close_in_order, hang_up, reset, close_half, break_off_in_a_frame, break_the_protocol],
    ids=lambda leave: leave.__name__,
)
def test_what_a_channel_held_goes_back_when_it_closes(api, server, queue, leave):
    leave(holding(api, server.url, queue))
    unharmed(api, queue, 3)


def keeping(api, url, queue, **more):
    """An open socket of a worker that keeps its jobs, and one job that is known to have come."""
    api.push(queue, "came")
    bare = RawSocket(url)
    bare.send("start", queues=[queue], credits=2, on_break="keep", **more)
    came = bare.receive("jobs")
    bare.send("got", delivery=came["delivery"])
    bare.send("ping")
    bare.receive("pong")
    return bare, came["jobs"][0]


@pytest.mark.parametrize("leave", [hang_up, reset, close_half, break_the_protocol], ids=lambda leave: leave.__name__)
def test_what_is_known_to_have_come_stays_with_a_worker_that_keeps_it_when_the_connection_breaks(api, server, queue, leave):
    bare, came = keeping(api, server.url, queue)
    api.push(queue, "on its way")
    bare.receive("jobs")
    leave(bare)
    (again,) = unharmed(api, queue, 1)
    assert again["payload"] == "on its way"
    api.until("holdfast_channel_jobs", 0)
    assert api.counts(queue) == {"leased": 2}
    assert api.ended("conclude", came)["state"] == "concluded"
    assert api.job(came["id"])["attempt"] == 1


def test_the_lease_of_a_kept_job_whose_worker_is_dead_ends_by_itself_and_that_is_a_crash(api, server, queue):
    bare, _came = keeping(api, server.url, queue, lease_ms=1_000)
    reset(bare)
    (again,) = api.lease(queue, wait_ms=20_000)
    assert (again["attempt"], again["crashes"]) == (2, 1)


@pytest.mark.parametrize(("asked_ms", "left_ms"), [(60_000, 30_000), (600_000, 300_000), (20_000, 20_000)])
def test_the_lease_of_a_kept_job_ends_soon_after_the_break_unless_its_worker_comes_back(api, server, queue, asked_ms, left_ms):
    bare, came = keeping(api, server.url, queue, lease_ms=asked_ms)
    reset(bare)
    end = time.monotonic() + PATIENCE_S
    while not 0 < api.job(came["id"])["lease_ms_left"] <= left_ms:
        assert time.monotonic() < end
    assert api.job(came["id"])["lease_ms_left"] > left_ms - 1_000 * PATIENCE_S
    extended = api.ended("extend", came, lease_ms=asked_ms)
    assert extended["ms_left"] > asked_ms - 1_000 * PATIENCE_S


@pytest.mark.parametrize(("extended_ms", "least_ms", "most_ms"), [(600_000, 250_000, 300_000), (5_000, 0, 5_000)])
def test_a_kept_lease_is_shortened_by_what_is_left_of_it_and_never_made_longer(
    api, server, queue, extended_ms, least_ms, most_ms
):
    """A worker extends after a third of the time, whatever that was: half of what is left is enough for it."""
    bare, came = keeping(api, server.url, queue, lease_ms=60_000)
    api.ended("extend", came, lease_ms=extended_ms)
    reset(bare)
    api.until("holdfast_channel_jobs", 0)
    api.push(queue, "behind what the server does about the break")
    assert least_ms <= api.job(came["id"]).get("lease_ms_left", 0) <= most_ms


def test_what_a_worker_has_not_said_to_have_got_but_has_extended_elsewhere_stays_with_it(api, server, queue):
    """It knew of the break before the server did, and came back in time."""
    bare, _came = keeping(api, server.url, queue, lease_ms=60_000)
    api.push(queue, "its arrival is not known")
    (other,) = bare.receive("jobs")["jobs"]
    api.ended("extend", other, lease_ms=60_000)
    reset(bare)
    api.until("holdfast_channel_jobs", 0)
    api.push(queue, "behind what the server does about the break")
    assert api.lease(queue, max=3, wait_ms=20_000)[0]["payload"] == "behind what the server does about the break"
    assert api.ended("conclude", other)["state"] == "concluded"
    assert api.job(other["id"])["attempt"] == 1


def test_a_worker_that_keeps_its_jobs_and_closes_in_good_order_hands_them_back(api, server, queue):
    bare, _came = keeping(api, server.url, queue)
    close_in_order(bare)
    unharmed(api, queue, 1)


def test_a_worker_that_never_says_what_has_come_is_sent_no_more(monkeypatch):
    monkeypatch.setattr(deliveries, "CHANNEL_UNANSWERED", 2)
    with LocalServer() as local, open_channel(local.url) as worker:
        api = Api(local.url)
        worker.start("q", credits=10, on_break="keep")
        for n in range(3):
            api.push("q", n)
            if n < 2:
                assert worker.receive("jobs")["delivery"] == n + 1
        worker.nothing_more()
        worker.refused("got", "invalid_request", "delivery", delivery=3)
        worker.send("got", delivery=2)
        assert worker.receive("jobs")["delivery"] == 3


_WORKER = """
import json, sys
from websockets.sync.client import connect
with connect(sys.argv[1], proxy=None) as line:
    line.send(json.dumps({"op": "start", "queues": [sys.argv[2]], "credits": 5}))
    taken = 0
    while taken < 5:
        taken += len(json.loads(line.recv()).get("jobs", ()))
    print("ready", flush=True)
    line.recv()
"""


def test_the_jobs_of_a_worker_that_is_killed_are_ready_at_once(api, server, queue):
    for n in range(5):
        api.push(queue, n)
    command = [sys.executable, "-c", _WORKER, server.url.replace("http", "ws") + "/v1/channel", queue]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout.readline() == "ready\n"
        assert api.counts(queue) == {"leased": 5}
        worker.send_signal(signal.SIGKILL)
        worker.wait(PATIENCE_S)
    unharmed(api, queue, 5)


def test_a_conclude_that_was_sent_before_the_close_counts(api, server, queue):
    """Sent, and the connection is gone before the store has decided: the keeper stands still until then."""
    for n in range(2):
        api.push(queue, n)
    with open_channel(server.url) as worker:
        worker.start(queue, credits=2)
        one, _two = worker.jobs(2)
        os.kill(server.keeper(), signal.SIGSTOP)
        try:
            worker.send("batch", conclude=[{"token": token(one)}])
            worker.ask("ping", "pong")  # it has been read
            worker.line.close()
        finally:
            os.kill(server.keeper(), signal.SIGCONT)
    (left,) = unharmed(api, queue, 1)
    assert left["payload"] == 1
    assert api.job(one["id"])["state"] == "concluded"


def test_a_grant_that_is_under_way_when_the_channel_closes_is_handed_back(api, server, queue):
    with open_channel(server.url) as worker:
        worker.start(queue)
        api.until("holdfast_waiters", 1)
        os.kill(server.keeper(), signal.SIGSTOP)
        try:
            worker.send("enqueue", body={"jobs": [{"queue": queue}]})
            worker.send("credits", credits=5)
            worker.ask("ping", "pong")
            worker.line.close()
        finally:
            os.kill(server.keeper(), signal.SIGCONT)
    unharmed(api, queue, 1)


def test_a_worker_that_does_not_even_answer_a_ping_is_taken_for_gone(monkeypatch):
    monkeypatch.setattr(connection, "CHANNEL_PING_S", 0.2)
    with LocalServer() as local:
        api = Api(local.url)
        bare = holding(api, local.url, "q")
        with open_channel(local.url) as other:
            other.start("q", credits=3)
            jobs = other.jobs(3)
            assert [(job["attempt"], job["crashes"]) for job in jobs] == [(2, 0)] * 3
            assert bare.received().count(b"\x89\x00") >= 2, "it was pinged"
            other.ask("ping", "pong")


def test_a_worker_that_stands_still_loses_one_job_and_is_sent_no_other_before_it_moves(api, server, queue):
    def wait_until_sent(job, why):
        deadline = time.monotonic() + PATIENCE_S
        while not api.job(job["id"])["attempt"]:
            assert time.monotonic() < deadline, why
            time.sleep(LOOK_S)

    first = api.push(queue, 0)
    bare = RawSocket(server.url)
    bare.send("start", queues=[queue], credits=1, lease_ms=50)
    wait_until_sent(first, "it is sent a job")
    (back,) = api.lease(queue, wait_ms=20_000)
    assert (back["attempt"], back["crashes"]) == (2, 1)
    other = api.push(queue, 1)
    assert api.counts(queue) == {"leased": 1, "ready": 1}
    bare.send("ping")
    wait_until_sent(other, "it lives, and is sent jobs again")
    bare.socket.close()


def test_a_worker_that_reads_nothing_is_sent_no_more_than_its_window_and_then_taken_for_gone(monkeypatch):
    monkeypatch.setattr(connection, "CHANNEL_PING_S", 0.5)
    with LocalServer() as local:
        api = Api(local.url)
        for _ in range(8):
            body = {"jobs": [{"queue": "q", "payload": "x" * 100_000} for _ in range(100)]}
            assert api.post("/v1/jobs", body).status_code == 201
        bare = RawSocket(local.url, receive_bytes=4_096)
        bare.send("start", queues=["q"], credits=1_000)
        held, deadline = 0.0, time.monotonic() + PATIENCE_S
        while (now := api.metric("holdfast_channel_jobs")) > 0 or not held:
            held = max(held, now)
            assert time.monotonic() < deadline, "it is still open"
            time.sleep(LOOK_S)
        assert 0 < held <= 300, held
        assert len(unharmed(api, "q", 800)) == 800


def test_a_slow_reader_gets_everything_in_the_end(api, server, queue):
    for _ in range(3):
        body = {"jobs": [{"queue": queue, "payload": "x" * 100_000} for _ in range(100)]}
        assert api.post("/v1/jobs", body).status_code == 201
    bare = RawSocket(server.url, receive_bytes=4_096)
    bare.send("start", queues=[queue], credits=300)
    deadline = time.monotonic() + PATIENCE_S
    while not api.metric("holdfast_channel_jobs"):
        assert time.monotonic() < deadline
        time.sleep(LOOK_S)
    assert api.counts(queue)["ready"] > 0
    got, rest = 0, b""
    while got < 300:
        data = rest + bare.socket.recv(1 << 20)
        got += data.count(b'"lease":')
        rest = data[-7:]  # one that is cut in two is counted with the next part
    assert api.counts(queue) == {"leased": 300}
    bare.socket.close()


def test_a_writer_that_floods_is_not_read_while_too_much_waits_and_everything_is_answered(api, server, queue):
    big = frame(json.dumps({"op": "batch", "ref": "f", "conclude": [{"token": "1.1.1.00", "result": "x" * 500_000}]}).encode())
    bare = RawSocket(server.url)
    os.kill(server.keeper(), signal.SIGSTOP)
    sent = 0
    try:
        bare.socket.settimeout(1)
        while sent < 200 * len(big):
            try:
                sent += bare.socket.send(_part(big, sent))
            except TimeoutError:
                break
    finally:
        os.kill(server.keeper(), signal.SIGCONT)
    assert sent < 40_000_000, "it is not read for ever"
    bare.socket.settimeout(PATIENCE_S)
    if sent % len(big):
        bare.socket.sendall(big[sent % len(big) :])
    wanted, got = -(-sent // len(big)), b""
    while got.count(b'"ref":"f"') < wanted:
        got += bare.socket.recv(1 << 16)
    assert got.count(b'"lease_lost"') == wanted
    bare.socket.close()


def _part(whole: bytes, at: int) -> bytes:
    start = at % len(whole)
    return whole[start : start + (1 << 18)]


def draining(serve, tmp_path, *flags):
    server, api = serve("--drain-s", "20", *flags, store=f"sqlite:///{tmp_path}/jobs.db")
    for n in range(4):
        api.push("q", n)
    return server, api


def test_a_server_that_stops_lets_its_channels_finish_what_they_hold(serve, tmp_path):
    server, _api = draining(serve, tmp_path)
    with open_channel(server.url) as worker, open_channel(server.url) as idle:
        idle.start("other")
        worker.start("q", credits=2)
        held = worker.jobs(2)
        server.process.send_signal(signal.SIGTERM)
        assert 10_000 < worker.receive("draining")["grace_ms"] <= 20_000
        assert closed(idle) == 1012
        with pytest.raises((InvalidHandshake, ConnectionClosed, OSError)), open_channel(server.url):
            pass
        refused = worker.refused("enqueue", "draining", body={"jobs": [{"queue": "q"}]})
        assert refused["status"] == 503
        assert worker.batch(extend=[{"token": token(held[0])}])["extend"][0]["draining"] is True
        assert [entry["state"] for entry in worker.conclude(*held)] == ["concluded"] * 2
        assert closed(worker) == 1012
    assert server.ended() == 0
    again, its = serve(store=f"sqlite:///{tmp_path}/jobs.db")
    assert its.counts("q") == {"concluded": 2, "ready": 2}
    assert again.stop() == 0


def closed(worker: ChannelClient) -> int:
    """The code with which the server closes."""
    try:
        while True:
            worker.line.recv(PATIENCE_S)
    except ConnectionClosed as closing:
        return closing.rcvd.code if closing.rcvd is not None else 1006


def test_what_is_not_finished_in_the_grace_time_is_handed_back_and_what_is_kept_stays(serve, tmp_path):
    server, _api = draining(serve, tmp_path, "--drain-s", "1")
    with open_channel(server.url) as worker, open_channel(server.url) as keeper:
        worker.start("q", credits=2)
        worker.jobs(2)
        keeper.start("q", credits=1, on_break="keep")
        kept = keeper.job()
        keeper.send("got", delivery=1)
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert closed(worker) == 1012
        assert time.monotonic() - began < 10
    assert server.ended() == 0
    _, its = serve(store=f"sqlite:///{tmp_path}/jobs.db")
    assert its.counts("q") == {"ready": 3, "leased": 1}
    unharmed(its, "q", 3)
    assert its.ended("conclude", kept)


def test_the_leases_of_a_server_that_is_killed_end_by_themselves_and_nobody_is_to_blame(serve, tmp_path):
    server, api = serve(store=f"sqlite:///{tmp_path}/jobs.db", clean=False)
    api.push("q", 1)
    with open_channel(server.url) as worker:
        worker.start("q", lease_ms=1_000)
        job = worker.job()
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    _, its = serve(store=f"sqlite:///{tmp_path}/jobs.db")
    (again,) = its.lease("q", wait_ms=20_000)
    assert (again["id"], again["attempt"], again["crashes"]) == (job["id"], 2, 0)
