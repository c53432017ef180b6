"""The queue behind it: order, bound, leases that end, consumers who keep others out, and restarts."""

import signal
import time

import httpx
import pytest

from tests.contract.doors.servers import out_of_order, side_by_side, taking
from tests.system.whole.servers import until


def enqueue(client: httpx.Client, kind: str = "A") -> int:
    answer = client.put("/jobs/enqueue", json={"Type": kind})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["ID"])


def dequeue(client: httpx.Client, **headers: str) -> int | None:
    answer = client.post("/jobs/dequeue", headers=headers)
    assert answer.status_code in (200, 204), answer.text
    return int(answer.json()["ID"]) if answer.status_code == 200 else None


def status(client: httpx.Client, job: int) -> str:
    return str(client.get(f"/jobs/{job}").json()["Status"])


# ---------------------------------------------------------------------------------------------------- order and room


def test_jobs_come_in_the_order_in_which_they_were_enqueued(client):
    jobs = [enqueue(client, "TIME_CRITICAL" if number % 2 else "NOT_TIME_CRITICAL") for number in range(100)]
    assert [dequeue(client) for _ in range(101)] == [*jobs, None]


def test_the_order_holds_for_many_consumers_at_once_and_no_job_is_given_twice(client, server):
    jobs = [enqueue(client) for _ in range(400)]
    taken = [one for mine in side_by_side(8, lambda _: taking(server, dequeue)) for one in mine]
    assert sorted(job for _, _, job in taken) == jobs
    assert out_of_order(taken) == []


def test_producers_at_once_get_numbers_of_their_own(client, server):
    def run(_: int) -> list[int]:
        with server.client() as mine:
            return [enqueue(mine) for _ in range(50)]

    jobs = [job for mine in side_by_side(8, run) for job in mine]
    assert len(set(jobs)) == 400
    assert client.get("/jobs/stats").json()["Queued"] == 400


def test_a_full_queue_refuses_and_a_job_in_progress_counts(serve):
    with serve("--size", "2").client() as client:
        first = enqueue(client)
        enqueue(client)
        assert dequeue(client) == first
        answer = client.put("/jobs/enqueue", json={"Type": "A"})
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.post(f"/jobs/{first}/conclude").status_code == 200
        enqueue(client)


# -------------------------------------------------------------------------------------------------------- concluding


@pytest.mark.parametrize("path", ["/jobs/conclude/{}", "/jobs/{}/conclude"])
def test_only_a_job_in_progress_can_be_concluded(client, path):
    job = enqueue(client)
    for told in ("QUEUED", "CONCLUDED"):
        answer = client.post(path.format(job))
        assert (answer.status_code, answer.json()["code"]) == (409, "wrong_state")
        assert told in answer.json()["error"]
        assert status(client, job) == told
        if told == "QUEUED":
            assert dequeue(client) == job
            assert client.post(path.format(job)).json()["Status"] == "CONCLUDED"


def test_of_many_conclusions_at_once_one_counts(client, server):
    job = enqueue(client)
    dequeue(client)

    def run(_: int) -> int:
        with server.client() as mine:
            return mine.post(f"/jobs/{job}/conclude").status_code

    assert {200} <= set(side_by_side(8, run)) <= {200, 409}
    assert client.get("/jobs/stats").json()["Concluded"] == 1


def test_a_conclusion_that_comes_too_late_is_refused(client):
    assert client.put("/v1/queues/jobs", json={"lease_ms": 1}).status_code == 200
    job = enqueue(client)
    assert dequeue(client) == job
    time.sleep(0.01)  # the lease has ended, whether the server has looked or not
    answer = client.post(f"/jobs/{job}/conclude")
    assert (answer.status_code, answer.json()["code"] in ("lease_lost", "wrong_state")) == (409, True)
    until(lambda: status(client, job) == "QUEUED", "it is back")


# ------------------------------------------------------------------------------------------------ who may conclude


