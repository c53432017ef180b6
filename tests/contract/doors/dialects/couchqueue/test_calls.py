"""Ways to call: routes, forms and JSON, actions by name; who may; and every refusal in its words."""

import json
import signal
from contextlib import ExitStack

import pytest

from tests.contract.doors.dialects.couchqueue.caller import Caller
from tests.system.whole.calls import each_front_alone
from tests.system.whole.servers import until

NEEDED = [
    ("PUT", "/task", {}, "publisher"),
    ("PUT", "/task", {"publisher": "p"}, "data"),
    ("PUT", "/task", {"publisher": "p", "data": None}, "data"),
    ("GET", "/task", {}, "workerId"),
    ("POST", "/task", {}, "workerId"),
    ("POST", "/task", {"workerId": "w-1"}, "taskId"),
    ("POST", "/task", {"workerId": "w-1", "taskId": 1}, "state"),
    ("PUT", "/worker", {}, "queues"),
    ("PUT", "/worker", {"queues": " , "}, "queues"),
    ("DELETE", "/worker", {}, "workerId"),
    ("PUT", "/interest", {"interests": "*"}, "queue"),
    ("PUT", "/interest", {"queue": "q"}, "interests"),
    ("DELETE", "/interest", {}, "queue"),
    ("DELETE", "/queue", {"queue": ""}, "queue"),
    ("GET", "/status", {"queue": ""}, "queue"),
    ("POST", "/api", {}, "action"),
]


@pytest.mark.parametrize(("method", "path", "given", "missing"), NEEDED)
def test_a_missing_parameter_is_named(caller, method, path, given, missing):
    assert caller.refused(method, path, **given) == (400, f"Error: {missing} is a required parameter for this action")


WRONG = [
    ("PUT", "/task", {"publisher": "p", "data": "{"}, "data must be a JSON hash"),
    ("PUT", "/task", {"publisher": "p", "data": [1]}, "data must be a JSON hash"),
    ("PUT", "/task", {"publisher": "p", "data": {}, "scope": "some"}, "scope must be any,all"),
    ("PUT", "/task", {"publisher": "p", "data": {}, "singularlyRun": "maybe"}, "singularlyRun must be true,false"),
    ("PUT", "/task", {"publisher": "p", "data": {}, "runAt": "tomorrow"}, "runAt must be a unix timestamp in seconds"),
    ("PUT", "/task", {"publisher": "p", "data": {}, "runAt": -5}, "runAt must be a unix timestamp in seconds"),
    ("PUT", "/task", {"publisher": "p", "data": {}, "runAt": 99999999999999999}, "runAt must be before the year 10000."),
    ("PUT", "/task", {"publisher": "p" * 200, "data": {}}, "publisher must have at most 118 characters."),
    ("POST", "/task", {"workerId": "w", "taskId": 1, "state": "done"}, "state must be fail,success"),
    ("PUT", "/worker", {"queues": "a,*"}, "queues must be named; * is not allowed"),
    ("PUT", "/interest", {"queue": "q", "interests": "all"}, "interests must be * or a JSON hash of regexes"),
    ("PUT", "/interest", {"queue": "q", "interests": {"a": 1}}, "interests must be * or a JSON hash of regexes"),
]


@pytest.mark.parametrize(("method", "path", "given", "said"), WRONG)
def test_a_parameter_that_makes_no_sense_is_refused(caller, method, path, given, said):
    assert caller.refused(method, path, **given) == (400, said)


def test_a_pattern_that_is_none_is_refused_by_the_name_of_its_parameter(caller):
    status, said = caller.refused("PUT", "/interest", queue="q", interests={"a": "("})
    assert status == 400
    assert said.startswith("interests")


def test_who_is_not_registered_gets_no_task(caller):
    caller.interest("q")
    caller.create({})
    assert caller.refused("GET", "/task", workerId="w-0") == (404, "no worker with that workerId")
    assert caller.refused("DELETE", "/worker", workerId="w-0") == (404, "no worker with that workerId")
    assert caller.refused("POST", "/task", workerId="w-0", taskId=1, state="fail") == (404, "no worker with that workerId")
    assert caller.client.get("/status", params={"workerQueue": "w-0"}).json()["error"] == "no worker with that workerId"


def test_only_the_worker_on_a_task_ends_it_and_only_once(caller):
    caller.interest("q")
    mine, other = caller.worker("q"), caller.worker("q")
    caller.create({})
    task = caller.take(mine)
    no = (409, "this worker is not working on this task")
    for worker, task_id in ((other, task["taskId"]), (mine, task["taskId"] + 1), (mine, "x"), (mine, "9" * 30), (mine, 0)):
        assert caller.refused("POST", "/task", workerId=worker, taskId=task_id, state="success") == no
    caller.update(task, "success")
    assert caller.refused("POST", "/task", workerId=mine, taskId=task["taskId"], state="success") == no


