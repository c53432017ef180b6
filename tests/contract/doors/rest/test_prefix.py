"""Under a path prefix: a proxy may keep the prefix or take it off, and everything that names a path names the outer one."""

import re

import pytest


@pytest.fixture(scope="module", params=["kept", "stripped"])
def under(request, prefixed, connect):
    """A client of the server as it is reached through a proxy that keeps or strips the prefix."""
    client = connect(prefixed.url + ("/jobs" if request.param == "kept" else ""))
    yield client
    client.http.close()


@pytest.fixture(scope="module")
def prefixed(serve):
    return serve("--root-path", "/jobs/")[0]


def test_the_api_works(under, queue):
    job = under.push(queue, payload=[1])
    assert under.take(queue)["id"] == job["id"]
    assert under.job(job["id"])["state"] == "leased"
    assert under.get("/healthz").json()["status"] == "ok"
    under.refused(under.get("/v1/nowhere"), 404, "not_found")


def test_the_location_of_a_job_is_under_the_prefix(under, queue):
    response = under.post(f"/v1/queues/{queue}/jobs", {})
    assert response.headers["location"] == f"/jobs/v1/jobs/{response.json()['id']}"


def test_the_start_page_leads_to_the_page_under_the_prefix(under):
    for path in ("/", "//"):
        answer = under.get(path)
        assert (answer.status_code, answer.headers["location"]) == (302, "/jobs/web")


def test_the_documentation_names_the_prefix_as_its_server(under):
    assert under.get("/openapi.json").json()["servers"] == [{"url": "/jobs"}]


def test_all_that_the_documentation_loads_is_relative_so_it_comes_from_under_the_prefix(under):
    page = under.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) == 4
    for link in links:
        assert not link.startswith(("/", "http"))
        assert under.get("/" + link).status_code == 200
    assert 'url: "openapi.json"' in under.get("/docs/start.js").text


def test_the_prefix_alone_is_the_start_page(prefixed, connect):
    client = connect(prefixed.url)
    for path in ("/jobs", "/jobs/"):
        assert client.get(path).headers["location"] == "/jobs/web"


def test_a_path_that_only_begins_like_the_prefix_is_another(prefixed, connect):
    client = connect(prefixed.url)
    client.refused(client.get("/jobsome/v1/jobs"), 404, "not_found")


def test_the_rule_on_foreign_pages_holds_under_the_prefix(under):
    headers = {"sec-fetch-site": "cross-site"}
    under.refused(under.post("/v1/leases", {"queues": ["q"]}, headers=headers), 403, "forbidden", field="Sec-Fetch-Site")
    assert under.get("/healthz", headers={"host": "anything.example"}).status_code == 200


def test_the_banner_names_the_url_with_the_prefix(prefixed):
    assert f"{prefixed.url}/jobs" in prefixed.banner[0]