SPELLINGS = ["QUEUE_CONSUMER", "queue_consumer", "Queue-Consumer"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_consumer_that_gave_its_name_is_the_only_one_who_may_conclude(client, spelling):
    job = enqueue(client)
    assert dequeue(client, **{spelling: "anna"}) == job
    before = client.get(f"/v1/jobs/{job}").json()
    for headers in ({}, {spelling: ""}, {spelling: "bob"}, {spelling: "Anna"}, {spelling: "anna, bob"}):
        answer = client.post(f"/jobs/conclude/{job}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    after = client.get(f"/v1/jobs/{job}").json()
    assert {**after, "lease_ms_left": 0} == {**before, "lease_ms_left": 0}  # nothing was changed
    assert client.post(f"/jobs/conclude/{job}", headers={"QUEUE_CONSUMER": "anna"}).json()["Status"] == "CONCLUDED"


@pytest.mark.parametrize("headers", [{}, {"QUEUE_CONSUMER": "bob"}], ids=["nobody", "somebody"])
def test_a_consumer_without_a_name_lets_anybody_conclude(client, headers):
    job = enqueue(client)
    assert dequeue(client) == job
    assert client.post(f"/jobs/{job}/conclude", headers=headers).status_code == 200


def test_a_consumers_job_that_came_back_is_the_next_ones(client):
    assert client.put("/v1/queues/jobs", json={"lease_ms": 300}).status_code == 200
    job = enqueue(client)
    dequeue(client, QUEUE_CONSUMER="anna")
    until(lambda: status(client, job) == "QUEUED", "it is back")
    assert client.put("/v1/queues/jobs", json={}).status_code == 200
    assert dequeue(client, QUEUE_CONSUMER="bob") == job
    assert client.post(f"/jobs/{job}/conclude", headers={"QUEUE_CONSUMER": "anna"}).status_code == 403
    assert client.post(f"/jobs/{job}/conclude", headers={"QUEUE_CONSUMER": "bob"}).status_code == 200


def test_a_name_that_is_too_long_is_refused_and_takes_nothing(client):
    enqueue(client)
    answer = client.post("/jobs/dequeue", headers={"QUEUE_CONSUMER": "x" * 257})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert "QUEUE_CONSUMER" in answer.json()["error"]
    assert client.get("/jobs/stats").json()["Queued"] == 1


def test_a_worker_of_another_door_keeps_its_job_too(client):
    job = enqueue(client)
    (held,) = client.post("/v1/leases", json={"queues": ["jobs"], "worker": "anna"}).json()["jobs"]
    assert client.post(f"/jobs/{job}/conclude").status_code == 403
    assert client.post(f"/v1/leases/{held['lease']['token']}/conclude").status_code == 200


# ------------------------------------------------------------------------------------------------------- coming back


def test_a_job_is_taken_for_five_minutes_unless_somebody_says_otherwise(client, serve):
    job = enqueue(client)
    dequeue(client)
    assert 290_000 < client.get(f"/v1/jobs/{job}").json()["lease_ms_left"] <= 300_000
    with serve("--lease-ms", "60000").client() as other:
        job = enqueue(other)
        dequeue(other)
        assert 50_000 < other.get(f"/v1/jobs/{job}").json()["lease_ms_left"] <= 60_000


def test_a_job_that_nobody_concludes_returns_to_its_place(client):
    assert client.put("/v1/queues/jobs", json={"lease_ms": 300}).status_code == 200
    first, second = enqueue(client), enqueue(client)
    assert dequeue(client) == first
    assert status(client, first) == "IN_PROGRESS"
    until(lambda: status(client, first) == "QUEUED", "it is back")
    assert [dequeue(client), dequeue(client)] == [first, second]


def test_a_job_that_keeps_ending_its_consumers_is_set_aside_and_never_dropped(client):
    assert client.put("/v1/queues/jobs", json={"lease_ms": 50, "max_crashes": 2}).status_code == 200
    job = enqueue(client)
    assert dequeue(client) == job
    until(lambda: status(client, job) == "QUEUED", "it is back")
    assert dequeue(client) == job
    until(lambda: status(client, job) == "DEAD", "it is set aside")
    assert dequeue(client) is None
    assert client.post(f"/v1/jobs/{job}/retry").status_code == 200
    assert dequeue(client) == job


def test_a_restart_keeps_jobs_holders_and_numbers(serve):
    store = "sqlite:///jobs.db"
    first = serve(store=store)
    with first.client() as client:
        jobs = [enqueue(client) for _ in range(4)]
        assert [dequeue(client), dequeue(client, QUEUE_CONSUMER="anna")] == jobs[:2]
        assert client.post(f"/jobs/{jobs[0]}/conclude").status_code == 200
    first.send(signal.SIGTERM)
    assert first.ended() == 0
    with serve(store=store).client() as client:
        assert [status(client, job) for job in jobs] == ["CONCLUDED", "IN_PROGRESS", "QUEUED", "QUEUED"]
        stats = client.get("/jobs/stats").json()
        assert (stats["Queued"], stats["InProgress"], stats["Concluded"]) == (2, 1, 1)
        assert client.post(f"/jobs/{jobs[1]}/conclude").status_code == 403
        assert client.post(f"/jobs/{jobs[1]}/conclude", headers={"QUEUE_CONSUMER": "anna"}).status_code == 200
        assert enqueue(client) > jobs[-1]
        assert dequeue(client) == jobs[2]


def test_jobs_are_refused_while_the_disk_is_at_its_watermark_and_conclusions_are_not(serve):
    store = "sqlite:///jobs.db"
    first = serve(store=store)
    with first.client() as client:
        job = enqueue(client)
    first.send(signal.SIGTERM)
    first.gone()
    with serve("--disk-watermark-bytes", str(1 << 50), store=store).client() as client:
        answer = client.put("/jobs/enqueue", json={"Type": "A"})
        assert (answer.status_code, answer.json()["code"]) == (507, "storage_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert dequeue(client) == job
        assert client.post(f"/jobs/{job}/conclude").status_code == 200


# -------------------------------------------------------------------------------------------------------------- HTTP


@pytest.mark.parametrize(
    "headers", [{"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}], ids=["origin", "mark"]
)
def test_a_page_of_another_site_can_change_nothing(client, headers):
    job = enqueue(client)
    for method, path in (("PUT", "/jobs/enqueue"), ("POST", "/jobs/enqueue"), ("POST", "/jobs/dequeue")):
        assert client.request(method, path, content='{"Type": "A"}', headers=headers).status_code == 403
    assert dequeue(client) == job
    for path in (f"/jobs/{job}/conclude", f"/jobs/conclude/{job}"):
        assert client.post(path, headers=headers).status_code == 403
    stats = client.get("/jobs/stats").json()
    assert (stats["Queued"], stats["InProgress"]) == (0, 1)


@pytest.mark.parametrize("path", ["/jobs/stats", "/jobs/{}"])
def test_head_of_what_can_be_read_is_its_head(client, path):
    path = path.format(enqueue(client))
    head = client.head(path)
    assert (head.status_code, head.content, head.headers["content-type"]) == (200, b"", "application/json")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_only_a_post_takes_or_concludes(client, method):
    job = enqueue(client)
    for path in ("/jobs/dequeue", "/jobs/enqueue", f"/jobs/{job}/conclude", f"/jobs/conclude/{job}"):
        answer = client.request(method, path)
        assert answer.status_code == 405
        assert "POST" in answer.headers["allow"]
    assert status(client, job) == "QUEUED"


def test_no_answer_may_be_stored(client):
    job = enqueue(client)
    answers = [
        client.post("/jobs/dequeue"),
        client.post("/jobs/dequeue"),
        client.post(f"/jobs/{job}/conclude"),
        client.get(f"/jobs/{job}"),
    ]
    answers += [client.get("/jobs/stats"), client.put("/jobs/enqueue"), client.get("/jobs/0")]
    assert [answer.status_code for answer in answers] == [200, 204, 200, 200, 200, 400, 404]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert answers[1].content == b""
    assert not {"content-length", "content-type"} & set(answers[1].headers)
