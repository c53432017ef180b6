"""The rule on foreign web pages: a page of another site can neither change nor claim anything, nor reach the server under a name of its own."""

import httpx
import pytest

CHANGING = [
    ("POST", "/v1/queues/guarded/jobs"),
    ("POST", "/v1/jobs"),
    ("POST", "/v1/leases"),
    ("POST", "/v1/leases/batch"),
    ("POST", "/v1/leases/1.1.1.00/conclude"),
    ("POST", "/v1/jobs/1/cancel"),
    ("PATCH", "/v1/jobs/1"),
    ("DELETE", "/v1/jobs/1"),
    ("PUT", "/v1/queues/guarded"),
    ("PATCH", "/v1/queues/guarded"),
    ("DELETE", "/v1/queues/guarded"),
    ("POST", "/v1/queues/guarded/purge"),
    ("POST", "/nowhere"),
    ("PUT", "/healthz"),
]
READING = ["/v1/jobs", "/v1/queues", "/v1/stats", "/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/"]
CROSS_SITE = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "https://evil.example", "sec-fetch-site": "same-origin"},
    {"origin": "http://127.0.0.1:1"},
    {"origin": "http://localhost"},
]


def refused_field(api, answer):
    problem = api.refused(answer, 403, "forbidden", field=answer.json().get("field"))
    return problem["field"]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_page_of_another_site_can_change_nothing(api, method, path, headers):
    field = "Origin" if "origin" in headers else "Sec-Fetch-Site"
    assert refused_field(api, api.request(method, path, headers=headers)) == field


def test_a_form_of_another_site_puts_no_job(api, queue):
    """What a page can send without asking first: a form, or text, with cookies and all."""
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain"):
        headers = {"content-type": kind, "origin": "https://evil.example", "sec-fetch-site": "cross-site"}
        answer = api.post(f"/v1/queues/{queue}/jobs", content=b"payload=1", headers=headers)
        assert refused_field(api, answer) == "Origin"
    assert api.get(f"/v1/queues/{queue}").status_code == 404


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_a_preflight_of_another_site_is_given_no_leave(api, headers):
    answer = api.request("OPTIONS", "/v1/leases", headers={**headers, "access-control-request-method": "POST"})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", READING)
def test_links_from_another_site_can_be_followed(api, path):
    answer = api.get(path, headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"})
    assert answer.status_code in (200, 302)


@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "same-origin"}, {"sec-fetch-site": "none"}, {"origin": "OWN"},
                                     {"origin": "OWN", "sec-fetch-site": "same-origin"}, {"user-agent": "curl/8"}], ids=str)  # fmt: skip
def test_the_servers_own_page_and_clients_that_are_no_browsers_go_untouched(api, queue, headers):
    sent = {name: api.url if value == "OWN" else value for name, value in headers.items()}
    assert api.post(f"/v1/queues/{queue}/jobs", {}, headers=sent).status_code == 201
    assert len(api.post("/v1/leases", {"queues": [queue]}, headers=sent).json()["jobs"]) == 1
    assert api.put(f"/v1/queues/{queue}", json={}, headers=sent).status_code == 200


def test_behind_a_proxy_that_ends_tls_the_own_page_is_the_one_of_the_host_that_was_asked_for(api, queue):
    headers = {"host": "localhost:8443", "origin": "https://localhost:8443"}
    assert api.post(f"/v1/queues/{queue}/jobs", {}, headers=headers).status_code == 201


# Host


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "[::2]:80", "0.0.0.0"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/jobs"), ("GET", "/metrics"), ("GET", "/"), ("POST", "/v1/leases"), ("PUT", "/v1/queues/guarded")],
)
def test_on_loopback_the_server_answers_to_no_name_but_loopbacks_own(api, method, path, host):
    """A page whose name was made to point here (DNS rebinding) counts as same-origin to the browser; its name gives it away."""
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    answer = api.request(method, path, headers=headers)
    assert refused_field(api, answer) == "Host"
    assert "--allowed-hosts" in answer.json()["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.1.2.3:9", "[::1]", "[::1]:80", "app.localhost:3000"]
)
def test_any_name_of_loopback_will_do(api, host):
    assert api.get("/v1/jobs", headers={"host": host}).status_code == 200


def test_health_is_told_to_whoever_asks(api):
    for path in ("/healthz", "/readyz"):
        assert api.get(path, headers={"host": "10.1.2.3", "sec-fetch-site": "cross-site"}).status_code == 200


def test_hosts_and_origins_that_are_allowed_are_let_in(serve, queue):
    _, api = serve(
        "--allowed-hosts", "jobs.example, 10.0.0.1", "--allowed-origins", "https://Panel.example,http://panel.example:81"
    )
    for host in ("jobs.example", "JOBS.example:8080", "10.0.0.1", "localhost"):
        assert api.get("/v1/jobs", headers={"host": host}).status_code == 200
    assert refused_field(api, api.get("/v1/jobs", headers={"host": "sub.jobs.example"})) == "Host"
    for origin in ("https://panel.example", "http://panel.example:81"):
        headers = {"origin": origin, "sec-fetch-site": "cross-site", "host": "jobs.example"}
        assert api.post(f"/v1/queues/{queue}/jobs", {}, headers=headers).status_code == 201
    for origin in (
        "http://panel.example",
        "https://panel.example:81",
        "https://sub.panel.example",
        "https://panel.example.evil",
    ):
        assert refused_field(api, api.post("/v1/leases", {"queues": [queue]}, headers={"origin": origin})) == "Origin"
    assert (
        api.post(
            "/v1/leases", {"queues": [queue]}, headers={"host": "jobs.example", "origin": "https://jobs.example"}
        ).status_code
        == 200
    )


def test_a_star_takes_any_host(serve):
    _, api = serve("--allowed-hosts", "*")
    assert api.get("/v1/jobs", headers={"host": "anything.example"}).status_code == 200
    assert (
        refused_field(api, api.post("/v1/leases", {"queues": ["q"]}, headers={"sec-fetch-site": "cross-site"}))
        == "Sec-Fetch-Site"
    )


def test_bound_to_every_address_any_name_will_do_unless_some_are_given(serve):
    for flags, status in ((), 200), (("--allowed-hosts", "jobs.example"), 403):
        _, api = serve("--host", "0.0.0.0", "--insecure", *flags)
        assert api.get("/v1/jobs", headers={"host": "anything.example"}).status_code == status
        assert httpx.get(f"{api.url}/healthz").status_code == 200
