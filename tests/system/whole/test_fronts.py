"""`--fronts 2`: two processes on one port over one keeper, and nobody has to know which of them answers."""

import signal

import pytest

from tests.system.whole.calls import lines_to_each, metric
from tests.system.whole.load import Load, everything_is_there
from tests.system.whole.servers import Line, until

pytestmark = pytest.mark.long(30)


def ask(line: Line, path: str, body: object, status: int = 200, **headers: str) -> dict:
    """The answer to a POST, which must have this status."""
    told, answer = line.send("POST", path, body, **headers).answer()
    assert told == status, answer
    return dict(answer)


def test_both_fronts_serve_and_either_tells_the_metrics_of_both(serve):
    server = serve("--fronts", "2")
    lines = [line for (line,) in lines_to_each(server)]
    for line, count in zip(lines, (3, 4), strict=True):
        for n in range(count):
            ask(line, "/v1/queues/q/jobs", {"payload": n}, 201)

    def told(line: Line) -> list[float]:
        line.connection.request("GET", "/metrics")
        page = line.connection.getresponse().read().decode()
        labels = {"method": "POST", "route": "/v1/queues/{queue}/jobs", "status": "201"}
        assert metric(page, "holdfast_jobs", queue="q", state="ready") == 7
        return [metric(page, "holdfast_http_requests_total", front=front, **labels) for front in ("0", "1")]

    for line in lines:
        until(lambda line=line: told(line) == [3, 4], "both fronts are counted")


def test_a_push_through_one_front_wakes_a_poll_that_is_parked_in_the_other(serve):
    server = serve("--fronts", "2")
    (zero, poll_zero), (one, poll_one) = lines_to_each(server, count=2)
    with server.client() as client:
        for number, (pusher, poll) in enumerate([(zero, poll_one), (one, poll_zero)]):
            front = str(1 - number)
            poll.send("POST", "/v1/leases", {"queues": ["q"], "wait_ms": 50_000})
            until(lambda front=front: metric(client.get("/metrics").text, "holdfast_waiters", front=front) == 1, "it is parked")
            put = ask(pusher, "/v1/queues/q/jobs", {"payload": "for whoever waits"}, 201)
            assert [job["id"] for job in poll.answer()[1]["jobs"]] == [put["id"]]


def test_a_front_that_stands_still_keeps_few_jobs_from_those_who_wait_at_the_other(serve):
    """What it was granted is with its callers when it goes on, or ready again when the leases end."""
    server = serve("--fronts", "2", "--store", "memory")
    (push, waits, *_), (*parked, beside) = lines_to_each(server, count=41)
    call = {"queues": ["q"], "wait_ms": 50_000}
    for number, poll in enumerate(parked):
        poll.send("POST", "/v1/leases", call | {"lease_ms": 60_000 if number % 2 else 5_000})
        ask(beside, "/v1/queues/beside/jobs", {"payload": "answered behind its look: it awaits a job by now"}, 201)
    (other,) = server.other_fronts
    server.send(signal.SIGSTOP, other)
    try:
        waits.send("POST", "/v1/leases", call)
        for payload in range(24):
            ask(push, "/v1/queues/q/jobs", {"payload": payload}, 201)
        (served,) = waits.answer()[1]["jobs"]
        taken = served["payload"]
        assert 0 < taken < 20, "all those before are with callers of a front that stands still"
        back = []
        while len(back) < -(-taken // 2):
            came = ask(push, "/v1/leases", call | {"max": 100, "wait_ms": 20_000})["jobs"]
            assert came, "what was granted to the others comes back"
            back += [job for job in came if job["payload"] < taken]
        assert {(job["attempt"], job["crashes"]) for job in back} == {(2, 1)}
    finally:
        server.send(signal.SIGCONT, other)
    for poll in parked[1:taken:2]:
        (job,) = poll.answer()[1]["jobs"]
        assert ask(push, f"/v1/leases/{job['lease']['token']}/conclude", {})["state"] == "concluded"


def test_what_one_front_leased_the_other_can_conclude_and_nothing_is_leased_twice(serve):
    server = serve("--fronts", "2")
    (zero,), (one,) = lines_to_each(server)
    for n in range(10):
        ask(zero, "/v1/queues/q/jobs", {"payload": n}, 201)
    taken = [job for line in (zero, one) for job in ask(line, "/v1/leases", {"queues": ["q"], "max": 5})["jobs"]]
    assert [job["payload"] for job in taken] == list(range(10))
    for job in taken:
        assert ask(one, f"/v1/leases/{job['lease']['token']}/conclude", {})["state"] == "concluded"


def test_a_repeated_push_is_known_to_the_other_front(serve):
    server = serve("--fronts", "2")
    (zero,), (one,) = lines_to_each(server)
    key = {"Idempotency-Key": "once"}
    first = ask(zero, "/v1/queues/q/jobs", {"payload": 1}, 201, **key)
    again = ask(one, "/v1/queues/q/jobs", {"payload": 1}, 200, **key)
    assert (again["id"], again["duplicate"]) == (first["id"], True)


@pytest.mark.parametrize("which", [0, 1])
def test_when_one_front_dies_the_server_ends_with_1_and_every_acknowledged_job_is_there(serve, which):
    server = serve("--fronts", "2")
    load = Load(server)
    load.wait_for(pushes=150)
    (other,) = server.other_fronts
    server.send(signal.SIGKILL, (server.pid, other)[which])
    code = server.ended()
    acknowledged = load.stop()
    server.gone()
    if which == 1:
        assert code == 1
        assert f"holdfast: Front process {other} ended." in server.err.text
    with serve().client() as client:
        everything_is_there(client, acknowledged)


def test_when_the_keeper_dies_both_fronts_end(serve):
    server = serve("--fronts", "2")
    server.send(signal.SIGKILL, server.keeper)
    assert server.ended() == 1
    assert "holdfast: The keeper died" in server.err.text
    server.gone()
