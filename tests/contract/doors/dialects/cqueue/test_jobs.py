"""What a job is here: its members, its payload byte for byte, its status in every state, and the ways to refuse."""

import json

import httpx
import pytest

from holdfast.doors.dialects.cqueue.replies import STATUS
from holdfast.doors.rest import replies as native


def enqueued(client: httpx.Client, body: str, method: str = "PUT", **headers: str) -> int:
    answer = client.request(method, "/jobs/enqueue", content=body.encode(), headers=headers)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["ID"]
    return int(answer.json()["ID"])


def dequeued(client: httpx.Client) -> str:
    answer = client.post("/jobs/dequeue")
    assert answer.status_code == 200, answer.text
    return answer.text


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json"), answer.text
    assert set(answer.json()) == {"error", "code"}
    assert answer.json()["code"] == code
    assert answer.json()["error"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("kind", ["TIME_CRITICAL", "NOT_TIME_CRITICAL", "", "ein Gruß 😀", "x" * 128])
def test_a_type_may_be_any_text(client, method, kind):
    job = enqueued(client, json.dumps({"Type": kind}), method)
    assert json.loads(dequeued(client)) == {"ID": job, "Type": kind, "Status": "IN_PROGRESS"}


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "application/x-www-form-urlencoded"}, {"content-type": "text/plain"}], ids=str
)
def test_the_body_is_json_whatever_it_is_called(client, headers):
    job = enqueued(client, '{"Type": "A"}', **headers)
    assert client.get(f"/jobs/{job}").json()["Type"] == "A"


