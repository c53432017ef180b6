"""Login to the page, and what viewers, operators and admins can use: every screen and every form, by role."""

import re
import time
from html import unescape

import httpx
import pytest

from holdfast.limits import SESSION_S
from holdfast.testing.local import LocalServer
from tests.contract.doors.web.conftest import Browser, Markup

ROLES = {"viewer": ["read"], "operator": ["read", "produce", "manage"], "admin": ["admin"]}
SCREENS = ["", "/queues/r.q", "/jobs", "/failures", "/workers", "/interests", "/schedules", "/store"]
PRODUCING, RULING = ["/enqueue"], ["/audit", "/keys"]


class House:
    def __init__(self, server):
        self.url = server.url
        api = httpx.Client(base_url=server.url, timeout=30)
        self.api = api
        root = self.secret("root", ["admin"])
        api.headers["authorization"] = f"Bearer {root}"
        while api.get("/v1/keys").status_code != 200 or httpx.get(f"{server.url}/v1/keys").status_code != 401:
            pass
        self.secrets = {role: self.secret(role, abilities) for role, abilities in ROLES.items()}
        self.secrets["elsewhere"] = self.secret("elsewhere", ["read", "produce", "manage"], ["y.*"])
        self.secrets["blind"] = self.secret("blind", ["read"], ["*"], sees_payloads=False)
        self.secrets["producer"] = self.secret("producer", ["produce"])
        assert api.post("/v1/queues/r.q/jobs", json={"payload": "needle"}).status_code == 201
        api.put("/v1/schedules/nightly", json={"queue": "r.q", "payload": 1, "interval_ms": 60_000})

    def secret(self, name, abilities, queues=("*",), **more):
        made = self.api.post("/v1/keys", json={"name": name, "abilities": abilities, "queues": list(queues), **more})
        assert made.status_code == 201, made.text
        return made.json()["secret"]

    def login(self, role):
        browser = Browser(self.url)
        answer = log_in(browser, self.secrets[role])
        assert answer.status_code == 303, answer.text
        return browser


def log_in(browser, secret, **more):
    token = browser.token(browser.http.get("/web/login").text)
    return browser.http.post("/web/login", data={"form_token": token, "key": secret, **more})


@pytest.fixture(scope="module")
def house():
    with LocalServer(web=True) as server:
        yield House(server)


def test_a_visitor_is_redirected_to_the_login_form_and_back(house):
    browser = Browser(house.url)
    answer = browser.http.get("/web/jobs?state=dead&queue=a%20b")
    assert answer.status_code == 303
    form = browser.http.get(answer.headers["location"])
    assert form.status_code == 200
    wanted = re.search(r'name="next" value="([^"]*)"', form.text)[1].replace("&amp;", "&")
    answer = log_in(browser, house.secrets["viewer"], next=wanted)
    assert (answer.status_code, answer.headers["location"]) == (303, "/web/jobs?state=dead&queue=a%20b")


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example", "//evil.example", "/web//evil.example", "/webx", "/web\\evil", "javascript:1", "/web/login"],
)
def test_a_login_redirects_to_this_site_only(house, elsewhere):
    assert log_in(Browser(house.url), house.secrets["viewer"], next=elsewhere).headers["location"] == "/web"


def test_scripts_and_other_sites_do_not_get_the_cookie(house):
    browser = Browser(house.url)
    (cookie,) = [
        one
        for one in log_in(browser, house.secrets["viewer"]).headers.get_list("set-cookie")
        if one.startswith("holdfast_session=")
    ]
    assert house.secrets["viewer"] not in cookie
    fields = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/", f"max-age={SESSION_S}"} <= fields
    assert "secure" not in fields
    fresh = Browser(house.url)
    fresh.http.headers["x-forwarded-proto"] = "https"
    page = fresh.http.get("/web/login")
    fresh.http.cookies.clear()
    value = re.search(r"holdfast_form=([0-9a-f]+)", page.headers["set-cookie"])[1]
    answer = fresh.http.post(
        "/web/login",
        data={"form_token": fresh.token(page.text), "key": house.secrets["viewer"]},
        headers={"cookie": f"holdfast_form={value}", "x-forwarded-proto": "https"},
    )
    assert "secure" in answer.headers["set-cookie"].lower()


