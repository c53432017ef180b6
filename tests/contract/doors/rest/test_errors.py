"""What an attempt raised, as its worker tells it: kept with the job, bounded, and the way failures are grouped."""

import pytest

from holdfast.limits import ERROR_BYTES

TRACEBACK = (
    'Traceback (most recent call last):\n  File "/srv/app/mail.py", line 42, in send\n    post()\nConnectionError: no route'
)
ERROR = {"class": "ConnectionError", "message": "no route", "traceback": TRACEBACK}
JSON = {"content-type": "application/json"}


@pytest.fixture
def held(api, queue):
    """A leased job."""
    api.push(queue)
    return api.take(queue, worker="w-1")


def error_of(api, job):
    (error,) = api.job(job["id"])["errors"]
    return error


def test_it_is_shown_with_the_job_and_makes_the_reason(api, held):
    api.ended("fail", held, error=ERROR)
    error = error_of(api, held)
    assert error["error"] == {**ERROR, "place": "/srv/app/mail.py in send"}
    assert (error["reason"], error["kind"], error["worker"]) == ("ConnectionError: no route", "failed", "w-1")
    assert error["leased_at"] == held["leased_at"]


def test_a_reason_stays_beside_it(api, held):
    api.ended("fail", held, reason="the printer is away", error={"class": "E"}, retry=False)
    error = error_of(api, held)
    assert (error["reason"], error["error"]) == (
        "the printer is away",
        {"class": "E", "message": "", "traceback": "", "place": ""},
    )


def test_without_one_nothing_is_shown(api, held):
    api.ended("fail", held, reason="no")
    assert "error" not in error_of(api, held)


def test_in_a_batch_each_has_its_own(api, queue):
    for _ in range(3):
        api.push(queue)
    jobs = api.lease(queue, max=3)
    entries = [{"token": job["lease"]["token"], "error": {"class": f"E{n}"}, "retry": False} for n, job in enumerate(jobs)]
    del entries[2]["error"]
    assert api.post("/v1/leases/batch", {"fail": entries}).status_code == 200
    assert [error_of(api, job).get("error", {}).get("class") for job in jobs] == ["E0", "E1", None]


def test_what_is_too_long_is_cut_from_its_middle_and_never_refused(api, held):
    api.ended(
        "fail", held, error={"class": "C" * 1_000, "message": "m" * 100_000, "traceback": TRACEBACK + "t" * 300_000 + "end"}
    )
    told = error_of(api, held)
    error = told["error"]
    assert sum(len(error[name].encode()) for name in ("class", "message", "traceback")) <= ERROR_BYTES
    assert error["traceback"].startswith("Traceback")
    assert error["traceback"].endswith("end")
    assert "bytes, cut] …" in error["traceback"]
    assert error["place"] == "/srv/app/mail.py in send"
    assert len(told["reason"]) <= 8_192


@pytest.mark.parametrize(
    ("written", "read"), [(b"a\\u0000b", "a\ufffdb"), (b"a\\ud800b", "a\ufffdb"), (b"caf\xe9", "caf\ufffd")]
)
@pytest.mark.parametrize("name", ["class", "message", "traceback"])
def test_broken_text_is_cleaned(api, held, name, written, read):
    body = b'{"error":{"%b":"%b"},"retry":false}' % (name.encode(), written)
    answer = api.post(f"/v1/leases/{held['lease']['token']}/fail", content=body, headers=JSON)
    assert answer.status_code == 200, answer.text
    assert error_of(api, held)["error"][name] == read


def test_it_has_three_names_and_no_others(api, held):
    path = f"/v1/leases/{held['lease']['token']}/fail"
    api.refused(api.post(path, {"error": {"type": "E"}}), 400, "invalid_request", "error.type")
    api.refused(api.post(path, {"error": "E"}), 400, "invalid_request", "error")


def test_failures_are_alike_by_class_place_and_message(api, queue):
    for number in range(3):
        api.push(queue, type="mail")
        api.ended("fail", api.take(queue), error={**ERROR, "message": f"host {number}"}, retry=number > 0, delay_ms=60_000)
    api.push(queue, type="mail")
    api.ended("fail", api.take(queue), error={**ERROR, "traceback": TRACEBACK.replace("send", "receive")}, retry=False)
    found = api.get("/v1/failures", params={"queue": queue}).json()
    assert (found["jobs"], found["whole"]) == (4, True)
    groups = [(one["error"], one["place"], one["type"], one["dead"], one["waiting"]) for one in found["groups"]]
    assert sorted(groups, key=lambda group: group[1]) == [
        ("ConnectionError: no route", "/srv/app/mail.py in receive", "mail", 1, 0),
        ("ConnectionError: host …", "/srv/app/mail.py in send", "mail", 1, 2),
    ]
    (receive,) = [one for one in found["groups"] if one["place"].endswith("receive")]
    members = api.get(f"/v1/failures/{receive['key']}").json()
    assert [(one["id"], one["error"], one["attempt"]) for one in members["jobs"]] == [
        (receive["example"], "ConnectionError: no route", 1)
    ]
    assert (members["dead"], members["error_class"]) == (1, "ConnectionError")
    assert api.get(f"/v1/failures/{receive['key']}", params={"queue": queue}).json() == members
    api.put(f"/v1/queues/{queue}.other")
    api.refused(api.get(f"/v1/failures/{receive['key']}", params={"queue": f"{queue}.other"}), 404, "not_found")
    api.refused(api.get("/v1/failures/0123456789abcdef"), 404, "not_found")
    assert len(api.get("/v1/failures", params={"queue": queue, "limit": 1}).json()["groups"]) == 1
    api.refused(api.get("/v1/failures", params={"limit": 0}), 400, "invalid_request", "limit")
    api.refused(api.get("/v1/failures", params={"queue": "no-such-queue"}), 404, "queue_not_found")
