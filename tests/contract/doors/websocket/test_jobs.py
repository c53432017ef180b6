"""What a worker does on a channel: it is sent jobs as they come, up to its credits, and ends them; it puts jobs and publishes."""

import pytest

from holdfast import limits
from tests.contract.doors.websocket.channel import token


def test_jobs_are_sent_as_they_come(api, worker, queue):
    assert worker.start(queue, worker="anna")["credits"] == 1
    put = api.push(queue, {"n": 1}, type="mail")
    job = worker.job()
    assert (job["id"], job["type"], job["payload"], job["state"], job["attempt"]) == (put["id"], "mail", {"n": 1}, "leased", 1)
    assert job["lease"]["worker"] == "anna"
    assert worker.conclude(job, result={"ok": True}) == [{"id": put["id"], "state": "concluded"}]
    assert api.job(put["id"])["result"] == {"ok": True}


def test_a_job_looks_as_in_a_lease_over_http(api, worker, queue):
    api.push(queue, [1.50], tags=["a"], group_key="g", unique_key="u")
    (plain,) = api.lease(queue)
    assert api.end("release", plain).status_code == 200
    worker.start(queue)
    job = worker.job()
    assert set(job) == set(plain)
    assert [job[name] for name in ("payload", "tags", "group_key", "unique_key")] == [[1.5], ["a"], "g", "u"]


def test_never_more_are_unfinished_than_there_are_credits(api, worker, queue):
    for n in range(10):
        api.push(queue, n)
    worker.start(queue, credits=4)
    held = worker.jobs(4)
    worker.nothing_more()
    assert api.counts(queue) == {"leased": 4, "ready": 6}
    worker.conclude(*held[:3])
    assert [job["payload"] for job in worker.jobs(3)] == [4, 5, 6]
    worker.nothing_more()
    assert api.counts(queue) == {"leased": 4, "ready": 3, "concluded": 3}


@pytest.mark.parametrize("verb", ["conclude", "fail", "release"])
def test_every_end_of_a_job_makes_room_for_another(api, worker, queue, verb):
    for n in range(3):
        api.push(queue, n)
    worker.start(queue)
    for n in range(2):
        job = worker.job()
        assert job["payload"] == n
        entry = {"token": token(job)} | ({"delay_ms": 60_000} if verb != "conclude" else {})
        assert worker.batch(**{verb: [entry]})[verb][0]["id"] == job["id"]
    assert worker.job()["payload"] == 2


def test_an_extended_job_is_still_unfinished(api, worker, queue):
    api.push(queue, 0)
    api.push(queue, 1)
    worker.start(queue, lease_ms=30_000)
    job = worker.job()
    assert 0 < job["lease"]["ms_left"] <= 30_000
    (kept,) = worker.batch(extend=[{"token": token(job), "lease_ms": 90_000, "progress": {"page": 3}}])["extend"]
    assert kept == {"ms_left": 90_000, "cancel_requested": False, "draining": False}
    worker.nothing_more()
    assert api.job(job["id"])["progress"] == {"page": 3}


def test_a_batch_does_what_the_http_call_does(api, worker, queue):
    for n in range(5):
        api.push(queue, n)
    worker.start(queue, credits=5)
    one, two, three, four, five = worker.jobs(5)
    said = worker.batch(
        conclude=[{"token": token(one), "then": [{"queue": f"{queue}-next", "payload": 7}]}, {"token": "never"}],
        fail=[{"token": token(two), "reason": "paper", "retry": False}],
        release=[{"token": token(three), "delay_ms": 60_000}, {"token": "9.1.9.00"}],
        extend=[{"token": token(four)}],
    )
    assert [entry.get("state", entry.get("code")) for entry in said["conclude"]] == ["concluded", "lease_lost"]
    assert said["conclude"][0]["then"][0]["queue"] == f"{queue}-next"
    assert said["fail"] == [{"id": two["id"], "state": "dead"}]
    assert [entry.get("state", entry.get("code")) for entry in said["release"]] == ["scheduled", "lease_lost"]
    assert said["extend"][0]["ms_left"] > 0
    assert api.job(two["id"])["errors"][0]["reason"] == "paper"
    assert worker.conclude(five)[0]["state"] == "concluded"


def test_concluding_again_gets_the_same_answer_and_no_second_credit(api, worker, queue):
    for n in range(4):
        api.push(queue, n)
    worker.start(queue, credits=2)
    one, _two = worker.jobs(2)
    first = worker.conclude(one)
    assert worker.conclude(one) == first
    assert worker.job()["payload"] == 2
    worker.nothing_more()


def test_what_is_asked_while_something_is_under_way_is_answered_too(api, worker, queue):
    for n in range(50):
        api.push(queue, n)
    worker.start(queue, credits=50)
    jobs = worker.jobs(50)
    for n, job in enumerate(jobs):
        worker.send("batch", ref=f"c{n}", conclude=[{"token": token(job)}])
    for n in reversed(range(50)):
        assert worker.receive("results", ref=f"c{n}")["conclude"][0]["id"] == jobs[n]["id"]
    assert api.counts(queue) == {"concluded": 50}


