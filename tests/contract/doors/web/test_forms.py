"""A form is taken from our own pages alone, on every front, and says what will happen before it does."""

import re

import pytest

from holdfast.doors.web import forms


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
