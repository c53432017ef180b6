"""Paths and headers that one reader takes for another's: behind a prefix nothing leads elsewhere, and no header says what a request is."""

import http.client
import json

import pytest

EVIL = "evil.example"


@pytest.fixture(scope="module")
def prefixed(serve):
    return serve("--root-path", "/under")


def ask(server, method, target, body=None, headers=()):
    """One request whose target is sent as it stands: status, headers in small letters, body."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    found = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    return found


@pytest.mark.parametrize("target", ["/", "/under", "/under/", "//", "/under//"])
def test_the_start_page_leads_under_the_prefix_and_nowhere_else(prefixed, target):
    status, headers, _ = ask(prefixed[0], "GET", target)
    assert (status, headers["location"]) == (302, "/under/web")


@pytest.mark.parametrize(
    "target",
    [f"//{EVIL}", f"///{EVIL}", f"/under//{EVIL}", f"/\\{EVIL}", f"/%5c{EVIL}", f"/web//{EVIL}", f"/under/web//{EVIL}/..", f"/.{EVIL}", f"/@{EVIL}", "/under/under/healthz",
     "/UNDER/healthz", "/underhealthz", "/under/../healthz", "/under/%2e%2e/healthz", "/x/../healthz", "/under/.%2e/healthz", "/healthz%00", "/healthz%0d%0aX-Evil:1", "/healthz;x",
     "/web/static/..%2f..%2froutes.py", "/web/static/%2e%2e/routes.py", "/web/static/..\\routes.py", "/docs/..%2f..%2frest/app.py", "/docs/%2e%2e/app.py", "/web/static//etc/passwd",
     "/web/static/%2fetc%2fpasswd"],
)  # fmt: skip
def test_what_leads_elsewhere_leads_nowhere(prefixed, target):
    status, headers, body = ask(prefixed[0], "GET", target)
    assert (status, headers["content-type"]) in ((404, "application/problem+json"), (404, "text/html; charset=utf-8"))
    assert not {"location", "x-evil"} & set(headers)
    assert b"import " not in body


HEADERS = [
    ("X-Forwarded-Prefix", f"//{EVIL}"), ("X-Forwarded-Host", EVIL), ("X-Forwarded-Proto", "javascript"), ("X-Forwarded-For", f"{EVIL}, <b>"), ("X-Script-Name", f"//{EVIL}"),
    ("Forwarded", f"host={EVIL};proto=javascript"), ("X-Original-URL", "/v1/queues"), ("X-Rewrite-URL", "/v1/queues"), ("Referer", f"http://{EVIL}/"), ("Base-Url", f"http://{EVIL}"),
]  # fmt: skip


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header[0])
def test_no_header_says_where_the_server_is_or_what_is_asked_for(prefixed, queue, header):
    server, api = prefixed
    assert ask(server, "GET", "/", headers=[header])[1]["location"] == "/under/web"
    status, headers, body = ask(server, "POST", f"/v1/queues/{queue}/jobs", b"{}", [header])
    assert (status, headers["location"]) == (201, f"/under/v1/jobs/{json.loads(body)['id']}")
    for path in ("/web", "/web/schedules", "/docs", "/openapi.json", f"/web/jobs?queue={queue}"):
        status, _, body = ask(server, "GET", path, headers=[header])
        assert status == 200
        assert EVIL.encode() not in body
        assert b"javascript:" not in body
    assert api.counts(queue) == {"ready": 1}


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-Method"])
def test_no_header_and_no_parameter_says_what_the_method_is(prefixed, queue, name):
    server, api = prefixed
    job = api.push(queue)["id"]
    assert ask(server, "GET", f"/v1/jobs/{job}", headers=[(name, "DELETE")])[0] == 200
    assert ask(server, "POST", f"/v1/jobs/{job}", b"", [(name, "DELETE")])[0] == 405
    assert ask(server, "GET", f"/web/jobs/{job}?_method=DELETE", headers=[(name, "DELETE")])[0] == 200
    assert api.job(job)["state"] == "ready"


@pytest.mark.parametrize(
    "number", ["1_0", "+1", "-1", "%D9%A3", "%EF%BC%91", "1e1", "01", "%201", "1%20", "1.0", "0x1", "9" * 30]
)
def test_a_job_of_every_door_is_named_by_digits_and_nothing_else(prefixed, number):
    server, api = prefixed
    for _ in range(12):
        api.push("numbers")
    for method, path in (
        ("GET", "/v1/jobs/"),
        ("DELETE", "/v1/jobs/"),
        ("GET", "/jobs/"),
        ("POST", "/jobs/conclude/"),
        ("GET", "/web/jobs/"),
    ):
        assert ask(server, method, path + number)[0] in (400, 404), path
    assert set(api.counts("numbers")) == {"ready"}