def test_queues_are_served_in_their_order_or_by_priority(api, channel, queues):
    first, second = queues[:2]
    for name, priority in ((first, 9), (second, 1)):
        api.push(name, priority, priority=priority)
        api.push(name, priority + 1, priority=priority + 1)
    by_queue = channel()
    by_queue.start(first, second, credits=4)
    assert [job["payload"] for job in by_queue.jobs(4)] == [9, 10, 1, 2]
    by_queue.line.close()
    api.until("holdfast_channel_jobs", 0)
    by_priority = channel()
    by_priority.start(first, second, credits=4, order="priority")
    assert [job["payload"] for job in by_priority.jobs(4)] == [1, 2, 9, 10]


def test_credits_can_be_changed_and_taken_away(api, worker, queue):
    for n in range(6):
        api.push(queue, n)
    worker.start(queue, credits=0)
    worker.nothing_more()
    assert worker.ask("credits", "credits", credits=2) | {"ref": None} == {
        "op": "credits", "ref": None, "credits": 2, "unfinished": 0,
    }  # fmt: skip
    held = worker.jobs(2)
    worker.ask("credits", "credits", credits=3)
    held.append(worker.job())
    assert worker.ask("credits", "credits", credits=1)["unfinished"] == 3
    worker.conclude(*held[:2])
    worker.nothing_more()
    worker.conclude(held[2])
    assert worker.job()["payload"] == 3
    worker.ask("credits", "credits", credits=0)
    worker.nothing_more()
    assert api.counts(queue) == {"concluded": 3, "leased": 1, "ready": 2}


def test_a_push_wakes_one_of_those_that_wait(api, channel, queue):
    waiting = [channel() for _ in range(3)]
    for one in waiting:
        one.start(queue)
    put = [api.push(queue, n)["id"] for n in range(3)]
    got = [one.job()["id"] for one in waiting]
    assert sorted(got) == put


def test_jobs_are_put_on_the_channel(api, worker, queue):
    said = worker.ask("enqueue", "enqueued", body={"jobs": [{"queue": queue, "payload": n} for n in range(2)]})
    assert said["durability"] == {"level": "memory", "replicas": 0}
    assert [api.job(job["id"])["payload"] for job in said["jobs"]] == [0, 1]


def test_an_idempotency_key_is_the_same_request_on_the_channel_and_over_http(api, worker, queue):
    body = f'{{"jobs":[{{"queue":"{queue}","payload":1}}]}}'
    first = worker.ask("enqueue", "enqueued", idempotency_key="k-" + queue, body={"jobs": []} | {"jobs": [{"queue": queue}]})
    assert "duplicate" not in first
    key = "again-" + queue
    worker.line.send(f'{{"op":"enqueue","ref":"x","idempotency_key":"{key}","body":{body}}}')
    put = worker.receive("enqueued", ref="x")
    again = api.post("/v1/jobs", content=body, headers={"Idempotency-Key": key, "Content-Type": "application/json"})
    assert (again.status_code, again.json()["duplicate"]) == (200, True)
    assert again.json()["jobs"] == put["jobs"]
    worker.line.send(f'{{"op":"enqueue","ref":"y","idempotency_key":"{key}","body":{body}}}')
    assert worker.receive("enqueued", ref="y")["duplicate"] is True
    worker.refused("enqueue", "idempotency_mismatch", idempotency_key=key, body={"jobs": [{"queue": queue, "payload": 2}]})


def test_an_enqueue_waits_for_room(api, worker, queue):
    api.set(queue, capacity_jobs=1)
    api.push(queue, 1)
    worker.send("enqueue", ref="w", wait_ms=20_000, body={"jobs": [{"queue": queue, "payload": 2}]})
    api.until("holdfast_waiters", 1)
    api.ended("conclude", api.take(queue))
    assert worker.receive("enqueued", ref="w")["jobs"][0]["queue"] == queue


def test_an_event_is_published_to_those_who_want_it(api, worker, queue):
    field = f"kind-{queue}"
    assert api.put(f"/v1/interests/{queue}", json={"match": {f"^{field}$": "x"}}).status_code == 200
    said = worker.ask("publish", "published", idempotency_key="p-" + queue, body={"data": {field: "x"}})
    assert [copy["queue"] for copy in said["jobs"]] == [queue]
    again = worker.ask("publish", "published", idempotency_key="p-" + queue, body={"data": {field: "x"}})
    assert (again["jobs"], again["duplicate"]) == (said["jobs"], True)
    worker.refused("publish", "no_interest", body={"data": {"other": 1}, "require_interest": True})


def test_a_request_to_cancel_is_told_at_once(api, worker, queue):
    api.push(queue, 1)
    worker.start(queue)
    job = worker.job()
    assert api.post(f"/v1/jobs/{job['id']}/cancel", {}).status_code == 200
    assert worker.receive("cancel") == {"op": "cancel", "job": job["id"], "attempt": 1}
    assert worker.batch(release=[{"token": token(job)}])["release"][0]["state"] == "cancelled"


