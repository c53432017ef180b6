"""What an operator does, in a browser: each flow from the first look to what is kept."""

import re

import pytest
from playwright.sync_api import expect

from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser
from tests.system.browser.conftest import offences

pytestmark = pytest.mark.long(60)


def listening(page) -> None:
    """Wait until the page hears of what is committed; before that it would look five seconds later."""
    expect(page.locator("#live")).to_have_attribute("data-how", "stream")


def test_an_operator_sees_what_is_wrong_and_is_led_to_where_it_is_mended(look, server, api):
    for queue in api.http.get("/v1/queues").json()[
        "queues"
    ]:  # of other tests: on a slow machine they have waited for long enough to be shown first
        api.http.post(f"/v1/queues/{queue['name']}/purge", json={"states": ["ready"]}).raise_for_status()
    api.http.put("/v1/queues/narrow", json={"capacity_jobs": 2})
    api.put("narrow", count=2)
    page = look(f"{server.url}/web")
    problem = page.locator(".problems li", has_text="narrow")
    expect(problem).to_contain_text("is full (jobs) and refuses new jobs")
    problem.get_by_role("link").click()
    page.get_by_label("Capacity, jobs").fill("50")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    page.goto(f"{server.url}/web")
    expect(page.locator(".problems li", has_text="narrow is full")).to_have_count(0)
    assert api.http.get("/v1/queues/narrow").json()["settings"]["capacity_jobs"] == 50


def test_what_is_committed_is_seen_without_a_reload_until_it_is_paused(look, server, api):
    api.put("lively")
    page = look(f"{server.url}/web/queues/lively")
    listening(page)
    ready = page.locator("#count-ready .big")
    expect(ready).to_have_text("1")
    api.put("lively", count=4)
    expect(page.locator("#count-ready .big")).to_have_text("5")
    page.keyboard.press("p")
    expect(page.locator("#live")).to_have_text("Paused")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    api.put("lively", count=2)
    page.goto(page.url)
    expect(page.locator("#live"), "it stays paused from screen to screen").to_have_text("Paused")
    expect(ready).to_have_text("7")
    asked.clear()
    with api.http.stream("GET", "/web/stream") as stream:  # by when it has spoken twice, a page that listens would have asked
        lines = stream.iter_lines()
        other = Browser(server.url)
        for _ in range(2):
            other.put("lively")
            next(line for line in lines if line.startswith("event:"))
        other.http.close()
    assert not asked
    page.locator("#live").click()
    expect(page.locator("#count-ready .big")).to_have_text("9")


def test_without_the_stream_the_page_looks_by_itself(look, server, api):
    api.put("polled")

    def away(page):
        page.clock.install()  # so that the five seconds between two looks need not pass
        page.route("**/web/stream", lambda route: route.fulfill(status=503, body=""))

    page = look(f"{server.url}/web/queues/polled", prepare=away)
    expect(page.locator("#live")).to_have_attribute("data-how", "polling")
    api.put("polled")
    page.clock.fast_forward(5_000)
    expect(page.locator("#count-ready .big")).to_have_text("2")
    look.said[:] = [line for line in look.said if "503" not in line and "EventSource" not in line]


def test_what_is_typed_into_a_row_stays_when_an_answer_was_on_its_way_and_until_it_is_sent(look, server, api):
    api.http.put("/v1/queues/weighed", json={"fair": True}).raise_for_status()
    api.put("weighed", fair_key="small")
    page = look(f"{server.url}/web/queues/weighed")
    listening(page)
    page.evaluate(
        "() => { window.answered = new Promise((done) => document.addEventListener('htmx:afterRequest', done, { once: true })); }"
    )
    asked = []

    def keep(route):
        asked.append(route)

    page.route(page.url, keep)
    with page.expect_request(page.url):
        api.put("weighed", fair_key="large", count=2)
    weight = page.get_by_label("Weight of small")
    weight.fill("4")
    weight.blur()
    asked[0].continue_()
    page.evaluate("() => window.answered.then(() => true)")
    page.unroute(page.url)
    expect(weight).to_have_value("4")
    page.locator("tr", has_text="small").get_by_role("button", name="Set").click()
    expect(page.locator("tr", has_text="small")).to_contain_text("80.0 %")


