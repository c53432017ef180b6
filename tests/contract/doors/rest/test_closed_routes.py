"""Every route of every door, from the rows that the server is built of: without an access key, and with one that may not look, nothing is given out.

A route that comes to be and is not closed fails here, wherever it stands: the page's and the dialects' are in no OpenAPI document.
"""

import re

import httpx
import pytest

from holdfast.doors.dialects.couchqueue import routes as couchqueue
from holdfast.doors.dialects.cqueue import routes as cqueue
from holdfast.doors.dialects.dqid import routes as dqid
from holdfast.doors.rest.app import ROUTES
from holdfast.doors.web import routes as page
from holdfast.testing.local import LocalServer

DOORS = {
    "rest": ROUTES,
    "page": page.PAGE.rows(),
    "dqid": dqid.DIALECT.rows(),
    "cqueue": cqueue.DIALECT.rows(),
    "couchqueue": couchqueue.DIALECT.rows(),
}
ROWS = sorted({(door, route.method, route.path) for door, routes in DOORS.items() for route in routes})
OPEN = {"/", "/healthz", "/readyz", "/web/static/{name}", "/web/login", "/web/logout"}
"""What nobody has to have a key for: health, the way to the page, and the way into it."""
NAME = "there"  # of what there is; it stands in the path, so an answer may repeat it
PLANTED = "planted-4711"  # in what there is


@pytest.fixture(scope="module")
def closed():
    """A server with a job, a queue, a schedule and a subscription, and a key that may enqueue and nothing else."""
    with (
        LocalServer(dialects=("dqid", "cqueue", "couchqueue")) as server,
        httpx.Client(base_url=server.url, timeout=20) as http,
    ):
        http.post(f"/v1/queues/{NAME}/jobs", json={"payload": PLANTED, "type": PLANTED}).raise_for_status()
        http.put(f"/v1/interests/{NAME}", json={"match": {"kind": PLANTED}}).raise_for_status()
        schedule = {"queue": NAME, "payload": PLANTED, "interval_ms": 60_000}
        http.put(f"/v1/schedules/{NAME}", json=schedule).raise_for_status()
        root = http.post("/v1/keys", json={"name": "root", "abilities": ["admin"]}).json()["secret"]
        made = {"name": "producer", "abilities": ["produce"], "queues": ["mine"]}
        as_root = {"authorization": f"Bearer {root}"}
        while http.get("/v1/queues").status_code != 401:  # this front has heard of its first key
            pass
        producer = http.post("/v1/keys", json=made, headers=as_root).json()["secret"]
        as_producer = {"authorization": f"Bearer {producer}"}
        while http.get("/v1/queues", headers=as_producer).status_code == 401:
            pass
        yield http, as_producer


def asked(http: httpx.Client, method: str, path: str, headers: dict[str, str]) -> httpx.Response:
    filled = re.sub(r"\{(\w+)\}", lambda name: "1" if name[1] == "job_id" else NAME, path)
    with http.stream(method, filled, headers=headers) as answer:
        if "event-stream" in answer.headers.get("content-type", ""):
            answer._content = next(answer.iter_bytes())
        else:
            answer.read()
    return answer


def test_what_is_open_is_there():
    assert {path for _, _, path in ROWS} >= OPEN


@pytest.mark.parametrize(("door", "method", "path"), ROWS)
def test_nobody_is_told_anything(closed, door, method, path):
    http, _ = closed
    answer = asked(http, method, path, {})
    assert PLANTED not in answer.text
    if path in OPEN:
        return
    if door == "page":
        assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/web/login")
    else:
        assert answer.status_code == 401, answer.text


@pytest.mark.parametrize(("door", "method", "path"), ROWS)
def test_who_may_only_enqueue_is_told_nothing(closed, door, method, path):
    http, as_producer = closed
    answer = asked(http, method, path, as_producer)
    assert PLANTED not in answer.text, answer.text
    if path not in OPEN and method == "GET":
        assert answer.status_code in (303, 400, 403, 404, 422, 426), answer.text