def test_a_lease_that_an_operator_takes_back_is_told_at_once(api, worker, queue):
    api.push(queue, 1)
    worker.start(queue)
    job = worker.job()
    assert api.post(f"/v1/jobs/{job['id']}/release-lease", {"attempt": 1}).status_code == 200
    assert worker.receive("lost") == {"op": "lost", "job": job["id"], "attempt": 1}
    again = worker.job()
    assert (again["id"], again["attempt"]) == (job["id"], 2)
    assert worker.conclude(job)[0]["code"] == "lease_lost"
    assert worker.conclude(again)[0]["state"] == "concluded"


def test_a_lease_whose_time_is_up_is_told_and_its_credit_comes_back(api, worker, queue):
    api.push(queue, 1, max_attempts=1)
    api.push(queue, 2)
    worker.start(queue, lease_ms=50)
    job = worker.job()
    assert worker.receive("lost") == {"op": "lost", "job": job["id"], "attempt": 1}
    assert worker.job()["payload"] == 2
    assert worker.conclude(job)[0]["code"] == "lease_lost"
    assert api.job(job["id"])["crashes"] == 1


def test_a_registered_worker_that_is_told_to_be_quiet_gets_nothing_more(api, worker, queue):
    registered = api.post("/v1/workers", {"queues": [queue]}).json()["id"]
    worker.start(queue, worker=registered, credits=2)
    api.push(queue, 1)
    job = worker.job()
    assert api.post(f"/v1/workers/{registered}/quiet").status_code == 200
    api.push(queue, 2)
    worker.nothing_more()
    assert worker.conclude(job)[0]["state"] == "concluded"
    assert api.counts(queue) == {"concluded": 1, "ready": 1}


def test_a_quiet_worker_that_waits_leaves_the_news_to_the_next(api, worker, channel, queue):
    registered = api.post("/v1/workers", {"queues": [queue]}).json()["id"]
    worker.start(queue, worker=registered)
    api.until_parked(1)
    second = channel()
    second.start(queue)
    api.until_parked(2)
    assert api.post(f"/v1/workers/{registered}/quiet").status_code == 200
    job = api.push(queue, 1)
    assert second.job()["id"] == job["id"]


def test_messages_are_counted(api, worker, queue):
    before = {op: api.metric("holdfast_channel_messages_total", op=op) for op in ("start", "batch", "ping")}
    channels = api.metric("holdfast_channels")
    api.push(queue, 1)
    worker.start(queue)
    job = worker.job()
    assert api.metric("holdfast_channel_jobs") == 1
    worker.conclude(job)
    worker.ask("ping", "pong")
    after = {op: api.metric("holdfast_channel_messages_total", op=op) for op in before}
    assert {op: after[op] - before[op] for op in before} == {"start": 1, "batch": 1, "ping": 1}
    assert api.metric("holdfast_channel_jobs") == 0
    worker.line.close()
    api.until("holdfast_channels", channels - 1)


def test_the_largest_window_is_filled(api, worker, queue):
    body = {"jobs": [{"queue": queue, "payload": n} for n in range(limits.BULK_JOBS)]}
    assert api.post("/v1/jobs", body).status_code == 201
    worker.start(queue, credits=limits.CHANNEL_CREDITS)
    jobs = worker.jobs(limits.CHANNEL_CREDITS)
    assert [job["payload"] for job in jobs] == list(range(limits.CHANNEL_CREDITS))
    assert all(entry["state"] == "concluded" for entry in worker.conclude(*jobs))


@pytest.mark.parametrize("verb", ["conclude", "fail", "release", "extend"])
def test_a_token_that_is_wrong_but_for_its_fence_costs_the_lease_nothing(api, worker, queue, verb):
    job = api.push(queue)
    worker.start(queue, credits=1)
    (held,) = worker.jobs(1)
    wrong = token(held).rpartition(".")[0] + ".00"
    (refused,) = worker.batch(**{verb: [{"token": wrong}]})[verb]
    assert refused["code"] == "lease_lost"
    assert worker.conclude(held)[0]["state"] == "concluded"
    assert api.job(job["id"])["attempt"] == 1


def test_a_job_is_put_with_a_time_to_live_and_what_was_raised_is_told(api, worker, queue):
    trace = 'Traceback (most recent call last):\n  File "/srv/app/mail.py", line 3, in send\nOSError: no'
    put = worker.ask("enqueue", "enqueued", body={"jobs": [{"queue": queue, "expires_in_ms": 60_000}]})["jobs"][0]
    worker.start(queue)
    job = worker.job()
    assert (job["id"], job["expires_at"]) == (put["id"], api.job(put["id"])["expires_at"])
    error = {"class": "OSError", "message": "no", "traceback": trace}
    worker.batch(fail=[{"token": token(job), "error": error, "retry": False}])
    (kept,) = api.job(put["id"])["errors"]
    assert (kept["reason"], kept["error"]) == ("OSError: no", {**error, "place": "/srv/app/mail.py in send"})