def test_a_screen_that_gets_no_answer_says_so_and_of_when_it_is(look, server, api):
    api.put("orphaned")
    page = look(f"{server.url}/web/queues/orphaned")
    listening(page)
    gone = "**/web/queues/orphaned"
    page.route(gone, lambda route: route.abort())
    api.put("orphaned")
    stale = page.locator("#stale")
    expect(stale).to_have_text(re.compile(r"The server does not answer\. Last update: \d\d:\d\d:\d\d UTC\."))
    expect(page.locator("#live")).to_have_attribute("data-stale", "yes")
    assert not offences(page)
    page.unroute(gone)
    api.put("orphaned")
    expect(page.locator("#count-ready .big")).to_have_text("3")
    expect(stale).to_be_hidden()
    api.http.request("POST", "/v1/queues/orphaned/purge", json={"states": ["ready"]}).raise_for_status()
    api.http.delete("/v1/queues/orphaned").raise_for_status()
    expect(stale).to_contain_text("The server refused this screen (404).")
    look.said[:] = [line for line in look.said if not any(said in line for said in ("ERR_FAILED", "404", "htmx:"))]


def test_a_job_is_watched_from_its_lease_to_its_result_without_a_reload(look, server, api):
    (job,) = api.put("watched", {"n": 1})
    (held,) = api.lease("watched")
    api.end("extend", held, progress={"done": 3, "total": 4})
    asked = []
    page = look(
        f"{server.url}/web/jobs/{job}", prepare=lambda page: page.on("request", lambda request: asked.append(request.url))
    )
    listening(page)
    page.locator("#payload-text").wait_for()
    page.evaluate("document.getElementById('payload-text').dataset.was = 'here'")
    expect(page.locator("#progress-title")).to_have_text("Progress 75 %")
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "75.0")
    api.end("conclude", held, result={"rows": 7})
    expect(page.locator("h1 .badge")).to_have_text("concluded")
    expect(page.locator("#result-text")).to_contain_text('"rows": 7')
    expect(page.get_by_text("Cancel…")).to_have_count(0)
    expect(page.locator("#payload-text"), "what was loaded is left as it is").to_have_attribute("data-was", "here")
    assert [url.endswith("/payload") for url in asked].count(True) == 1


def test_rows_that_are_selected_stay_so_while_the_list_is_live_and_are_retried(look, server, api):
    ids = api.die("picked", count=4)
    page = look(f"{server.url}/web/jobs?queue=picked&state=dead")
    listening(page)
    for one in ids[:2]:
        page.get_by_label(f"Select job {one}").check()
    expect(page.locator("#picked")).to_have_text("2 selected")
    api.die("picked")
    expect(page.locator("[data-row]")).to_have_count(5)
    expect(page.locator("#picked")).to_have_text("2 selected")
    page.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("heading", name="Retry 2 jobs?")).to_be_visible()
    page.get_by_role("button", name="Retry 2 jobs").click()
    page.get_by_text("2 of 2 done").wait_for()
    assert not offences(page)
    assert api.counts("picked") == {"ready": 2, "dead": 3}


def test_all_that_match_are_deleted_once_it_is_typed_and_it_can_be_paused_and_gone_on_with(look, server, api):
    api.put("many", count=1_700)
    api.http.post("/v1/queues/many/pause")
    page = look(f"{server.url}/web/jobs?queue=many")
    page.get_by_label("All that match").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 1,700 jobs").click()
    expect(page.get_by_role("heading", name="Delete 1,700 jobs?"), "the browser itself wants the field filled").to_be_visible()
    page.get_by_label("Type").fill("delete 17")
    page.get_by_role("button", name="Delete 1,700 jobs").click()
    expect(page.get_by_role("heading", name="Delete 1,700 jobs?"), "and the very words").to_be_visible()
    assert api.counts("many") == {"ready": 1_700}
    page.get_by_label("Type").fill("delete 1700")
    page.get_by_label("Jobs a second").fill("100")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Delete: running").wait_for()
    page.get_by_role("button", name="Pause", exact=True).click()
    page.get_by_role("heading", name="Delete: paused").wait_for()
    left = api.counts("many")["ready"]
    assert 0 < left < 1_700
    page.get_by_label("Jobs a second").fill("")
    page.get_by_role("button", name="Set").click()
    page.get_by_text("Pace changed.").wait_for()
    assert api.counts("many") == {"ready": left}
    page.get_by_role("button", name="Resume").click()
    page.get_by_role("heading", name="Delete: done").wait_for()
    expect(page.get_by_text("1,700 of 1,700 done")).to_be_visible()
    assert api.counts("many") == {}
    look.said[:] = [line for line in look.said if "400" not in line]