def test_no_task_is_not_an_error_of_http(caller):
    answer = caller.client.get("/task", params={"workerId": caller.worker("q")})
    assert (answer.status_code, answer.json()) == (200, {"task": None, "error": "no tasks found"})


def test_unknown_things_are_not_found(caller):
    assert caller.refused("DELETE", "/queue", queue="none")[0] == 404
    assert caller.refused("DELETE", "/interest", queue="none")[0] == 404
    assert caller.client.get("/status", params={"queue": "none"}).status_code == 404
    answer = caller.client.get("/status", params={"task": "77777"})
    assert (answer.status_code, answer.json()["error"]) == (404, "no task with the taskId 77777")
    assert caller.refused("POST", "/api/taskSteal") == (404, "Error: taskSteal is not an action")


def test_only_action_or_the_path_names_an_action(caller):
    assert "status" in caller.client.post("/api?name=taskGet&action=status").json()
    assert "status" in caller.client.post("/api/status?action=taskGet").json()


@pytest.mark.parametrize(
    "members",
    [
        b'"publisher": "\\ud800", "data": {"a": 1}',
        b'"publisher": "p", "data": {"a": NaN}',
        b'"publisher": "p", "data": {"a": ' + b"[" * 65 + b"]" * 65 + b"}",
        b'"publisher": "p", "data": {"a": ' + b"1" * 5_000 + b'}, "singularlyRun": true',
        b'"publisher": "p\\u0000", "data": {"a": 1}',
    ],
    ids=["half a character", "no number", "too deep", "too long a number", "a NUL"],
)
def test_what_no_reader_could_take_is_refused(client, members):
    answer = client.put("/task", content=b"{" + members + b"}", headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_a_worker_is_registered_with_its_queues_in_their_order(caller):
    answer = caller.done("PUT", "/worker", queues=" b , a,,b ")
    assert answer["queues"] == ["b", "a"]
    shown = caller.status(workers=1)["workers"][answer["workerId"]]
    assert (shown["queues"], shown["status"], shown["tasks"]) == (["b", "a"], "idle", [])


def test_a_deleted_worker_gets_nothing_more_and_may_end_what_it_has(caller):
    caller.interest("q")
    worker = caller.worker("q")
    caller.create({"n": 1})
    caller.create({"n": 2})
    task = caller.take(worker)
    assert caller.done("DELETE", "/worker", workerId=worker) == {"workerId": worker, "workersDeleted": 1}
    assert caller.refused("GET", "/task", workerId=worker) == (404, "no worker with that workerId")
    assert caller.update(task, "success")["status"] == "success"


def test_all_workers_of_a_queue_can_be_stopped_at_once(caller):
    caller.interest("q")
    first, second, other = caller.worker("q"), caller.worker("x", "q"), caller.worker("x")
    caller.create({})
    assert caller.done("DELETE", "/worker", queue="q") == {"queue": "q", "workersDeleted": 2}
    for worker in (first, second):
        assert caller.refused("GET", "/task", workerId=worker) == (404, "no worker with that workerId")
    assert caller.take(other) is None
    assert list(caller.status(workers=True)["workers"]) == [other]
    assert caller.status(queue="q") == {"queue": 1}


def test_a_queue_with_tasks_is_not_deleted_unless_they_may_be_thrown_away(caller):
    caller.interest("q")
    worker = caller.worker("q")
    for number in range(3):
        caller.create({"n": number})
    caller.update(caller.take(worker), "fail")
    running = caller.take(worker)
    caller.create({"n": 3}, runAt=4_000_000_000)
    assert caller.refused("DELETE", "/queue", queue="q", purge=True) == (
        409,
        "the queue q holds 2 waiting, 1 processing and 1 failed tasks; those that are processing must end first",
    )
    caller.update(running, "success")
    assert caller.refused("DELETE", "/queue", queue="q") == (
        409,
        "the queue q holds 2 waiting, 0 processing and 1 failed tasks; purge=true throws them away",
    )
    assert caller.status(queue="q") == {"queue": 2}
    assert caller.done("DELETE", "/queue", queue="q", purge="yes") == {"queue": "q", "purged": 3}
    assert caller.status(queues=True, interests=True) == {"queues": {}, "interests": {}}


def test_an_empty_queue_is_deleted_with_its_interests(caller):
    caller.interest("q")
    assert caller.done("DELETE", "/queue", queue="q") == {"queue": "q", "purged": 0}
    assert caller.create({}) == []


def test_the_status_has_the_parts_that_were_asked_for(caller):
    caller.interest("q")
    caller.create({})
    parts = {"queues", "workerQueue", "interests", "workers", "failedQueue", "tasksInProgress"}
    assert set(caller.status()) == parts
    for part in parts:
        assert set(caller.status(**{part: "true"})) == {part}
    assert set(caller.client.get("/status?queues&workers&interests=false").json()["status"]) == {"queues", "workers"}
    assert caller.client.head("/status").status_code == 200


def test_long_lists_are_cut_and_say_so(caller):
    caller.client.post("/v1/jobs", json={"jobs": [{"queue": "q", "payload": n} for n in range(201)]})
    worker = caller.worker("q")
    taken = [caller.take(worker) for _ in range(201)]
    shown = caller.status()
    assert (len(shown["tasksInProgress"]), shown["truncated"]) == (200, ["tasksInProgress"])
    for task in taken:
        caller.update(task, "fail", failReason=str(task["data"]))
    shown = caller.status(failedQueue=True)
    assert (len(shown["failedQueue"]), shown["truncated"]) == (200, ["failedQueue"])


# ---------------------------------------------------------------------------------------------- forms, JSON, /api


def as_form(client, name, given):
    return client.post("/api", data={"action": name} | given)


def as_multipart(client, name, given):
    return client.post("/api", files={key: (None, value) for key, value in ({"action": name} | given).items()})


def as_path(client, name, given):
    return client.post(f"/api/{name}", data=given)


def as_query(client, name, given):
    return client.get("/api", params={"action": name} | given)


def as_query_of_path(client, name, given):
    return client.put(f"/api/{name}", params=given)


def as_json(client, name, given):
    return client.post("/api", json={"action": name} | given)


def as_json_called_a_form(client, name, given):
    return client.post(f"/api/{name}", content=json.dumps(given), headers={"content-type": "application/x-www-form-urlencoded"})


WAYS = [as_form, as_multipart, as_path, as_query, as_query_of_path, as_json, as_json_called_a_form]


@pytest.mark.parametrize("way", WAYS)
def test_every_action_is_there_by_its_name_in_every_form(client, way):
    def act(name, **given):
        answer = way(client, name, given)
        assert answer.status_code == 200, answer.text
        return answer.json()

    worker = act("workerRegister", queues="one, two")["workerId"]
    act("interestCreate", queue="one", interests="*")
    act("interestCreate", queue="two", interests=json.dumps({"email": "^.*"}))
    assert act("taskGet", workerId=worker) == {"task": None, "error": "no tasks found"}
    data = {"email": "a+b&c=d@x.example", "name": "ü"}
    assert act("taskCreate", publisher="TEST", data=json.dumps(data))["interestedSubscriptions"] == ["one", "two"]
    first, second = act("taskGet", workerId=worker)["task"], act("taskGet", workerId=worker)["task"]
    assert [(task["queue"], task["data"]) for task in (first, second)] == [("one", data), ("two", data)]
    assert len(act("status", tasksInProgress="true")["status"]["tasksInProgress"]) == 2
    for task in (first, second):
        act("taskUpdate", taskId=str(task["taskId"]), workerId=worker, state="success")
    act("interestDelete", queue="one")
    act("workerDelete", workerId=worker)
    act("queueDelete", queue="two")


@pytest.mark.parametrize("way", ["query", "form", "multipart", "json"])
def test_routes_take_their_parameters_from_query_form_and_json(client, way):
    def act(method, path, given):
        more = {
            "query": {"params": given},
            "form": {"data": given},
            "multipart": {"files": {key: (None, value) for key, value in given.items()}},
            "json": {"json": given},
        }[way]
        answer = client.request(method, path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    act("PUT", "/interest", {"queue": "q", "interests": "*"})
    worker = act("PUT", "/worker", {"queues": "q"})["workerId"]
    act("PUT", "/task", {"publisher": "p", "data": '{"a": 1}'})
    task = act("GET", "/task", {"workerId": worker})["task"]
    assert task["data"] == {"a": 1}
    act(
        "POST",
        "/task",
        {"workerId": worker, "taskId": str(task["taskId"]), "state": "fail", "failReason": "it", "reEnqueue": "on"},
    )
    assert act("GET", "/status", {"queue": "q"}) == {"status": {"queue": 1}}
    act("DELETE", "/worker", {"workerId": worker})
    act("DELETE", "/interest", {"queue": "q"})
    act("DELETE", "/queue", {"queue": "q", "purge": "1"})


def test_the_body_counts_where_the_query_says_otherwise(caller):
    answer = caller.client.put("/worker?queues=a", data={"queues": "b"})
    assert answer.json()["queues"] == ["b"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"queues=%ff", "application/x-www-form-urlencoded", 400),
        (b"<queues/>", "text/xml", 415),
        (b"&".join(b"a%d=1" % n for n in range(200)), "application/x-www-form-urlencoded", 400),
    ],
)
def test_a_body_that_can_not_be_read_is_refused(client, body, kind, status):
    answer = client.put("/worker", content=body, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]