@pytest.mark.parametrize("key", ["", "hf_wrong", "é", "x" * 5_000])
def test_a_wrong_key_is_refused(house, key):
    answer = log_in(Browser(house.url), key)
    assert answer.status_code in (401, 429)
    assert "holdfast_session" not in answer.headers.get("set-cookie", "")
    if len(key) > 3:
        assert key not in answer.text


def test_a_key_without_the_ability_read_cannot_use_the_page(house):
    answer = log_in(Browser(house.url), house.secrets["producer"])
    assert answer.status_code == 401
    assert "Authorization: Bearer" not in answer.text, "it is a hint for programs"
    assert "lacks the ability read" in Markup(answer.text).text


def test_a_login_needs_the_token_of_its_form(house):
    answer = Browser(house.url).http.post("/web/login", data={"key": house.secrets["viewer"]})
    assert answer.status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_its_screens_and_no_others(house, role):
    browser = house.login(role)
    abilities = ROLES[role]
    for path in SCREENS:
        browser.get(path)
    for path in PRODUCING:
        browser.get(path)
    for path in RULING:
        browser.get(path, 200 if role == "admin" else 403)
    navigation = Markup(browser.get("")).tags
    shown = {attributes["data-nav"] for tag, attributes in navigation if tag == "a" and "data-nav" in attributes}
    assert ("enqueue" in shown) is ("produce" in abilities or role == "admin")
    assert ({"keys", "audit"} <= shown) is (role == "admin")


def test_a_viewer_sees_no_form_that_changes_something(house):
    browser = house.login("viewer")
    job = house.api.get("/v1/jobs?queue=r.q").json()["jobs"][0]["id"]
    for path in [*SCREENS, f"/jobs/{job}"]:
        posts = re.findall(r'<form[^>]*method="post"[^>]*action="([^"]*)"', browser.get(path))
        assert set(posts) <= {"/web/logout", "/web/interests/test", "/web/jobs/columns"}, (
            path,
            posts,
        )  # kept in the browser alone


def test_forms_that_a_viewer_sends_anyway_are_refused(house):
    browser = house.login("viewer")
    token = browser.token(browser.get(""))
    job = house.api.get("/v1/jobs?queue=r.q").json()["jobs"][0]["id"]
    for path, fields in {
        f"/jobs/{job}/cancel": {},
        f"/jobs/{job}/delete": {"typed": f"delete {job}"},
        "/queues/r.q/pause": {"paused": "yes"},
        "/queues": {"name": "made"},
        "/enqueue": {"queue": "r.q", "payload": "1"},
        "/schedules/nightly/pause": {},
        "/keys": {"name": "mine", "ability": "admin"},
        "/keys/root/revoke": {},
        "/keys/root/rotate": {},
    }.items():
        answer = browser.http.post(f"/web{path}", data={"form_token": token, **fields})
        assert answer.status_code == 403, (path, answer.status_code, answer.text[:500])
    assert house.api.get(f"/v1/jobs/{job}").json()["state"] == "ready"


def test_an_action_of_an_operator_is_in_the_audit_log_with_the_key(house):
    browser = house.login("operator")
    token = browser.token(browser.get("/queues/r.q"))
    assert browser.http.post("/web/queues/r.q/pause", data={"form_token": token, "paused": "yes"}).status_code == 303
    assert browser.http.post("/web/queues/r.q/pause", data={"form_token": token, "paused": "no"}).status_code == 303
    assert "operator" in house.login("admin").text("/audit")


def test_queues_that_the_key_may_not_see_are_on_no_screen(house):
    browser = house.login("elsewhere")
    job = house.api.get("/v1/jobs?queue=r.q").json()["jobs"][0]["id"]
    for path in ["", "/jobs", "/failures", "/workers", "/interests", "/schedules", "/store", "/suggest", "/enqueue"]:
        text = browser.get(path)
        assert "r.q" not in text, path
        assert "nightly" not in text, path
        assert 'data-nav="budgets"' not in text, "they are of all queues"
    for path in (f"/jobs/{job}", "/queues/r.q"):
        browser.get(path, 404)
    assert browser.http.get("/web/history?queue=r.q").status_code == 404
    assert not any(browser.http.get("/web/history").json()["in"])