PAYLOADS = [
    "null",
    "0",
    '""',
    "[]",
    "{}",
    "false",
    "1.50",
    "12345678901234567890123",
    "1e5",
    '{"b" : 1,  "a":[null, 2.0]}',
    r'"\u00e4\/"',
    '"ä"',
    "[" * 64 + "]" * 64,
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_comes_back_byte_for_byte(client, payload):
    job = enqueued(client, f'{{"Payload": {payload}, "Type": "A"}}')
    shown = f'{{"ID":{job},"Type":"A","Status":"%s","Payload":{payload}}}'
    assert client.get(f"/jobs/{job}").text == shown % "QUEUED"
    assert dequeued(client) == shown % "IN_PROGRESS"
    assert client.get(f"/jobs/{job}").text == shown % "IN_PROGRESS"
    assert client.post(f"/jobs/{job}/conclude").text == shown % "CONCLUDED"
    assert client.get(f"/jobs/{job}").text == shown % "CONCLUDED"


def test_a_job_without_a_payload_shows_none(client):
    job = enqueued(client, '{"Type": "A"}')
    assert client.get(f"/jobs/{job}").text == f'{{"ID":{job},"Type":"A","Status":"QUEUED"}}'
    assert dequeued(client) == f'{{"ID":{job},"Type":"A","Status":"IN_PROGRESS"}}'
    assert client.post(f"/jobs/{job}/conclude").text == f'{{"ID":{job},"Type":"A","Status":"CONCLUDED"}}'


def test_other_members_have_no_effect(client):
    job = enqueued(client, '{"ID": 77, "Type": "A", "Status": "CONCLUDED", "Priority": {"x": []}}')
    assert job != 77
    assert client.get(f"/jobs/{job}").json() == {"ID": job, "Type": "A", "Status": "QUEUED"}


REFUSED = {
    "no body": (b"", 400, "invalid_request"),
    "no members": (b"{}", 400, "invalid_request"),
    "no Type": (b'{"Payload": 1}', 400, "invalid_request"),
    "type in small letters": (b'{"type": "A"}', 400, "invalid_request"),
    "Type is null": (b'{"Type": null}', 400, "invalid_request"),
    "Type is a number": (b'{"Type": 1}', 400, "invalid_request"),
    "Type is a list": (b'{"Type": ["A"]}', 400, "invalid_request"),
    "Type is too long": (b'{"Type": "%s"}' % (b"x" * 129), 400, "invalid_request"),
    "null": (b"null", 400, "invalid_request"),
    "a list": (b'[{"Type": "A"}]', 400, "invalid_request"),
    "a string": (b'"A"', 400, "invalid_request"),
    "a number": (b"1", 400, "invalid_request"),
    "broken": (b'{"Type": "A"', 400, "malformed_json"),
    "something behind it": (b'{"Type": "A"} {}', 400, "malformed_json"),
    "a form": (b"Type=A", 400, "malformed_json"),
    "not UTF-8": (b'{"Type": "\xe4"}', 400, "malformed_json"),
    "a payload nested too deeply": (b'{"Type": "A", "Payload": %s1%s}' % (b"[" * 65, b"]" * 65), 400, "invalid_request"),
    "an abyss": (b'{"Type": "A", "Payload": %s}' % (b"[" * 100_000), 400, "malformed_json"),
    "a payload that is too large": (b'{"Type": "A", "Payload": "%s"}' % (b"x" * (1 << 20)), 413, "payload_too_large"),
    "a body that is too large": (b" " * (18 << 20), 413, "payload_too_large"),
}


@pytest.mark.parametrize(("body", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_job_is_refused_and_nothing_is_kept(client, body, status, code):
    refused(client.put("/jobs/enqueue", content=body), status, code)
    assert client.get("/jobs/stats").json()["Queued"] == 0


@pytest.mark.parametrize(
    "number",
    ["0", "-1", "x", "1.5", "٣", "9007199254740992", "9" * 40, "9" * 5_000, "999999999"],
    ids=lambda number: number[:20],
)
def test_a_job_that_is_not_there_is_not_found(client, number):
    refused(client.get(f"/jobs/{number}"), 404, "job_not_found")
    refused(client.post(f"/jobs/{number}/conclude"), 404, "job_not_found")
    refused(client.post(f"/jobs/conclude/{number}"), 404, "job_not_found")


def test_a_job_of_another_queue_is_not_there(client):
    assert client.post("/v1/queues/elsewhere/jobs", json={"type": "A"}).status_code == 201
    (job,) = client.post("/v1/leases", json={"queues": ["elsewhere"]}).json()["jobs"]
    refused(client.get(f"/jobs/{job['id']}"), 404, "job_not_found")
    refused(client.post(f"/jobs/{job['id']}/conclude"), 404, "job_not_found")
    assert client.get(f"/v1/jobs/{job['id']}").json()["state"] == "leased"


def test_every_state_has_a_status(client):
    def put(**options: object) -> int:
        return int(client.post("/v1/queues/jobs/jobs", json={"type": "A", **options}).json()["id"])

    def status(job: int) -> str:
        return str(client.get(f"/jobs/{job}").json()["Status"])

    later = put(delay_ms=60_000)
    assert status(later) == "QUEUED"
    client.post(f"/v1/jobs/{later}/cancel")
    assert status(later) == "CANCELLED"
    dead = put()
    (held,) = client.post("/v1/leases", json={"queues": ["jobs"]}).json()["jobs"]
    assert status(dead) == "IN_PROGRESS"
    client.post(f"/v1/leases/{held['lease']['token']}/fail", json={"reason": "no", "retry": False})
    assert status(dead) == "DEAD"
    for job in (later, dead):
        refused(client.post(f"/jobs/{job}/conclude"), 409, "wrong_state")
    assert client.post(f"/v1/jobs/{dead}/retry").status_code == 200
    assert status(dead) == "QUEUED"


def test_the_stats_count_what_is_there(client):
    def stats() -> tuple[int, ...]:
        found = client.get("/jobs/stats").json()
        assert list(found) == ["Queued", "InProgress", "Concluded", "UptimeMillis"]
        return tuple(found.values())[:3]

    assert stats() == (0, 0, 0)
    first, *_ = [enqueued(client, '{"Type": "A"}') for _ in range(3)]
    client.post("/v1/queues/jobs/jobs", json={"delay_ms": 60_000})
    assert stats() == (4, 0, 0)
    dequeued(client)
    dequeued(client)
    assert stats() == (2, 2, 0)
    assert client.post(f"/jobs/{first}/conclude").status_code == 200
    assert stats() == (2, 1, 1)


def test_the_uptime_runs(client):
    first = client.get("/jobs/stats").json()["UptimeMillis"]
    second = client.get("/jobs/stats").json()["UptimeMillis"]
    assert 0 < first <= second < 3_600_000


def test_stats_of_a_queue_that_nobody_has_used_are_zero(serve):
    with serve().client() as client:
        stats = client.get("/jobs/stats").json()
        assert (stats["Queued"], stats["InProgress"], stats["Concluded"]) == (0, 0, 0)
        assert client.post("/jobs/dequeue").status_code == 204


def test_jobs_of_other_doors_are_shown_as_they_are(client):
    image = client.post("/v1/queues/jobs/jobs?type=image", content=b"\xff", headers={"content-type": "image/png"}).json()["id"]
    plain = client.post("/v1/queues/jobs/jobs", json={"type": "A", "payload": [1.50]}).json()["id"]
    bare = client.post("/v1/queues/jobs/jobs", json={"type": "A"}).json()["id"]
    assert client.get(f"/jobs/{image}").json() == {
        "ID": image,
        "Type": "image",
        "Status": "QUEUED",
        "PayloadBase64": "/w==",
        "ContentType": "image/png",
    }
    assert client.get(f"/jobs/{plain}").text == f'{{"ID":{plain},"Type":"A","Status":"QUEUED","Payload":[1.5]}}'
    assert client.get(f"/jobs/{bare}").json() == {"ID": bare, "Type": "A", "Status": "QUEUED"}


def test_other_doors_see_the_payload_and_null_where_there_is_none(client):
    jobs = [
        enqueued(client, body)
        for body in ('{"Type": "A", "Payload": {"x": 1}}', '{"Type": "A", "Payload": null}', '{"Type": "A"}')
    ]
    shown = [client.get(f"/v1/jobs/{job}").json() for job in jobs]
    assert [(job["queue"], job["type"], job["payload"]) for job in shown] == [
        ("jobs", "A", {"x": 1}),
        ("jobs", "A", None),
        ("jobs", "A", None),
    ]


def test_the_same_enqueue_again_under_one_key_is_one_job(client):
    first = enqueued(client, '{"Type": "A"}', **{"idempotency-key": "once"})
    assert enqueued(client, '{"Type": "A"}', "POST", **{"idempotency-key": "once"}) == first
    refused(client.put("/jobs/enqueue", json={"Type": "B"}, headers={"idempotency-key": "once"}), 422, "idempotency_mismatch")
    assert client.get("/jobs/stats").json()["Queued"] == 1


def test_an_enqueue_says_how_the_job_is_kept(client, serve):
    assert client.put("/jobs/enqueue", json={"Type": "A"}).headers["holdfast-durability"] == "memory; replicas=0"
    with serve(store="sqlite:///jobs.db").client() as other:
        native_said = other.post("/v1/queues/q/jobs", json={}).json()["durability"]
        said = other.put("/jobs/enqueue", json={"Type": "A"}).headers["holdfast-durability"]
    assert said == f"{native_said['level']}; replicas={native_said['replicas']}"


def test_a_refusal_has_the_status_that_it_has_everywhere():
    assert {code: native.STATUS[code] for code in STATUS} == STATUS
    later = {code for code, status in native.STATUS.items() if status in (429, 503, 507)}
    assert later - {"unavailable"} <= set(STATUS)  # "unavailable" is the class of the others, and never sent