# -------------------------------------------------------------------------------------------------------- who may


@pytest.mark.parametrize("path", ["/task", "/task/", "/%74ask", "/api", "/api//taskGet", "/api/taskGet", "/api/taskCreate"])
@pytest.mark.parametrize(
    "headers", [{"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}], ids=["origin", "mark"]
)
def test_a_page_of_another_site_can_do_nothing_with_a_get(caller, path, headers):
    given = {"action": "taskGet", "workerId": caller.worker("q"), "publisher": "p", "data": "{}"}
    assert caller.client.get(path, params=given, headers=headers).status_code == 403
    assert caller.client.get("/status", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_no_answer_may_be_stored_and_a_head_takes_nothing(caller):
    caller.interest("q")
    worker = caller.worker("q")
    caller.create({})
    assert caller.client.head("/task", params={"workerId": worker}).status_code == 405
    assert caller.client.get("/task", params={"workerId": worker}).headers["cache-control"] == "no-store"
    assert caller.client.get("/status").headers["cache-control"] == "no-store"
    assert caller.client.get("/task").headers["cache-control"] == "no-store"


def test_a_full_queue_refuses_the_whole_task_and_says_when_to_come_again(serve):
    with serve("--size", "1").client() as client:
        caller = Caller(client)
        caller.interest("a")
        caller.interest("b", {"n": "2"})
        caller.create({"n": 1})
        answer = caller.call("PUT", "/task", publisher="p", data={"n": 2})
        assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
        assert int(answer.headers["retry-after"]) >= 1
        assert caller.status()["queues"] == {"a": 1, "b": 0}


def test_tasks_workers_and_interests_outlive_a_restart(serve):
    first = serve(store="sqlite:///jobs.db")
    with first.client() as client:
        caller = Caller(client)
        caller.interest("q", {"a": "."})
        worker = caller.worker("q")
        created = caller.done("PUT", "/task", publisher="p", data={"a": 1})
        assert created["durability"] == {"level": "disk", "replicas": 0}
    first.send(signal.SIGTERM)
    assert first.ended() == 0
    with serve(store="sqlite:///jobs.db").client() as client:
        caller = Caller(client)
        assert caller.take(worker)["data"] == {"a": 1}
        assert caller.status(interests=True) == {"interests": {"q": {"a": "."}}}


def test_the_dialect_can_be_switched_off(serve):
    with serve("--dialects", "dqid").client() as client:
        for method, path in (("GET", "/status"), ("PUT", "/task"), ("POST", "/api"), ("DELETE", "/queue")):
            assert client.request(method, path).status_code == 404


def test_an_idle_worker_that_is_silent_is_removed(serve):
    with serve("--worker-silence-ms", "300").client() as client:
        caller = Caller(client)
        caller.interest("q")
        idle, busy = caller.worker("q"), caller.worker("q")
        caller.create({})
        task = caller.take(busy)
        until(lambda: list(caller.status(workers=True)["workers"]) == [busy], "the idle one is removed")
        assert caller.refused("GET", "/task", workerId=idle) == (404, "no worker with that workerId")
        assert caller.update(task, "success")["status"] == "success"


def test_several_fronts_share_workers_and_interests(serve):
    server = serve("--fronts", "2")
    with ExitStack() as stack:
        callers, fronts = [], set()
        for _ in each_front_alone(server):
            for _ in range(3):
                caller = Caller(stack.enter_context(server.client()))  # it keeps its connection
                fronts.add(caller.client.get("/healthz").headers["x-request-id"].rpartition("-")[0])
                callers.append(caller)
        assert len(fronts) == 2
        callers[0].interest("q", {"n": "."})
        worker = callers[1].worker("q")
        for number, caller in enumerate(callers):
            assert caller.create({"n": number}) == ["q"]
        tasks = [caller.take(worker) for caller in reversed(callers)]
        assert [task["data"]["n"] for task in tasks] == list(range(6))
        for caller, task in zip(callers, tasks, strict=True):
            assert caller.update(task, "success")["status"] == "success"