def test_a_key_that_sees_no_payloads_is_shown_none(house):
    browser = house.login("blind")
    job = house.api.get("/v1/jobs?queue=r.q").json()["jobs"][0]["id"]
    for path in (f"/jobs/{job}", "/jobs", "/queues/r.q"):
        assert "needle" not in browser.get(path), path
    for path in (f"/jobs/{job}/payload", f"/jobs/{job}/payload?download=1"):
        assert "needle" not in browser.http.get(f"/web{path}").text


def test_an_admin_creates_rotates_and_revokes_a_key(house):
    browser = house.login("admin")
    token = browser.token(browser.get("/keys"))
    page = browser.http.post(
        "/web/keys", data={"form_token": token, "name": "made", "ability": ["read", "produce"], "queues": "a, b.*", "days": "3"}
    )
    assert page.status_code == 200, page.text[:800]
    secret = re.search(r'<code id="secret"[^>]*>(hf_\w+)<', page.text)[1]
    assert house.api.get("/v1/keys/made").json()["queues"] == ["a", "b.*"]
    assert secret not in browser.get("/keys"), "it is shown once"
    page = browser.http.post("/web/keys/made/rotate", data={"form_token": token})
    assert re.search(r'<code id="secret"[^>]*>(hf_\w+)<', page.text)[1] != secret
    assert browser.http.post("/web/keys/made/revoke", data={"form_token": token}).status_code == 303
    assert house.api.get("/v1/keys/made").status_code == 404


