"""Every screen: there, closed to anything from elsewhere, without inline code, and at home under a prefix."""

import re

import httpx
import pytest

from tests.system.whole.servers import until

SCREENS = (
    "",
    "?sort=dead&q=a&page=7",
    "/queues/{queue}",
    "/queues/{queue}/purge?ready=1",
    "/jobs",
    "/jobs?queue={queue}&state=ready&type=t&tag=x&text=y&limit=25",
    "/jobs/{job}",
    "/jobs/{job}/payload",
    "/jobs/{job}/result",
    "/jobs/{job}/edit",
    "/failures",
    "/failures?queue={queue}",
    "/workers",
    "/interests",
    "/budgets",
    "/interests?queue={queue}",
    "/schedules",
    "/batches",
    "/batches?state=open",
    "/batches/{batch}",
    "/store",
    "/audit",
    "/enqueue",
    "/enqueue?from={job}",
    "/bulk?way=cancel&all=1&queue={queue}",
    "/operations",
    "/bulk?way=delete&ids={job}",
)
ON_EVENT = re.compile(r"on[a-z]+\Z")


@pytest.fixture
def address(browser, queue):
    made = {"name": "<b>n", "jobs": [{"queue": queue}], "on_failure": {"queue": queue}}
    batch = browser.http.post("/v1/batches", json=made).json()["id"]
    (job,) = browser.put(queue, {"a": 1}, type="t", tags=["x"], batch=batch)
    return lambda path: path.format(queue=queue, job=job, batch=batch)


@pytest.mark.parametrize("path", SCREENS)
def test_a_screen_is_there_and_allows_nothing_inline_or_from_elsewhere(browser, address, markup, path):
    answer = browser.http.get("/web" + address(path))
    assert answer.status_code == 200, answer.text[:3_000]
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) <= {"'self'", "'none'"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    tags = markup(answer.text).tags
    assert ("main", {"id": "content", "tabindex": "-1"}) in tags
    for tag, attributes in tags:
        assert tag != "style"
        assert tag != "script" or attributes["src"].startswith("/web/static/")
        assert "style" not in attributes
        assert not [name for name in attributes if ON_EVENT.match(name)]
        for name in ("href", "src", "action", "hx-get", "hx-post"):
            if name in attributes:
                assert attributes[name].startswith(("/web", "/docs", "/metrics", "#")), (tag, attributes)


@pytest.mark.parametrize("path", SCREENS)
def test_a_screen_shows_the_same_as_a_command(browser, address, path):
    assert re.search(r'<code id="curl" tabindex="0">.*curl ', browser.get(address(path)))


def test_the_command_of_a_list_gives_the_same_jobs(browser, queue):
    ids = browser.put(queue, count=3)
    shown = browser.get(f"/jobs?queue={queue}")
    url = re.search(r"&#39;(http[^&]+/v1/jobs[^&]*(?:&amp;[^&]*)*)&#39;", shown)[1].replace("&amp;", "&")
    assert [job["id"] for job in browser.http.get(url).json()["jobs"]] == ids
    assert re.findall(r'id="job-(\d+)"', shown) == [str(one) for one in ids]


def test_what_a_screen_loads_is_there(browser, markup):
    for tag, attributes in markup(browser.get("")).tags:
        path = attributes.get("src") or (attributes.get("href") if tag == "link" else None)
        if path:
            answer = browser.http.get(path)
            assert answer.status_code == 200
            assert answer.headers["content-type"].split(";")[0] in ("text/javascript", "text/css", "image/svg+xml")
            assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
            assert browser.http.get(f"{path}0").headers["cache-control"] == "public, max-age=600", "of another version"
    assert browser.http.get("/web/static/page.py").status_code == 404
    assert browser.http.get("/web/static/..%2f__init__.py").status_code == 404


def test_the_root_leads_to_the_page(browser):
    answer = browser.http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "/web")
    assert answer.headers["cache-control"] == "no-store"
    assert browser.http.head("/").status_code == 302
    assert browser.http.head("/web").status_code == 200