def test_a_cancel_of_all_that_match_is_undone_in_a_press(look, server, api):
    ids = api.put("regret", count=3)
    page = look(f"{server.url}/web/jobs?queue=regret")
    page.get_by_label("All that match").check()
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("textbox").last.fill("cancel 3")
    page.get_by_role("button", name=re.compile("^Cancel")).last.click()
    page.get_by_role("button", name="Undo: restore these jobs").click()
    expect(page.get_by_text("3 of 3 done")).to_be_visible()
    assert api.counts("regret") == {"ready": 3}
    page.goto(f"{server.url}/web/jobs/{ids[0]}")
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("button", name="Undo the cancel").click()
    expect(page.locator("h1 .badge")).to_have_text("ready")


def test_from_a_group_of_failures_to_its_retry(look, server, api):
    api.die("grouped", "connection to 10.0.0.7:5432 refused", count=3, type="csv")
    api.die("grouped", "row 17 has 7 columns, not 8", count=2, type="csv")
    page = look(f"{server.url}/web/failures?queue=grouped")
    row = page.locator("tr", has_text="connection to … refused")
    expect(row.locator("td").nth(1)).to_have_text("3")
    row.get_by_role("link", name="Retry…").click()
    expect(page.get_by_role("heading", name="Retry 3 jobs?")).to_be_visible()
    page.get_by_role("button", name="Retry 3 jobs").click()
    page.get_by_text("3 of 3 done").wait_for()
    assert api.counts("grouped") == {"ready": 3, "dead": 2}


def test_a_job_is_looked_at_edited_cloned_and_cancelled(look, server, api):
    for worker in api.http.get("/v1/workers").json()[
        "workers"
    ]:  # else it would be said that none of them takes from this queue
        api.http.delete(f"/v1/workers/{worker['id']}").raise_for_status()
    (job,) = api.put("single", {"n": 1}, type="t")
    page = look(f"{server.url}/web/jobs/{job}")
    expect(page.get_by_text("Next in its queue")).to_be_visible()
    page.locator("#payload-text").wait_for()
    expect(page.locator("#payload-text")).to_contain_text('"n": 1')
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Payload, JSON").fill('{"n": 12345678901234567890}')
    page.get_by_label("Priority").fill("3")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#payload-text")).to_contain_text("12345678901234567890")
    assert api.job(job)["priority"] == 3
    page.get_by_role("link", name="Clone…").click()
    page.get_by_label("Type").fill("t2")
    page.get_by_role("button", name="Enqueue", exact=True).click()
    expect(page.get_by_text("Job enqueued.")).to_be_visible()
    clone = int(re.search(r"/jobs/(\d+)", page.url)[1])
    assert (api.job(clone)["type"], api.job(clone)["payload"]) == ("t2", {"n": 12345678901234567890})
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel job").click()
    expect(page.locator("h1 .badge")).to_have_text("cancelled")


def test_the_life_of_a_job_shows_every_attempt(look, server, api):
    (job,) = api.put("timeline", max_attempts=5)
    for worker, reason in (("anna", "first error"), ("berta", "second error")):
        (held,) = api.lease("timeline", worker=worker)
        api.end("fail", held, reason=reason, delay_ms=0)
    (held,) = api.lease("timeline", worker="clara")
    api.end("conclude", held, result={"ok": True})
    page = look(f"{server.url}/web/jobs/{job}")
    rows = [row.inner_text().split("\t") for row in page.locator("table.attempts tbody tr").all()]
    assert [(row[0].strip(), row[1].strip(), row[4], row[5]) for row in rows] == [
        ("3", "concluded", "clara", ""),
        ("2", "failed", "berta", "second error"),
        ("1", "failed", "anna", "first error"),
    ]
    expect(page.locator("svg.life rect.failed")).to_have_count(2)
    expect(page.locator("svg.life rect.concluded")).to_have_count(1)
    page.locator("#result-text").wait_for()
    expect(page.locator("#result-text")).to_contain_text('"ok": true')