def test_a_session_ends_by_logging_out_and_with_its_key(house):
    browser = house.login("viewer")
    token = browser.token(browser.get(""))
    assert browser.http.post("/web/logout", data={"form_token": token}).status_code == 303
    assert browser.http.get("/web").status_code == 303
    secret = house.secret("brief", ["read"])
    brief = Browser(house.url)
    assert log_in(brief, secret).status_code == 303
    brief.get("")
    assert house.api.delete("/v1/keys/brief").status_code == 204
    while brief.http.get("/web").status_code == 200:
        pass
    assert brief.http.get("/web").headers["location"] == "/web/login"
    part = brief.http.get("/web/jobs", headers={"hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (204, "/web/login")


def test_the_page_accepts_a_key_in_the_header_too(house):
    answer = httpx.get(f"{house.url}/web", headers={"authorization": f"Bearer {house.secrets['viewer']}"})
    assert answer.status_code == 200


def test_an_admin_edits_a_key_in_the_form_that_shows_it(house):
    house.secret("edited", ["read", "manage"], ["r.*", "exact"], sees_payloads=False, note='a "note"')
    browser = house.login("admin")
    assert 'href="/web/keys?name=edited#form-title"' in browser.http.get("/web/keys").text
    page = browser.http.get("/web/keys?name=edited").text
    form = re.search(r'action="/web/keys/edited/edit".*?</form>', page, re.DOTALL)[0]
    assert 'value="r.*, exact"' in form
    assert "a &#34;note&#34;" in form
    assert set(re.findall(r'value="(\w+)" checked', form)) == {"read", "manage", "1"}
    given = {"form_token": browser.token(page), "queues": "r.*", "note": "other", "ability": ["read", "consume"], "days": "2"}
    answer = browser.http.post("/web/keys/edited/edit", data=given)
    assert (answer.status_code, answer.headers["location"]) == (303, "/web/keys?done=key.edit")
    assert "Access key saved" in browser.http.get(answer.headers["location"]).text
    shown = house.api.get("/v1/keys/edited").json()
    assert (shown["abilities"], shown["queues"], shown["note"], shown["sees_payloads"]) == (
        ["read", "consume"],
        ["r.*"],
        "other",
        True,
    )
    assert shown["expires_at"] is not None
    browser.http.post("/web/keys/edited/edit", data={**given, "days": ""})
    assert house.api.get("/v1/keys/edited").json()["expires_at"] == shown["expires_at"]
    browser.http.post("/web/keys/edited/edit", data={**given, "days": "", "never": "1"})
    assert house.api.get("/v1/keys/edited").json()["expires_at"] is None
    assert browser.http.post("/web/keys/edited/edit", data={**given, "never": "1"}).status_code == 400
    viewer = house.login("operator")
    given["form_token"] = viewer.token(viewer.http.get("/web/queues/r.q").text)
    assert viewer.http.post("/web/keys/edited/edit", data=given).status_code == 403


def test_two_who_change_different_fields_of_a_key_keep_both(house):
    house.secret("shared", ["produce", "read"], ["a"], note="of the shop")
    browser = house.login("admin")
    page = browser.http.get("/web/keys?name=shared").text
    was = unescape(re.search(r'name="was" value="([^"]*)"', page)[1])
    narrowed = {"abilities": ["read"], "queues": ["b"], "sees_payloads": False}
    assert house.api.patch("/v1/keys/shared", json=narrowed).status_code == 200
    given = {"form_token": browser.token(page), "was": was, "ability": ["produce", "read"], "queues": "a", "note": "of ours"}
    assert browser.http.post("/web/keys/shared/edit", data=given).status_code == 303
    shown = house.api.get("/v1/keys/shared").json()
    assert {name: shown[name] for name in narrowed} == narrowed, "no old form gives back what was taken from it"
    assert shown["note"] == "of ours"
    more = given | {"ability": ["produce", "read", "manage"], "queues": "a, c"}
    assert browser.http.post("/web/keys/shared/edit", data=more).status_code == 303
    shown = house.api.get("/v1/keys/shared").json()
    assert (shown["abilities"], shown["queues"]) == (["read", "manage"], ["b", "c"]), "what was added, and nothing else"


def test_the_order_of_a_key_s_abilities_is_no_change(house):
    house.secret("a:b", ["read", "produce", "manage"], ["*"], note="  odd ")
    browser = house.login("admin")
    page = browser.http.get("/web/keys?name=a:b").text
    was = unescape(re.search(r'name="was" value="([^"]*)"', page)[1])
    sent = {
        "form_token": browser.token(page),
        "was": was,
        "ability": ["produce", "read", "manage"],
        "queues": "*",
        "note": "  odd ",
    }
    before = house.api.get("/v1/keys/a:b").json()
    assert browser.http.post("/web/keys/a:b/edit", data=sent).status_code == 303
    assert house.api.get("/v1/keys/a:b").json() == before
    assert house.api.patch("/v1/keys/a:b", json={"abilities": ["read"]}).status_code == 200
    assert browser.http.post("/web/keys/a:b/edit", data=sent | {"note": "new"}).status_code == 303
    shown = house.api.get("/v1/keys/a:b").json()
    assert (shown["abilities"], shown["note"]) == (["read"], "new")
    headers = {"referer": f"{house.url}/web/keys?name=a:b"}
    refused = browser.http.post("/web/keys/a:b/edit", data=sent | {"days": "x", "note": "typed"}, headers=headers)
    assert refused.status_code == 400
    assert 'name="note" maxlength="500" autocomplete="off" value="typed"' in refused.text


def test_the_stream_of_a_page_ends_when_its_key_may_not_read_any_more(house):
    as_key = {"authorization": f"Bearer {house.secret('watching', ['read'])}"}
    with httpx.Client(base_url=house.url, timeout=30, headers=as_key) as http:
        while http.get("/web").status_code == 303:  # this front has not loaded the key yet
            pass
        with http.stream("GET", "/web/stream") as answer:
            lines = answer.iter_lines()
            assert "event: change" in lines
            assert house.api.patch("/v1/keys/watching", json={"abilities": ["produce"]}).status_code == 200
            until_s = time.monotonic() + 20
            for _ in lines:  # ends: the server closes it
                assert time.monotonic() < until_s, "it did not end"


def test_the_api_does_not_accept_the_cookie_of_the_page(house):
    """The cookie is for the page only: another site's form can't send it, and the API accepts no cookies."""
    browser = house.login("admin")
    assert browser.http.get("/v1/queues").status_code == 401


def test_static_files_of_the_page_need_no_login(house):
    page = httpx.get(f"{house.url}/web/login").text
    for address in re.findall(r'(?:href|src)="(/web/static/[^"]+)"', page):
        assert httpx.get(house.url + address).status_code == 200, address