def test_switched_off_there_is_no_page_and_the_root_leads_to_the_api(serve, open_browser):
    browser = open_browser(serve("--no-web").url)
    assert browser.http.get("/").headers["location"] == "/docs"
    assert browser.http.get("/web").status_code == 404


@pytest.mark.parametrize("strips", [True, False], ids=["proxy strips it", "proxy leaves it"])
def test_under_a_prefix_every_link_stays_under_it(serve, open_browser, markup, strips):
    browser = open_browser(serve("--root-path", "/jobs/queue").url, "" if strips else "/jobs/queue")
    (job,) = browser.put("q", {"a": 1})
    assert browser.http.get(f"{browser.root}/").headers["location"] == "/jobs/queue/web"
    for path in (
        "",
        "/queues/q",
        "/jobs",
        f"/jobs/{job}",
        "/failures",
        "/workers",
        "/interests",
        "/schedules",
        "/enqueue",
        "/bulk?way=cancel&all=1",
    ):
        for tag, attributes in markup(browser.get(path)).tags:
            for name in ("href", "src", "action", "hx-get", "hx-post", "data-plots", "data-home", "data-href"):
                value = attributes.get(name)
                assert value is None or value.startswith(("/jobs/queue/", "#")), (path, tag, name, value)
    page = browser.http.get(f"{browser.root}/web/enqueue")
    assert "curl -X" not in page.text
    assert "/jobs/queue/v1/queues/QUEUE/jobs" in page.text
    if strips:
        return  # a browser that asks without the prefix does not send the cookie: only the proxy may leave it out
    where = browser.send("/enqueue", queue="q", payload="1").headers["location"]
    assert where.startswith("/jobs/queue/web/jobs/")


def test_a_refusal_is_a_screen_with_its_status_and_says_what_was_wrong(browser, queue):
    for path, status, words in (
        ("/jobs/999999999", 404, "There is no job 999999999."),
        ("/queues/nowhere", 404, "There is no queue nowhere."),
        ("/queues/%3Cb%3E", 400, "queue must be"),
        ("/jobs?state=strange", 400, "state must be one of"),
        ("/jobs?cursor=x", 400, "cursor must be"),
        ("/jobs?queue=nowhere", 404, "There is no queue nowhere."),
        ("/bulk?way=retry", 400, "select some jobs first"),
        ("/bulk?way=explode&all=1", 400, "way must be one of"),
        ("/jobs/99999999999999999999", 400, "job_id"),
    ):
        shown = browser.get(path, status)
        assert words in shown
        assert "<html" in shown


def test_find_leads_to_a_job_a_queue_or_text(browser, queue):
    browser.put(queue)
    for typed, where in (("17", "/web/jobs/17"), (queue, f"/web/queues/{queue}"), ("no such", "/web/jobs?text=no+such")):
        assert browser.http.get("/web/find", params={"q": typed}).headers["location"] == where


def test_the_stream_says_when_to_look_again(browser, queue):
    with browser.http.stream("GET", "/web/stream") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        browser.put(queue)
        assert next(line for line in lines if line.startswith("event:")) == "event: change"


def test_the_history_counts_what_was_done_whichever_front_is_asked(two_fronts, open_browser):
    browser = open_browser(two_fronts.url)
    assert browser.http.get("/web/history?span=day").json()["step"] == 300
    for path in ("span=year", "queue=a/b"):
        assert browser.http.get(f"/web/history?{path}").status_code == 400
    browser.put("counted", count=30)
    for job in browser.lease("counted", 30):
        browser.end("conclude", job)

    def counted() -> tuple[float, float]:
        with httpx.Client(
            base_url=browser.http.base_url, trust_env=False
        ) as another:  # a new connection, perhaps to the other front
            hour = another.get("/web/history?queue=counted").json()
        return sum(hour["in"]) * hour["step"], sum(hour["out"]) * hour["step"]

    until(lambda: sum(counted()) > 59, "two steps of the history")
    assert counted() == (30, 30)
    hour = browser.http.get("/web/history").json()
    assert [number for number in hour["wait_p50"] if number is not None]
    assert [number for number in hour["run_p95"] if number is not None]