def test_a_payload_is_downloaded_as_it_came(look, server, api):
    (job,) = api.put("files", {"n": 12345678901234567890})
    page = look(f"{server.url}/web/jobs/{job}")
    with page.expect_download() as coming:
        page.get_by_role("link", name="Download").click()
    assert coming.value.suggested_filename == f"job-{job}-payload.json"
    assert coming.value.path().read_bytes() == b'{"n":12345678901234567890}'


def test_a_queue_is_paused_purged_and_deleted(look, server, api):
    api.put("fading", count=3)
    page = look(f"{server.url}/web/queues/fading")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("is paused, with 3 unfinished jobs")).to_be_visible()
    page.get_by_role("checkbox", name=re.compile("^ready")).check()
    page.get_by_role("button", name="Preview…").click()
    page.get_by_label("Type").fill("remove 3 from fading")
    page.get_by_role("button", name="Purge").click()
    expect(page.get_by_text("Jobs purged: 3.")).to_be_visible()
    page.get_by_label("Type delete").fill("delete fading")
    page.get_by_role("button", name="Delete queue").click()
    expect(page.get_by_text("Queue deleted.")).to_be_visible()


def test_an_event_is_tried_out_without_leaving_the_page(look, server, api):
    api.http.put("/v1/interests/wanting", json={"match": {"action": "user.*"}})
    page = look(f"{server.url}/web/interests")
    page.get_by_role("button", name="Test", exact=True).click()
    page.locator("#tested").get_by_role("link", name="wanting").wait_for()
    page.get_by_label("Event, JSON").fill("{broken")
    page.get_by_role("button", name="Test", exact=True).click()
    page.locator("#tested").get_by_text("not valid JSON").wait_for()
    page.get_by_label("Queue", exact=True).fill("hearing")
    page.get_by_label("All events").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Subscription saved")).to_be_visible()


def test_a_schedule_is_made_and_run_at_once(look, server, api):
    page = look(f"{server.url}/web/schedules")
    page.get_by_label("Name", exact=True).fill("nightly")
    page.get_by_label("Cron").fill("0 4 * * *")
    page.get_by_label("Queue", exact=True).fill("night")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("every day at 04:00")).to_be_visible()
    page.get_by_role("button", name="Run now").click()
    assert api.counts("night") == {"ready": 1}
    page.get_by_role("link", name="Jobs", exact=True).last.click()
    page.locator("tbody tr th a").click()
    page.get_by_role("definition").get_by_role("link", name="nightly", exact=True).click()
    expect(page.get_by_label("Name", exact=True)).to_have_value("nightly")


def test_after_a_refusal_what_was_typed_is_still_there(look, server):
    page = look(f"{server.url}/web/schedules")
    page.get_by_label("Name", exact=True).fill("refused-once")
    page.get_by_label("Cron").fill("every night")
    page.get_by_label("Queue", exact=True).fill("night")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("cron must have five fields")
    expect(page.get_by_label("Cron")).to_be_focused()
    expect(page.get_by_label("Cron")).to_have_value("every night")
    expect(page.get_by_label("Name", exact=True)).to_have_value("refused-once")
    look.said[:] = [line for line in look.said if "400" not in line]


def test_settings_that_were_refused_are_still_in_their_fields(look, server, api):
    api.put("settled")
    page = look(f"{server.url}/web/queues/settled")
    page.get_by_label("Capacity, jobs").fill("50")
    page.locator("[name=lease_ms]").fill("0")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("lease_ms must be from 1ms to 30d")
    expect(page.get_by_label("Capacity, jobs")).to_have_value("50")
    expect(page.locator("[name=lease_ms]")).to_have_value("0")
    look.said[:] = [line for line in look.said if "400" not in line]


