"""A task's whole way, as CouchQueue's text draws it: incoming, interests, work queue, worker queue, worked, and what comes then."""

import time

import pytest

from tests.contract.doors.dialects.couchqueue.caller import Caller
from tests.system.whole.servers import until


def test_the_whole_data_flow(caller):
    caller.interest("welcome", {"^action$": "^userCreated$"})
    caller.interest("points", {"^action$": "^user"})
    caller.interest("other", {"^action$": "^orderPlaced$"})
    mailer, clerk = caller.worker("welcome"), caller.worker("points", "other")

    created = caller.done("PUT", "/task", publisher="web1+4711", data={"action": "userCreated", "id": 7})
    assert created == {"interestedSubscriptions": ["points", "welcome"], "durability": {"level": "memory", "replicas": 0}}
    assert caller.status(queues=True)["queues"] == {"other": 0, "points": 1, "welcome": 1}
    assert caller.status(tasksInProgress=True)["tasksInProgress"] == []

    mail, grant = caller.take(mailer), caller.take(clerk)
    assert (mail["queue"], grant["queue"]) == ("welcome", "points")
    assert mail["taskId"] != grant["taskId"]
    assert mail["data"] == grant["data"] == {"action": "userCreated", "id": 7}
    shown = caller.status(tasksInProgress=True, workers=True)
    assert {task["taskId"] for task in shown["tasksInProgress"]} == {mail["taskId"], grant["taskId"]}
    assert shown["workers"][mailer]["status"] == "working"
    assert caller.take(mailer) is None

    assert caller.update(mail, "success") == {"taskId": mail["taskId"], "status": "success"}
    assert caller.update(grant, "fail", failReason="no such user") == {"taskId": grant["taskId"], "status": "failed"}
    assert caller.take(clerk) is None
    shown = caller.status()
    assert [(task["taskId"], task["failReason"], task["workerId"]) for task in shown["failedQueue"]] == [
        (grant["taskId"], "no such user", clerk)
    ]
    assert shown["tasksInProgress"] == []
    assert shown["workers"][clerk]["status"] == "idle"
    assert caller.status(task=mail["taskId"])["task"]["status"] == "success"


def test_a_task_has_all_that_was_published_and_who_works_on_it(caller):
    caller.interest("q")
    worker = caller.worker("q")
    before = time.time() * 1_000
    caller.create({"a": 1}, singularlyRun=True)
    task = caller.take(worker)
    assert before - 60_000 < task["createdAt"] <= task["startedAt"] < before + 60_000
    assert task["runAt"] == task["createdAt"]
    rest = {name: value for name, value in task.items() if name not in ("taskId", "createdAt", "startedAt", "runAt")}
    assert rest == {
        "data": {"a": 1},
        "publisher": "test",
        "queue": "q",
        "workerId": worker,
        "status": "processing",
        "scope": "any",
        "singularlyEnqueue": False,
        "singularlyRun": True,
    }


def test_an_event_that_no_queue_wants_is_discarded(caller):
    caller.interest("q", {"^email$": "^.*evan.*"})
    assert caller.create({"email": "somebody@else.example"}) == []
    assert caller.status()["queues"] == {"q": 0}


def test_a_publisher_may_insist_that_somebody_is_interested(caller):
    assert caller.refused("PUT", "/task", publisher="p", data={}, requireInterest=True)[0] == 422


@pytest.mark.parametrize(
    ("interests", "data", "wanted"),
    [
        ("*", {}, True),
        ('"*"', {"a": 1}, True),
        ({"email": "^.*"}, {"email": ""}, True),
        ({"email": "^.*"}, {"name": "evan"}, False),
        ({"email": "^.*"}, {"workEmail": "x"}, False),
        ({"mail": "van"}, {"email": "evan@x.example"}, True),
        ({"^mail": "."}, {"email": "evan@x.example"}, False),
        ({"email": "^.*evan.*"}, {"email": "the.evan@x.example"}, True),
        ({"email": "^.*", "userId": "^.*"}, {"userId": 12}, True),
        ({"^userId$": "^1.$"}, {"userId": 12}, True),
    ],
)
def test_interests_are_unanchored_patterns_of_which_one_is_enough(caller, interests, data, wanted):
    caller.interest("q", interests)
    assert caller.create(data) == (["q"] if wanted else [])


