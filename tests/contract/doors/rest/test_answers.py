"""What every answer has in common, and what a path or a method is told that is not there."""

import asyncio
import gc
import re
import weakref

import pytest

from holdfast import limits
from holdfast.errors import Overloaded
from holdfast.http.problem import refused

EVERY_KIND = [
    ("POST", "/v1/queues/answers/jobs"),
    ("POST", "/v1/leases"),
    ("POST", "/v1/nowhere"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/1"),
    ("GET", "/v1/jobs/x"),
    ("PUT", "/v1/queues/answers"),
    ("DELETE", "/v1/queues/never-made"),
    ("PUT", "/v1/jobs"),
    ("GET", "/v1/stats"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
    ("OPTIONS", "/v1/leases"),
    ("HEAD", "/v1/stats"),
]


@pytest.mark.parametrize(("method", "path"), EVERY_KIND)
def test_every_answer_has_a_request_id_and_is_not_to_be_stored(api, method, path):
    first, second = (api.request(method, path) for _ in range(2))
    for answer in (first, second):
        assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", answer.headers["x-request-id"])
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(("method", "path"), EVERY_KIND)
@pytest.mark.parametrize("given", ["r", "~" * 128, "a b/c;d=e"])
def test_a_request_id_of_the_callers_own_comes_back(api, method, path, given):
    assert api.request(method, path, headers={"x-request-id": given}).headers["x-request-id"] == given


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1/leases"), ("GET", "/v1/stats")])
@pytest.mark.parametrize("given", ["", "x" * 129, "é".encode(), b"a\tb"])
def test_a_request_id_that_can_not_be_echoed_is_replaced(api, method, path, given):
    shown = api.request(method, path, headers={"x-request-id": given}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", shown)


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v2/jobs", "/v1/jobs/1/nothing", "/v1/queues/a/b/c", "/v1/leases/t/eat",
                                  "/../etc/passwd", "/docs/..%2f..%2fapp.py", "/%00", "/" + "x" * 4_000])  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_a_path_that_is_not_there_is_told_so(api, method, path):
    api.refused(api.request(method, path), 404, "not_found", says="There is nothing at /")


METHODS = [
    ("/v1/jobs", {"GET", "POST"}),
    ("/v1/jobs/1", {"GET", "PATCH", "DELETE"}),
    ("/v1/jobs/1/why", {"GET"}),
    ("/v1/jobs/1/retry", {"POST"}),
    ("/v1/queues", {"GET"}),
    ("/v1/queues/q", {"GET", "PUT", "PATCH", "DELETE"}),
    ("/v1/queues/q/jobs", {"POST"}),
    ("/v1/queues/q/purge", {"POST"}),
    ("/v1/leases", {"POST"}),
    ("/v1/leases/batch", {"POST"}),
    ("/v1/leases/t/conclude", {"POST"}),
    ("/v1/stats", {"GET"}),
    ("/healthz", {"GET"}),
    ("/metrics", {"GET"}),
    ("/docs", {"GET"}),
]


def allowed(answer):
    return set(re.split(r",\s*", answer.headers["allow"]))


def with_the_usual(methods):
    """OPTIONS is a method of every path, HEAD of every one that can be read."""
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


@pytest.mark.parametrize(("path", "methods"), METHODS)
def test_a_method_that_a_path_does_not_have_is_refused_with_those_that_it_has(api, path, methods):
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "PURGE"} - methods:
        answer = api.request(method, path)
        api.refused(answer, 405, "method_not_allowed", says=f"{method} is not a method of this path")
        assert allowed(answer) == with_the_usual(methods)


@pytest.mark.parametrize(("path", "methods"), METHODS)
def test_options_names_the_methods_of_a_path(api, path, methods):
    answer = api.request("OPTIONS", path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert allowed(answer) == with_the_usual(methods)


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/v1/stats", "/v1/jobs", "/"]
)
def test_head_answers_like_get_without_the_body(api, path):
    got, headed = api.get(path), api.request("HEAD", path)
    assert (headed.status_code, headed.content) == (got.status_code, b"")
    assert headed.headers["content-type"] == got.headers["content-type"]
    assert int(headed.headers["content-length"]) > 0 or path == "/"


def test_a_head_of_what_is_not_there_and_of_what_only_posts(api):
    assert api.request("HEAD", "/nowhere").status_code == 404
    assert api.request("HEAD", f"/v1/jobs/{limits.ID_MAX}").status_code == 404
    assert api.request("HEAD", "/v1/leases").status_code == 405


def test_a_head_of_the_event_stream_ends_at_once(api):
    answer = api.request("HEAD", "/v1/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    api.until("holdfast_event_streams", 0)
    assert api.get("/healthz").status_code == 200


def test_an_upgrade_to_websockets_is_not_understood_and_harms_nothing(api):
    headers = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-version": "13",
    }
    assert api.get("/v1/stream/nothing", headers=headers).status_code == 404
    assert api.get("/healthz").status_code == 200


@pytest.mark.parametrize("path", ["/v1/queues/{queue}/jobs/", "//v1/queues/{queue}/jobs", "/v1//queues/{queue}//jobs"])
def test_a_slash_too_many_does_not_matter(api, queue, path):
    answer = api.http.post(api.url + path.format(queue=queue), json={"payload": 1})
    assert answer.status_code == 201
    assert api.get(f"{api.url}/v1//jobs/{answer.json()['id']}/").json()["payload"] == 1


def test_no_answer_lets_another_site_read_it(api):
    for method, path in EVERY_KIND:
        answer = api.request(method, path, headers={"origin": api.url})
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_what_is_not_of_v1_takes_any_query(api):
    for path in ("/healthz", "/readyz", "/metrics", "/docs", "/docs/start.js"):
        assert api.get(path, params={"cache-buster": "1"}).status_code == 200


def test_a_refusal_lets_go_of_what_it_refused_at_once():
    """Its body may have megabytes. A task holds the error that it ended with, and the error the frames that hold the task: a cycle, which
    would be there until cycles are looked for.
    """

    class Body:
        """Something that can be seen to go."""

    bodies: list[weakref.ref[Body]] = []
    left: list[Body | None] = []

    async def ask() -> None:
        body = Body()
        bodies.append(weakref.ref(body))
        raise Overloaded

    async def serve() -> None:
        asking = asyncio.ensure_future(ask())
        try:
            await asking
        except Overloaded as error:
            refused(error)
        left.append(bodies[0]())

    gc.disable()
    try:
        asyncio.run(serve())
    finally:
        gc.enable()
    assert left == [None]
