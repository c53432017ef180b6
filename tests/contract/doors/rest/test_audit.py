"""`GET /v1/audit`: who did what by hand, by filters, page by page and as lines of JSON; and that nothing secret is in it, nor elsewhere."""

import json
import re
import socket
import sys
from datetime import UTC, datetime, timedelta

import pytest

from tests import prefork
from tests.contract.doors.rest.conftest import Api

SECRET = "hf-planted-5e1ec7a9d2"


def entries(api: Api, **params: object) -> list[dict]:
    answer = api.get("/v1/audit", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["entries"]


def test_an_entry_says_who_did_what_on_which_job_when_from_where_and_how_it_went(api, queue):
    job = api.push(queue)["id"]
    assert api.post(f"/v1/jobs/{job}/cancel").status_code == 200
    assert api.post(f"/v1/jobs/{job}/cancel").status_code == 409
    refused, done = entries(api, job=job)
    at = datetime.fromisoformat(done.pop("at"))
    assert datetime.now(UTC) - timedelta(minutes=1) < at < datetime.now(UTC) + timedelta(seconds=1)
    assert done.pop("id") < refused["id"]
    assert done == {
        "action": "job.cancel",
        "queue": queue,
        "target": str(job),
        "note": None,
        "outcome": "done",
        "done": 1,
        "refused": 0,
        "who": None,
        "address": "127.0.0.1",
        "door": "http",
    }
    assert (refused["outcome"], refused["done"], refused["refused"]) == ("wrong_state", 0, 1)


def test_a_value_out_of_bounds_is_a_refusal_with_one_entry(api, queue):
    api.set(queue)
    assert api.patch(f"/v1/queues/{queue}", json={"capacity_jobs": -1}).status_code == 400
    assert api.post(f"/v1/queues/{queue}/purge", {"states": ["leased"]}).status_code == 400
    assert api.put(f"/v1/interests/{queue}", json={"match": {"(": "x"}}).status_code == 400
    assert api.put(f"/v1/schedules/{queue}", json={"queue": queue, "cron": "x" * 1_000}).status_code == 400
    assert [entry["action"] for entry in entries(api, outcome="invalid_request", text=queue)] == [
        "schedule.set",
        "interest.set",
        "queue.purge",
        "queue.set",
    ]


def test_a_refused_interest_frees_its_share_of_the_bound(api, queue):
    for _ in range(3):
        assert api.put(f"/v1/interests/{queue}", json={"match": {"(": "x"}}).status_code == 400
    assert api.put(f"/v1/interests/{queue}", json={"match": {"kind": "a*"}}).status_code in (200, 201)
    assert api.delete(f"/v1/interests/{queue}").status_code in (200, 204)


def test_a_purge_is_one_entry_with_its_states_and_its_count(api, queue):
    for _ in range(3):
        api.push(queue)
    assert api.post(f"/v1/queues/{queue}/purge", {"states": ["ready"]}).json() == {"purged": 3}
    (entry,) = entries(api, action="queue.purge", queue=queue)
    assert (entry["note"], entry["done"], entry["outcome"]) == ("ready", 3, "done")


def test_an_invalid_filter_is_refused_by_its_name(api):
    for field, value in (
        ("since", "yesterday"),
        ("until", "2026-01-01"),
        ("limit", "0"),
        ("job", "x"),
        ("cursor", "no"),
        ("after", "-1"),
    ):
        answer = api.get("/v1/audit", params={field: value})
        assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
    api.refused(api.get("/v1/audit", params={"cursor": "5", "after": "5"}), 400, "invalid_request", "cursor")
    api.refused(api.get("/v1/audit", params={"color": "red"}), 400, "invalid_request", "color")
    api.refused(api.get("/v1/audit", params={"who": "n" * 601}), 400, "invalid_request", "who")


def test_pages_follow_one_another_and_lines_of_json_have_all_of_it(api, queue):
    api.set(queue)
    for number in range(7):
        assert api.post(f"/v1/queues/{queue}/{'resume' if number % 2 else 'pause'}").status_code == 200
    whole = [entry["id"] for entry in entries(api, queue=queue)]
    assert len(whole) == 8
    paged, cursor = [], None
    while True:
        page = api.get("/v1/audit", params={"queue": queue, "limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        paged += [entry["id"] for entry in page["entries"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert paged == whole
    answer = api.get("/v1/audit", params={"queue": queue}, headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line)["id"] for line in answer.text.splitlines()] == whole
    assert [entry["id"] for entry in entries(api, queue=queue, after=whole[3])] == whole[:3][::-1]


def test_requests_with_the_same_run_are_one_entry(api, queue):
    jobs = [api.push(queue)["id"] for _ in range(3)]
    run = {"Holdfast-Run": f"run={queue}&target=jobs+that+are+ready&queue={queue}"}
    for job in [*jobs, jobs[0]]:
        api.post(f"/v1/jobs/{job}/cancel", headers=run)
    (entry,) = entries(api, action="job.cancel", queue=queue)
    assert (entry["target"], entry["done"], entry["refused"]) == ("jobs that are ready", 3, 1)
    api.refused(
        api.post(f"/v1/jobs/{jobs[0]}/cancel", headers={"Holdfast-Run": "run="}), 400, "invalid_request", "Holdfast-Run"
    )


def test_a_flood_of_refusals_is_bounded_and_counted(serve):
    _, api = serve()
    for number in range(300):
        assert api.post(f"/v1/jobs/{number + 1}/cancel").status_code == 404
    kept = len(entries(api, action="job.cancel", limit=1_000))
    assert 100 <= kept < 300
    assert api.metric("holdfast_audit_entries_total", outcome="refused") == kept
    assert api.metric("holdfast_audit_entries_total", outcome="unrecorded") == 300 - kept


@pytest.mark.parametrize("given", ["0d", "90", "1w", "4000d", "30s", ""])
def test_an_invalid_retention_is_refused_at_the_start(tmp_path, given):
    done = prefork.run(
        [sys.executable, "-m", "holdfast", "config", "--audit-retention", given],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "--audit-retention must be from 1m to 3660d" in done.stderr


def _beanstalk(port: int, *lines: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 20) as talk:
        talk.sendall(b"".join(lines) + b"quit\r\n")
        while talk.recv(65_536):
            pass


def test_a_secret_in_payloads_tokens_headers_results_and_errors_is_nowhere_else(serve):
    """It is put wherever a caller can send something that is not a name, and searched in everything that the server reports."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server, api = serve("--log-level", "debug", "--log-format", "json", "--beanstalk", f"127.0.0.1:{port}", clean=False)
    api.http.headers.update({"Authorization": f"Bearer {SECRET}", "Cookie": f"other={SECRET}", "X-Forwarded-For": SECRET})
    refusals: list[str] = []

    def post(path: str, body: object = None, **more: object) -> dict:
        answer = api.post(path, body, **more)
        if answer.status_code >= 400:
            refusals.append(answer.text)
            return {}
        return answer.json() if answer.content else {}

    jobs = [api.push("q", {"card": SECRET})["id"] for _ in range(6)]
    tokens = []
    for body, verb in (
        ({"result": SECRET}, "conclude"),
        ({"reason": SECRET, "retry": False}, "fail"),
        ({"progress": SECRET}, "extend"),
    ):
        held = api.take("q")
        tokens.append(held["lease"]["token"])
        api.ended(verb, held, **body)
        post(f"/v1/leases/{tokens[-1]}/conclude", {"result": SECRET * 2})
    post(f"/v1/jobs/{jobs[1]}/retry")
    post(f"/v1/jobs/{jobs[3]}/settle", {"outcome": "dead", "reason": SECRET})
    post(f"/v1/jobs/{jobs[3]}/settle", {"outcome": "concluded", "reason": "known", "result": SECRET})
    post(f"/v1/jobs/{jobs[4]}/settle", {"outcome": "dead", "reason": SECRET * 1_000})
    post(f"/v1/jobs/{jobs[4]}/move", {"queue": "other"})
    api.patch(f"/v1/jobs/{jobs[5]}", json={"payload": SECRET, "priority": 3})
    refusals.append(api.patch(f"/v1/jobs/{jobs[5]}", json={"payload": SECRET, "priority": SECRET}).text)
    refusals.append(api.patch(f"/v1/jobs/{jobs[5]}", content=b'{"payload": "' + SECRET.encode()).text)
    api.put("/v1/schedules/s", json={"queue": "q", "interval_ms": 3_600_000, "payload": SECRET})
    post("/v1/schedules/s/run")
    post("/v1/queues/q/purge", {"states": ["ready", "dead"]})
    post("/v1/queues/none/purge", {"states": ["ready"]})
    post("/v1/leases/" + tokens[0].rpartition(".")[0] + "." + "A" * 22 + "/conclude", {"result": SECRET})
    put = b"put 0 3600 60 %d\r\n%b\r\n" % (len(SECRET), SECRET.encode())
    _beanstalk(port, put, b"kick 1\r\n", b"reserve-with-timeout 0\r\n", b"delete 999\r\n", SECRET.encode() + b"\r\n")
    page = api.get("/web/trail").text
    told = {
        "audit": api.get("/v1/audit", params={"limit": 1_000}).text,
        "audit lines": api.get("/v1/audit", headers={"Accept": "application/x-ndjson"}).text,
        "page": page,
        "metrics": api.get("/metrics").text,
        "stats": api.get("/v1/stats").text,
        "refusals": "\n".join(refusals),
        "log": server.log(),
    }
    assert len(json.loads(told["audit"])["entries"]) >= 10
    assert re.search(r'"event": ?"audit"', told["log"])
    assert len(refusals) >= 6
    secrets = {SECRET, *[token.rpartition(".")[2] for token in tokens]}
    assert [(where, secret) for where, text in told.items() for secret in secrets if secret in text] == []