def test_interests_see_the_data_alone(caller):
    caller.interest("q", {"publisher|scope|data|queue": ""})
    assert caller.create({"a": "test"}) == []


def test_a_new_interest_takes_the_place_of_the_old_one(caller):
    caller.interest("q", {"email": "first"})
    caller.interest("q", {"email": "second"})
    assert caller.status(interests=True)["interests"] == {"q": {"email": "second"}}
    assert caller.create({"email": "first"}) == []


def test_a_queue_without_interests_keeps_its_tasks_and_gets_no_more(caller):
    caller.interest("q")
    caller.create({"n": 1})
    assert caller.done("DELETE", "/interest", queue="q") == {"queue": "q", "deleted": True}
    assert caller.done("DELETE", "/interest", queue="q") == {"queue": "q", "deleted": False}
    assert caller.create({"n": 2}) == []
    assert caller.status(queue="q") == {"queue": 1}


def test_queues_are_served_in_the_workers_order_and_each_first_in_first_out(caller):
    caller.interest("low", {"^to$": "low"})
    caller.interest("high", {"^to$": "high"})
    worker, contrary = caller.worker("high", " low "), caller.worker("low", "high")
    for number in range(3):
        caller.create({"to": "low", "n": number})
        caller.create({"to": "high", "n": number})
    assert caller.take(contrary)["data"] == {"to": "low", "n": 0}
    taken = [caller.take(worker)["data"] for _ in range(5)]
    assert [(data["to"], data["n"]) for data in taken] == [("high", 0), ("high", 1), ("high", 2), ("low", 1), ("low", 2)]


def test_a_task_for_all_is_performed_once_by_every_worker_of_the_queue(caller):
    caller.interest("q")
    first, second, elsewhere = caller.worker("q"), caller.worker("x", "q"), caller.worker("x")
    assert caller.create({"flush": "cache"}, scope="all") == ["q"]
    assert caller.status(workerQueue=True)["workerQueue"] == {first: 1, second: 1, elsewhere: 0}
    assert caller.status(workerQueue=first) == {"workerQueue": {first: 1}}
    late = caller.worker("q")
    assert caller.take(late) is None
    assert caller.take(elsewhere) is None
    for worker in (first, second):
        task = caller.take(worker)
        assert (task["data"], task["scope"], task["workerId"]) == ({"flush": "cache"}, "all", worker)
        assert caller.take(worker) is None
    assert set(caller.status(workerQueue="yes")["workerQueue"].values()) == {0}


def test_a_task_for_any_is_performed_by_one_worker(caller):
    caller.interest("q")
    first, second = caller.worker("q"), caller.worker("q")
    caller.create({}, scope="any")
    assert caller.take(first)["scope"] == "any"
    assert caller.take(second) is None


def test_singularly_enqueued_a_task_is_not_put_twice_until_the_first_one_has_ended(caller):
    caller.interest("q")
    worker = caller.worker("q")
    assert caller.create({"a": 1, "b": [2.5, "x"]}, singularlyEnqueue=True) == ["q"]
    again = caller.done("PUT", "/task", publisher="other", data='{ "b":[2.5,"x"], "a":1 }', singularlyEnqueue="1")
    assert (again["interestedSubscriptions"], again["alreadyEnqueued"]) == (["q"], ["q"])
    assert caller.status(queue="q") == {"queue": 1}
    assert caller.create({"a": 2}, singularlyEnqueue=True) == ["q"]
    task = caller.take(worker)
    assert task["singularlyEnqueue"] is True
    caller.create({"a": 1, "b": [2.5, "x"]}, singularlyEnqueue=True)
    assert caller.status(queue="q") == {"queue": 1}
    caller.update(task, "success")
    caller.create({"a": 1, "b": [2.5, "x"]}, singularlyEnqueue=True)
    assert caller.status(queue="q") == {"queue": 2}