def test_times_and_sizes_are_set_and_shown_in_units(look, server, api):
    api.put("measured")
    page = look(f"{server.url}/web/queues/measured")
    expect(page.locator("[name=lease_ms]")).to_have_attribute("placeholder", "5m")
    expect(page.locator("[name=capacity_bytes]")).to_have_attribute("placeholder", "4 GiB")
    given = {"lease_ms": "90s", "retention_ms": "36 h", "capacity_bytes": "1.5GiB", "retry_max_ms": "1 h 30 min"}
    for name, text in given.items():
        page.locator(f"[name={name}]").fill(text)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    shown = {"lease_ms": "1m 30s", "retention_ms": "1d 12h", "capacity_bytes": "1.5 GiB", "retry_max_ms": "1h 30m"}
    for name, text in shown.items():
        expect(page.locator(f"[name={name}]")).to_have_value(text)
    kept = api.http.get("/v1/queues/measured").json()["settings"]
    assert (kept["lease_ms"], kept["retention_ms"], kept["capacity_bytes"]) == (90_000, 129_600_000, 3 << 29)
    assert kept["retry"]["max_ms"] == 5_400_000
    page.goto(f"{server.url}/web/enqueue?queue=measured")
    page.get_by_label("Delay").fill("2h")
    page.get_by_role("button", name="Enqueue").click()
    expect(page.get_by_text(re.compile("in (2 h|1 h 59 min)")).first).to_be_visible()


def test_a_form_says_what_it_means_while_it_is_typed(look, server, api):
    page = look(f"{server.url}/web/schedules")
    page.get_by_label("Name", exact=True).fill("nightly")
    page.get_by_label("Queue", exact=True).fill("reports")
    page.get_by_label("Time zone").fill("Europe/Vienna")
    page.get_by_label("Cron").fill("30 2 * *")
    preview = page.get_by_label("Preview", exact=True).and_(page.locator("section"))
    expect(preview).to_contain_text("cron must have five fields")
    page.get_by_label("Cron").fill("30 2 * * *")
    expect(preview.get_by_role("list", name="Next runs").get_by_role("listitem")).to_have_count(5)
    expect(preview).to_contain_text(re.compile("02:30:00 CES?T"))
    expect(preview).to_contain_text(
        "holdfast schedule set nightly --cron '30 2 * * *' --timezone Europe/Vienna --queue reports"
    )
    page.goto(f"{server.url}/web/enqueue")
    page.locator("[data-previewed] [name=queue]").fill("mail")
    page.locator("[name=delay_ms]").fill("10m")
    page.locator("[name=payload]").fill('{"to": }')
    expect(preview).to_contain_text("The payload is not valid JSON")
    page.locator("[name=payload]").fill('{"to": "ada"}')
    expect(preview).to_contain_text("in 10 min")
    expect(preview).to_contain_text("""holdfast job push mail '{"to": "ada"}' --delay 10m""")


@pytest.mark.parametrize("path", ["/failures", "/jobs/{dead}"])
def test_on_a_phone_an_error_has_the_whole_width(look, server, api, path):
    (dead,) = api.put("wordy")
    (job,) = api.lease("wordy")
    api.end("fail", job, reason="the upstream service closed the connection before the answer was complete", retry=False)
    page = look(f"{server.url}/web{path.format(dead=dead)}", phone=True)
    error = page.locator(".stack .error", has_text="the upstream service").first
    expect(error).to_be_visible()
    assert error.bounding_box()["width"] > 300


def test_a_worker_is_seen_with_what_it_does_and_is_quieted(look, server, api):
    worker = api.http.post("/v1/workers", json={"queues": ["busy"], "name": "gpu-7"}).json()["id"]
    (job,) = api.put("busy")
    api.http.post("/v1/leases", json={"queues": ["busy"], "worker": worker})
    page = look(f"{server.url}/web/workers")
    row = page.locator("tr", has_text="gpu-7")
    expect(row.get_by_role("link", name=str(job), exact=True)).to_be_visible()
    row.get_by_role("button", name="Quiet").click()
    expect(page.locator("tr", has_text="gpu-7")).to_contain_text("quiet")


def test_the_keyboard_reaches_everything(look, server, api):
    ids = api.put("keys", count=3)
    page = look(f"{server.url}/web/jobs?queue=keys")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator(f"#job-{ids[1]}")).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_label(f"Select job {ids[1]}")).to_be_checked()
    page.keyboard.press("/")
    page.keyboard.type(str(ids[2]))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/web/jobs/{ids[2]}")
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url("**/web/failures")
    page.keyboard.press("g")
    page.keyboard.press("u")
    page.wait_for_url("**/web/budgets")


