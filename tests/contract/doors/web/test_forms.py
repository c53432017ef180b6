"""A form is taken from our own pages alone, on every front, and says what will happen before it does."""

import re
from html import unescape

import pytest

from holdfast.doors.web import forms
from tests.contract.doors.web.conftest import Browser


def test_a_form_without_our_token_is_refused(browser, queue):
    browser.put(queue)
    token = browser.token()
    for given in ("", "0" * 64, token[:-1], token.upper()):
        answer = browser.http.post(f"/web/queues/{queue}/pause", data={"paused": "yes", "form_token": given})
        assert answer.status_code == 403
        assert "reload" in answer.text
    browser.http.cookies.clear()
    assert browser.http.post(f"/web/queues/{queue}/pause", data={"paused": "yes", "form_token": token}).status_code == 403
    assert not browser.http.get(f"/v1/queues/{queue}").json()["paused"]


def test_the_token_of_one_browser_is_nothing_to_another(browser, open_browser, server, queue):
    browser.put(queue)
    token = open_browser(server.url).token()
    browser.get("")
    assert browser.http.post(f"/web/queues/{queue}/pause", data={"paused": "yes", "form_token": token}).status_code == 403


def test_a_page_of_another_site_is_refused_even_with_a_token(browser, queue):
    browser.put(queue)
    token = browser.token()
    for headers in ({"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        answer = browser.http.post(f"/web/queues/{queue}/pause", data={"paused": "yes", "form_token": token}, headers=headers)
        assert answer.status_code == 403
    own = {"origin": str(browser.http.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert (
        browser.http.post(f"/web/queues/{queue}/pause", data={"paused": "yes", "form_token": token}, headers=own).status_code
        == 303
    )


def test_the_cookie_stays_on_this_site_and_away_from_scripts(browser):
    cookie = browser.http.get("/web").headers["set-cookie"]
    assert re.match(rf"{forms.COOKIE}=[0-9a-f]{{32}};", cookie)
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert "set-cookie" not in browser.http.get("/web").headers
    browser.http.cookies.clear()
    assert "Secure" in browser.http.get("/web", headers={"x-forwarded-proto": "https"}).headers["set-cookie"]


def test_the_token_does_not_show_the_cookie():
    cookie = forms.new_cookie()
    assert cookie not in forms.token(cookie)
    assert forms.token(cookie) == forms.token(cookie)


@pytest.mark.parametrize("body", [b"a=%ff%fe", b"&" * 10_000 + b"a=1&" * 3_000])
def test_a_form_that_cannot_be_read_is_refused(browser, body):
    answer = browser.http.post("/web/enqueue", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code in (400, 403)
    assert browser.http.post("/web/enqueue", json={}).status_code == 400


def test_every_front_takes_a_form_of_any_other(two_fronts, open_browser):
    browser = open_browser(two_fronts.url)
    token = browser.token()
    cookies = dict(browser.http.cookies)
    fronts = set()
    for _ in range(60):
        one = open_browser(two_fronts.url)
        one.http.cookies.update(cookies)
        answer = one.http.post("/web/enqueue", data={"form_token": token, "queue": "formed", "payload": "1"})
        assert answer.status_code == 303, answer.text
        fronts.add(answer.headers["x-request-id"].partition("-")[0])
        one.http.close()
        if len(fronts) == 2:
            break
    assert len(fronts) == 2
    browser.http.close()


def refused(browser, screen, path, status=400, **fields):
    """A form of a screen, sent as a browser does; what comes back."""
    html = browser.get(screen)
    headers = {"referer": f"{browser.http.base_url}".rstrip("/") + f"/web{screen}"}
    answer = browser.http.post(f"/web{path}", data={"form_token": browser.token(html), **fields}, headers=headers)
    assert answer.status_code == status, answer.text[:500]
    return answer.text


def test_a_refused_form_comes_back_as_it_was_sent_with_the_error_at_its_field(browser, queue):
    payload = '{"a": "<b>&amp;\\n  two'
    html = refused(
        browser,
        "/enqueue",
        "/enqueue",
        queue=queue,
        type='"><script>',
        priority="high",
        payload=payload,
        meta="a=1",
        kind="text",
    )
    assert re.search(
        r'<input[^>]* name="priority"[^>]* value="high" aria-invalid="true" aria-describedby="wrong-priority" autofocus>'
        r'<small class="wrong" id="wrong-priority" role="alert"><bdi>priority must be a whole number',
        html,
    )
    assert "Nothing was changed." in html
    assert f'value="{queue}"' in html
    assert 'value="&quot;&gt;&lt;script&gt;"' in html
    assert "\n{&quot;a&quot;: &quot;&lt;b&gt;&amp;amp;" in html
    assert re.search(r'<input type="radio" name="kind" value="text" checked>', html)
    assert not re.search(r'value="json" checked', html)
    again = {"form_token": browser.token(html), "form_from": re.search(r'name="form_from" value="([^"]+)"', html)[1]}
    sent = {"queue": queue, "payload": payload, "kind": "text", "priority": "nine"} | again
    answer = browser.http.post("/web/enqueue", data=sent)
    assert (answer.status_code, 'value="nine"' in answer.text) == (400, True), "the second time, too"
    answer = browser.http.post("/web/enqueue", data=sent | {"priority": "9"})
    assert answer.status_code == 303
    job = browser.job(int(answer.headers["location"].partition("/jobs/")[2].partition("?")[0]))
    assert (job["priority"], job["queue"]) == (9, queue)


def test_a_form_whose_address_is_not_that_of_its_screen_comes_back_on_its_screen(browser, queue):
    browser.put(queue)
    html = refused(browser, f"/queues/{queue}", f"/queues/{queue}/settings", lease_ms="soon", capacity_jobs="12")
    assert re.search(r'name="lease_ms"[^>]* value="soon" aria-invalid="true"', html)
    assert 'value="12"' in html
    assert "wrong-lease_ms" in html
    assert "data-live" not in html, "it is not replaced while somebody types"
    came_from = re.search(r'name="form_from" value="([^"]+)"', html)[1]
    sent = {"form_token": browser.token(html), "form_from": came_from, "lease_ms": "later"}
    answer = browser.http.post(f"/web/queues/{queue}/settings", data=sent)
    assert (answer.status_code, 'value="later"' in answer.text) == (400, True)


def test_what_is_wrong_with_no_field_of_the_form_stands_before_all_of_them(browser, queue):
    html = refused(
        browser, "/schedules", "/schedules", name=f"s{queue}", queue=queue, payload="{}", missed="all", timezone="Europe/Vienna"
    )
    assert "A schedule needs either cron or interval_ms. Nothing was changed." in html
    assert re.search(r"<option selected>all</option>", html)
    assert 'value="Europe/Vienna"' in html


@pytest.mark.parametrize(
    "referer",
    [
        "",
        "https://evil.example/x",
        "/web/stream",
        "/web/login",
        "/v1/queues",
        "/web/jobs",
        "//",
        "/web/%ff",
        "http://[",
        "http://[::1/web/enqueue",
    ],
)
def test_without_the_screen_of_a_form_its_refusal_is_a_page(browser, queue, referer):
    answer = browser.http.post(
        "/web/enqueue",
        data={"form_token": browser.token(), "queue": queue, "priority": "x"},
        headers={"referer": referer} if referer else {},
    )
    assert answer.status_code == 400
    assert "priority must be" in answer.text
    assert "aria-invalid" not in answer.text


def shown_in(form: str) -> dict[str, str | list[str]]:
    """What the fields of a form have, as a browser sends it."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name = re.search(r' name="(\w+)"', tag)
        value = re.search(r' value="([^"]*)"', tag)
        if name and ('type="checkbox"' not in tag or " checked" in tag):
            found.setdefault(name[1], []).append(re.sub("[\r\n]", "", unescape(value[1] if value else "")))
    for name, text in re.findall(r'<textarea name="(\w+)"[^>]*>\n([^<]*)', form):
        found[name] = [re.sub("\r\n|\r|\n", "\r\n", unescape(text))]
    for name, text in re.findall(r'<select name="(\w+)">.*?<option[^>]* selected[^>]*>(\w+)<', form):
        found[name] = [text]
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def form_of(html: str, action: str) -> dict[str, str | list[str]]:
    """What the one form with this action shows."""
    form = re.search(rf'<form method="post" action="[^"]*{action}"[^>]*>.*?</form>', html, re.DOTALL)
    assert form
    return shown_in(form[0])


def test_two_who_change_different_settings_of_a_queue_keep_both(browser, queue):
    browser.put(queue)
    browser.http.patch(f"/v1/queues/{queue}", json={"lease_ms": 60_000, "max_running": 3}).raise_for_status()
    shown = form_of(browser.get(f"/queues/{queue}"), "/settings")
    browser.http.patch(
        f"/v1/queues/{queue}", json={"capacity_jobs": 700, "lease_ms": 90_000, "max_running": None}
    ).raise_for_status()
    browser.send(f"/queues/{queue}/settings", **shown | {"max_attempts": "7", "lease_ms": "9m"})
    kept = browser.http.get(f"/v1/queues/{queue}").json()
    assert sorted(kept["set"]) == ["capacity_jobs", "lease_ms", "max_attempts", "max_running"]
    assert {name: kept["settings"][name] for name in kept["set"]} == {
        "capacity_jobs": 700,
        "lease_ms": 540_000,  # both changed it: the later one counts
        "max_attempts": 7,
        "max_running": None,
    }
    browser.send(f"/queues/{queue}/settings", 400, was="[1]", max_attempts="8")


def test_two_who_change_different_fields_of_a_schedule_keep_both(browser, queue):
    browser.put(queue)
    put = {
        "cron": "0 4 * * *",
        "timezone": "Europe/Berlin",
        "queue": queue,
        "payload": {"n": 1},
        "type": "report",
        "tags": ["a"],
    }
    browser.http.put(f"/v1/schedules/{queue}", json=put).raise_for_status()
    shown = form_of(browser.get(f"/schedules?name={queue}"), "/schedules")
    assert (shown["missed"], shown["overlap"], "publish" in shown) == ("one", "1", False)
    theirs = {"interval_ms": 60_000, "queue": queue, "payload": {"n": 2}, "type": "report", "missed": "skip", "overlap": False}
    browser.http.put(f"/v1/schedules/{queue}", json=theirs).raise_for_status()
    preview = browser.send("/schedules/preview", 200, **shown | {"tags": "b"}).text
    assert "every 1m" in preview
    browser.send("/schedules", **shown | {"tags": "b"})
    kept = browser.http.get(f"/v1/schedules/{queue}").json()
    assert {name: kept[name] for name in theirs} == theirs
    assert (kept["tags"], kept["cron"]) == (["b"], None)
    browser.send("/schedules", name=queue, queue=queue, cron="5 4 * * *", payload="1")
    kept = browser.http.get(f"/v1/schedules/{queue}").json()
    assert (kept["cron"], kept["payload"], kept["overlap"]) == ("5 4 * * *", 1, False), "a form for a new one is taken as it is"


def test_two_who_change_different_fields_of_a_budget_keep_both(browser, queue):
    name = f"budget-{queue}"
    browser.http.put(f"/v1/budgets/{name}", json={"limit": 100, "per_ms": 60_000}).raise_for_status()
    shown = form_of(browser.get(f"/budgets?name={name}"), "/budgets")
    assert {key: shown[key] for key in ("limit", "per_ms", "burst")} == {"limit": "100", "per_ms": "1m", "burst": ""}
    browser.http.put(f"/v1/budgets/{name}", json={"limit": 40, "per_ms": 60_000, "burst": 20}).raise_for_status()
    browser.send("/budgets", **shown | {"per_ms": "2m"})
    kept = browser.http.get(f"/v1/budgets/{name}").json()
    assert {key: kept[key] for key in ("limit", "per_ms", "burst")} == {"limit": 40, "per_ms": 120_000, "burst": 20}


def test_two_who_change_different_fields_of_a_job_keep_both(browser, queue):
    (job,) = browser.put(queue, {"n": 1}, tags=["a"], meta={"x": "1", "y": "2"})
    shown = form_of(browser.get(f"/jobs/{job}/edit"), "/edit")
    theirs = {"priority": 7, "payload": {"n": 2}, "meta": {"z": "3"}, "type": "report"}
    browser.http.patch(f"/v1/jobs/{job}", json=theirs).raise_for_status()
    browser.send(f"/jobs/{job}/edit", **shown | {"tags": "b", "max_attempts": "3"})
    kept = browser.job(job)
    assert {name: kept[name] for name in theirs} == theirs
    assert (kept["tags"], kept["max_attempts"]) == (["b"], 3)


ODD_JOBS = [
    {"tags": ["a,b", " lead", "x", "x", ""], "type": " t\n", "meta": {"a": "x\r\nb=c", "b=": "1\r2", "z": "u \n"}},
    {"tags": ["\u3000w", "a\nb"], "type": "a\rb", "payload": {"a": "\r"}, "meta": {"=": "=", "u\u2028": "</textarea>"}},
]


@pytest.mark.parametrize("odd", ODD_JOBS)
def test_what_was_not_touched_stays_to_the_byte(browser, queue, odd):
    (job,) = browser.put(queue, **odd)
    schedule = {"queue": queue, "payload": 1, "cron": " 0  4 * * MON-FRI", "type": odd["type"], "tags": odd["tags"]}
    browser.http.put(f"/v1/schedules/{queue}", json=schedule).raise_for_status()
    before, kept = browser.job(job), browser.http.get(f"/v1/schedules/{queue}").json()
    browser.send(f"/jobs/{job}/edit", **form_of(browser.get(f"/jobs/{job}/edit"), "/edit"))
    browser.send("/schedules", **form_of(browser.get(f"/schedules?name={queue}"), "/schedules"))
    assert browser.job(job) == before
    assert browser.http.get(f"/v1/schedules/{queue}").json() == kept
    browser.send(f"/jobs/{job}/edit", **form_of(browser.get(f"/jobs/{job}/edit"), "/edit") | {"priority": "3"})
    browser.send("/schedules", **form_of(browser.get(f"/schedules?name={queue}"), "/schedules") | {"timezone": "Europe/Vienna"})
    assert browser.job(job) == before | {"priority": 3}
    assert browser.http.get(f"/v1/schedules/{queue}").json() | {"next_at": 0} == kept | {
        "next_at": 0,
        "timezone": "Europe/Vienna",
    }


def test_fields_that_belong_together_are_touched_together(browser, queue):
    browser.put(queue)
    way = f"/v1/schedules/{queue}"
    browser.http.put(way, json={"queue": queue, "payload": 1, "cron": "0 4 * * *"}).raise_for_status()
    shown = form_of(browser.get(f"/schedules?name={queue}"), "/schedules")
    browser.http.put(way, json={"publish": True, "payload": {"a": 1}, "interval_ms": 60_000}).raise_for_status()
    browser.send("/schedules", **shown | {"cron": "5 4 * * *", "queue": f"{queue}-2"})
    kept = browser.http.get(way).json()
    assert (kept["cron"], kept["interval_ms"], kept["queue"], kept["publish"]) == ("5 4 * * *", None, f"{queue}-2", False)
    assert kept["payload"] == {"a": 1}
    name = f"budget-{queue}"
    browser.http.put(f"/v1/budgets/{name}", json={"limit": 100, "per_ms": 60_000}).raise_for_status()
    shown = form_of(browser.get(f"/budgets?name={name}"), "/budgets")
    browser.http.put(f"/v1/budgets/{name}", json={"limit": 40}).raise_for_status()
    browser.send("/budgets", **shown | {"burst": "20"})
    kept = browser.http.get(f"/v1/budgets/{name}").json()
    assert {key: kept[key] for key in ("limit", "per_ms", "burst")} == {"limit": 40, "per_ms": 60_000, "burst": 20}


def test_an_old_form_brings_back_nothing_that_was_deleted(browser, queue):
    browser.put(queue)
    for kind, body in (("schedules", {"queue": queue, "payload": 1, "cron": "0 4 * * *"}), ("budgets", {"limit": 1})):
        way, name = f"/v1/{kind}/{queue}", queue
        browser.http.put(way, json=body).raise_for_status()
        shown = form_of(browser.get(f"/{kind}?name={name}"), f"/{kind}")
        browser.http.delete(way).raise_for_status()
        browser.send(f"/{kind}", 404, **shown)
        assert browser.http.get(way).status_code == 404
    shown = form_of(browser.get(f"/queues/{queue}"), "/settings")
    browser.http.post(f"/v1/queues/{queue}/purge", json={"states": ["ready"]}).raise_for_status()
    browser.http.delete(f"/v1/queues/{queue}").raise_for_status()
    browser.send(f"/queues/{queue}/settings", 404, **shown)
    assert browser.http.get(f"/v1/queues/{queue}").status_code == 404


def test_a_refused_subscription_keeps_its_pairs(browser, queue):
    browser.put(queue)
    for _ in range(2):  # without one, and with one: there is a second form, to remove it
        typed = {"field": ["a", "b", "c", "d", ""], "value": ["(", "2", "3", "4", ""]}
        shown = form_of(browser.get(f"/interests?queue={queue}"), "/interests") | typed
        html = refused(browser, f"/interests?queue={queue}", "/interests", **shown)
        again = form_of(html, "/interests")
        assert (again["field"][:4], again["value"][:4]) == (typed["field"][:4], typed["value"][:4])
        browser.http.put(f"/v1/interests/{queue}", json={"match": {"a": "1"}}).raise_for_status()
    browser.send("/interests/remove", queue=queue, typed=f"remove {queue}")


@pytest.mark.parametrize("match", [{"": ""}, {"": "", "a": "b"}, {"a\nb": "c", "d": ""}, "*", {f"f{n}": "x" for n in range(7)}])
def test_a_subscription_that_was_not_touched_stays(browser, queue, match):
    browser.put(queue)
    way = f"/v1/interests/{queue}"
    browser.http.put(way, json={"match": match}).raise_for_status()
    browser.send("/interests", **form_of(browser.get(f"/interests?queue={queue}"), "/interests"))
    assert browser.http.get(way).json()["match"] == match
    browser.http.delete(way).raise_for_status()


def test_a_subscription_that_another_has_changed_is_not_overwritten(browser, queue):
    browser.put(queue)
    way = f"/v1/interests/{queue}"
    browser.http.put(way, json={"match": {"a": "1"}}).raise_for_status()
    shown = form_of(browser.get(f"/interests?queue={queue}"), "/interests")
    browser.http.put(way, json={"match": {"a": "2"}}).raise_for_status()
    for value in "1", "3", "3":  # untouched or not
        told = browser.send("/interests", 409, **shown | {"field": "a", "value": value}).text
        assert "Somebody has changed this subscription since the form was shown" in told
    assert browser.http.get(way).json()["match"] == {"a": "2"}
    browser.send("/interests", **shown | {"field": "a", "value": "2"})  # as it is now
    again = form_of(browser.get(f"/interests?queue={queue}"), "/interests")
    browser.send("/interests", **again | {"field": "a", "value": "3"})
    assert browser.http.get(way).json()["match"] == {"a": "3"}
    browser.send("/interests", **again | {"queue": f"{queue}-2", "field": "b", "value": "1"})
    assert browser.http.get(f"{way}-2").json()["match"] == {"b": "1"}, "under another name it is another"
    for name in (queue, f"{queue}-2"):
        browser.http.delete(f"/v1/interests/{name}").raise_for_status()


def test_what_another_changed_survives_a_form_that_was_refused_first(browser, queue):
    browser.put(queue)
    shown = form_of(browser.get(f"/queues/{queue}"), "/settings")
    browser.http.patch(f"/v1/queues/{queue}", json={"capacity_jobs": 700}).raise_for_status()
    action = f"/queues/{queue}/settings"
    html = refused(browser, f"/queues/{queue}", action, **shown | {"max_attempts": "seven"})
    browser.send(action, **form_of(html, "/settings") | {"max_attempts": "7"})
    kept = browser.http.get(f"/v1/queues/{queue}").json()
    assert {name: kept["settings"][name] for name in kept["set"]} == {"capacity_jobs": 700, "max_attempts": 7}
    html = refused(browser, f"/queues/{queue}", action, was="[1]", max_attempts="8")
    assert unescape(re.search(r'name="was" value="([^"]*)"', html)[1]).startswith("{"), "what can't be read does not come back"


def test_a_setting_that_is_emptied_follows_the_default_though_it_was_shown(browser, queue):
    browser.put(queue)
    browser.http.patch(f"/v1/queues/{queue}", json={"max_attempts": 3}).raise_for_status()
    browser.send(f"/queues/{queue}/settings", was='{"max_attempts": "3"}', max_attempts="")
    assert browser.http.get(f"/v1/queues/{queue}").json()["set"] == []


def test_a_form_that_the_store_refuses_comes_back_as_it_was_sent(serve, tmp_path, queue):
    server = serve("--disk-watermark-bytes", str(1 << 50), store=f"sqlite:///{tmp_path / 'jobs.db'}")
    browser = Browser(server.url)
    html = refused(browser, "/enqueue", "/enqueue", status=507, queue=queue, type="bill", payload='{"a": 12345}')
    assert "watermark" in html
    assert 'value="bill"' in html
    assert "{&quot;a&quot;: 12345}" in html
    assert "Nothing was changed" not in html, "of many, some may have been done"
    browser.http.close()