def test_a_queue_that_has_the_task_already_does_not_keep_it_from_the_others(caller):
    caller.interest("slow")
    caller.interest("fast")
    caller.create({"a": 1}, singularlyEnqueue=True)
    caller.update(caller.take(caller.worker("fast")), "success")
    again = caller.done("PUT", "/task", publisher="p", data={"a": 1}, singularlyEnqueue=True)
    assert (again["interestedSubscriptions"], again["alreadyEnqueued"]) == (["fast", "slow"], ["slow"])
    assert caller.status()["queues"] == {"fast": 1, "slow": 1}


def test_singularly_run_tasks_wait_for_one_another_and_others_pass_them(caller):
    caller.interest("q")
    first, second = caller.worker("q"), caller.worker("q")
    for _ in range(2):
        caller.create({"a": 1}, singularlyRun="true")
    caller.create({"a": 2}, singularlyRun="true")
    running = caller.take(first)
    assert caller.take(second)["data"] == {"a": 2}
    assert caller.take(second) is None
    caller.update(running, "success")
    assert caller.take(second)["data"] == {"a": 1}


def test_a_task_for_all_can_be_run_by_one_worker_after_the_other(caller):
    caller.interest("q")
    first, second = caller.worker("q"), caller.worker("q")
    caller.create({"a": 1}, scope="all", singularlyRun=True, singularlyEnqueue=True)
    again = caller.done("PUT", "/task", publisher="p", data={"a": 1}, scope="all", singularlyEnqueue=True)
    assert again["alreadyEnqueued"] == ["q"]
    holding, waiting = (first, second) if (task := caller.take(first)) else (second, first)
    task = task or caller.take(holding)
    assert caller.take(waiting) is None
    caller.update(task, "success")
    assert caller.take(waiting)["data"] == {"a": 1}


def test_without_these_flags_equal_tasks_are_put_and_run_side_by_side(caller):
    caller.interest("q")
    worker = caller.worker("q")
    for flag in (False, "no", "0", ""):
        caller.create({"a": 1}, singularlyEnqueue=flag, singularlyRun=flag)
    assert [caller.take(worker)["data"] for _ in range(4)] == [{"a": 1}] * 4


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "text"])
def test_a_task_with_run_at_waits_until_then(caller, unit):
    caller.interest("q")
    worker = caller.worker("q")
    at = round(time.time() * 1_000) + 1_500
    caller.create({}, runAt={"seconds": at / 1_000, "milliseconds": at, "text": str(at / 1_000)}[unit])
    assert caller.take(worker) is None
    assert caller.status(queue="q") == {"queue": 1}
    taken = []

    def came() -> bool:
        taken.append(caller.take(worker))
        return taken[-1] is not None

    until(came, "its time has come")
    assert taken[-1]["runAt"] == at
    assert taken[-1]["startedAt"] >= at


@pytest.mark.parametrize("given", [None, "null", "", 0, 1_000_000_000])
def test_a_run_at_of_null_or_in_the_past_is_now(caller, given):
    caller.interest("q")
    caller.create({}, runAt=given)
    assert caller.take(caller.worker("q")) is not None


def test_a_finished_task_can_be_enqueued_again(caller):
    caller.interest("q")
    worker = caller.worker("q")
    caller.create({"a": 1}, singularlyEnqueue=True, singularlyRun=True)
    first = caller.take(worker)
    ended = caller.update(first, "success", reEnqueue=True)
    assert (ended["taskId"], ended["status"]) == (first["taskId"], "success")
    second = caller.take(worker)
    assert second["taskId"] == ended["reEnqueuedAs"] != first["taskId"]
    same = ("data", "publisher", "queue", "scope", "singularlyEnqueue", "singularlyRun")
    assert [second[name] for name in same] == [first[name] for name in same]
    assert caller.update(second, "success") == {"taskId": second["taskId"], "status": "success"}
    assert caller.take(worker) is None