def test_the_colours_are_chosen_and_stay_chosen(look, server, api):
    page = look(f"{server.url}/web", dark=True)
    back = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(back)
    page.keyboard.press("t")
    expect(page.locator("#theme")).to_have_text("Light")
    assert page.evaluate(back) != dark
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")


def test_the_command_is_copied(look, server, api):
    page = look(f"{server.url}/web/workers")
    page.locator(".as-command").get_by_role("button", name="Copy").click()
    page.locator(".as-command").get_by_role("button", name="Copied").wait_for()


@pytest.mark.parametrize("span", ["hour", "day"])
def test_the_plots_are_drawn_from_the_servers_own_history(look, server, api, span):
    api.put("plotted")
    now = 1_790_000_000
    columns = {"at": [now, now + 10, now + 20], "in": [1, 2, 3], "out": [0, 1, 1], "failed": [0, 0, 0], "depth": [1, 2, 4]}
    columns |= {name: [None, 5.0, 900.0] for name in ("wait_p50", "wait_p95", "run_p50", "run_p95")} | {
        "step": 10,
        "began": now,
        "now": now + 20,
    }
    asked = []

    def answer(route):
        asked.append(route.request.url)
        route.fulfill(json=columns)

    page = look(f"{server.url}/web/queues/plotted", prepare=lambda page: page.route("**/web/history**", answer))
    page.locator(".plot canvas").nth(3).wait_for()
    expect(page.locator(".u-legend").first).to_have_text("Enqueued3Completed1Failed0", use_inner_text=True)  # the latest
    expect(page.locator(".u-legend").nth(2)).to_contain_text("p50900 ms", use_inner_text=True)
    if span == "day":
        page.get_by_role("button", name="Day").click()
        expect(page.locator(".plot canvas")).to_have_count(4)
    assert f"span={span}" in asked[-1]


def test_under_a_prefix_everything_works_in_a_browser(look, home):
    with serving(home, "--root-path", "/ops/queue") as server:
        api = Browser(server.url, "/ops/queue")
        (job,) = api.put("q", {"n": 1})
        page = look(f"{server.url}/ops/queue/")
        page.wait_for_url("**/ops/queue/web")
        page.get_by_role("link", name="q", exact=True).click()
        page.get_by_role("button", name="Pause", exact=True).click()
        expect(page.get_by_text("Queue paused")).to_be_visible()
        page.goto(f"{server.url}/ops/queue/web/jobs/{job}")
        page.locator("#payload-text").wait_for()
        page.get_by_text("Cancel…").click()
        page.get_by_role("button", name="Cancel job").click()
        expect(page.locator("h1 .badge")).to_have_text("cancelled")
        page.close()  # before the server: a page that has lost it would say so
        api.http.close()


@pytest.mark.parametrize("phone", [False, True])
def test_what_a_second_press_does_is_said_within_the_window(look, server, api, phone):
    (running,) = api.put("sure")
    api.lease("sure")
    jobs = [{"queue": "sure", "delay_ms": 3_600_000}] * 3
    batch = api.http.post("/v1/batches", json={"jobs": jobs}).json()["id"]
    begun = {"do": "cancel", "filter": {"queue": "sure"}, "per_s": 0.01}
    operation = api.http.post("/v1/operations", json=begun).json()["id"]
    for path in (f"/batches/{batch}", f"/operations/{operation}", f"/jobs/{running}"):
        page = look(f"{server.url}/web{path}", phone=phone)
        page.get_by_text("Cancel…").click()
        shown = page.locator("details[open] form").bounding_box()
        assert shown["x"] >= 0, path
        assert shown["x"] + shown["width"] <= page.viewport_size["width"], path


def test_on_a_phone_every_action_on_a_worker_is_within_the_window(look, server, api):
    worker = api.http.post("/v1/workers", json={"queues": ["slim"], "name": "slim-1"}).json()["id"]
    api.put("slim")
    api.http.post("/v1/leases", json={"queues": ["slim"], "worker": worker}).raise_for_status()
    page = look(f"{server.url}/web/workers?q=slim-1", phone=True)
    for words in ("Quiet", "Take leases back…", "Remove…"):
        shown = page.locator("tr", has_text="slim-1").get_by_text(words).bounding_box()
        assert shown["x"] + shown["width"] <= page.viewport_size["width"], words