def test_a_failed_task_can_be_enqueued_again_and_remembers_why_it_failed(caller):
    caller.interest("q")
    worker = caller.worker("q")
    caller.create({"a": 1})
    first = caller.take(worker)
    ended = caller.update(first, "fail", reEnqueue="true", failReason="not yet")
    assert ended == {"taskId": first["taskId"], "status": "queued", "reEnqueuedAs": first["taskId"]}
    assert caller.status(failedQueue=True) == {"failedQueue": []}
    second = caller.take(worker)
    assert second["data"] == {"a": 1}
    assert caller.status(task=second["taskId"])["task"]["failReason"] == "not yet"


def test_a_task_that_fails_too_often_is_not_enqueued_again(serve):
    with serve("--max-attempts", "2").client() as client:
        caller = Caller(client)
        caller.interest("q")
        worker = caller.worker("q")
        caller.create({})
        assert caller.update(caller.take(worker), "fail", reEnqueue=True)["status"] == "queued"
        assert caller.update(caller.take(worker), "fail", reEnqueue=True)["status"] == "failed"
        assert caller.take(worker) is None
        assert len(caller.status(failedQueue=True)["failedQueue"]) == 1


def test_a_worker_that_does_not_end_its_task_in_time_loses_it(serve):
    with serve("--lease-ms", "300").client() as client:
        caller = Caller(client)
        caller.interest("q")
        slow, quick = caller.worker("q"), caller.worker("q")
        caller.create({})
        task = caller.take(slow)
        until(lambda: caller.status(queue="q") == {"queue": 1}, "the lease has ended")
        assert caller.refused("POST", "/task", workerId=slow, taskId=task["taskId"], state="success") == (
            409,
            "this worker is not working on this task",
        )
        assert caller.take(quick)["taskId"] == task["taskId"]


def test_fast_post_answers_before_the_commit_and_says_so(caller):
    caller.interest("q")
    created = caller.done("PUT", "/task", publisher="p", data={"a": 1}, fastPost=True)
    assert created == {"interestedSubscriptions": ["q"], "durability": {"level": "none", "replicas": 0}}
    until(lambda: caller.status(queue="q") == {"queue": 1}, "it came through")
    page = caller.client.get("/metrics").text
    assert 'holdfast_unwaited_events_total{front="0",outcome="kept"}' in page


def test_a_fast_post_that_was_lost_is_counted(serve):
    with serve("--size", "0").client() as client:
        caller = Caller(client)
        caller.interest("q")
        assert caller.refused("PUT", "/task", publisher="p", data={})[0] == 429
        caller.done("PUT", "/task", publisher="p", data={}, fastPost=True)
        lost = 'holdfast_unwaited_events_total{front="0",outcome="lost"} 1.0'
        until(lambda: lost in client.get("/metrics").text, "it is counted")
        assert caller.status(queue="q") == {"queue": 0}


def test_fast_post_still_refuses_what_is_wrong_in_itself(caller):
    assert caller.refused("PUT", "/task", publisher="p", data="no", fastPost=True) == (400, "data must be a JSON hash")


def test_the_same_idempotency_key_publishes_once(caller):
    caller.interest("q")
    answers = [
        caller.client.put("/task", json={"publisher": "p", "data": {"n": n}}, headers={"idempotency-key": "k"})
        for n in (1, 1, 2)
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 422]
    assert answers[1].json() == answers[0].json() | {"duplicate": True}
    assert caller.status(queue="q") == {"queue": 1}


def test_data_is_kept_byte_for_byte(caller):
    caller.interest("q")
    data = '{"big": 123456789012345678901234567890, "exact": 1.10, "text": "ä\\u00e4\\n", "z": {"a": []}}'
    caller.client.put("/task", data={"publisher": "p", "data": data})
    taken = caller.client.get("/task", params={"workerId": caller.worker("q")}).text
    assert f'"data":{data},' in taken


def test_a_job_that_came_through_another_door_is_a_task_without_a_publisher(caller):
    caller.client.post("/v1/queues/q/jobs", json={"payload": [1]})
    caller.client.post("/v1/queues/q/jobs", content=b"\xff\x00", headers={"content-type": "image/png"})
    worker = caller.worker("q")
    first, second = caller.take(worker), caller.take(worker)
    assert (first["data"], first["publisher"]) == ([1], None)
    assert (second["data"], second["dataBase64"]) == (None, "/wA=")
