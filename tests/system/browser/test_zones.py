"""Times are those of the reader's clock, and UTC when one points at them."""

import re

from playwright.sync_api import expect

LOCAL = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GMT\+5:30")
UTC = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")


def test_a_moment_is_of_the_readers_zone_and_utc_when_one_points_at_it(look, server, api):
    (job,) = api.put("zoned")
    page = look(f"{server.url}/web/queues/zoned", zone="Asia/Kolkata")
    began = page.locator(".plots p time")
    expect(began).to_have_text(LOCAL)
    expect(began).to_have_attribute("title", UTC)
    expect(page.locator("#zone")).to_have_text(re.compile("times are of Asia/(Kolkata|Calcutta), UTC when you point at them"))
    page.goto(f"{server.url}/web/jobs/{job}")
    enqueued = page.locator(".life-ends time").first
    expect(enqueued).to_contain_text("enqueued")
    expect(enqueued).to_have_attribute("title", re.compile(LOCAL.pattern + "\\n" + UTC.pattern))


def test_a_moment_stays_of_the_readers_zone_while_the_screen_is_updated(look, server, api):
    api.put("zoned.live")
    page = look(f"{server.url}/web", zone="Asia/Kolkata")
    expect(page.locator("#live")).to_have_attribute("data-how", "stream")
    since = page.locator("[data-live] .bar time")
    expect(since).to_have_text(re.compile(r"\d\d:\d\d:\d\d GMT\+5:30"))
    api.put("zoned.live", count=2)
    expect(page.locator("tr", has=page.locator("[id='queue-zoned.live']")).locator("td").nth(1)).to_have_text("3")
    expect(since).to_have_text(re.compile(r"\d\d:\d\d:\d\d GMT\+5:30"))


def test_without_scripts_and_in_utc_they_are_utc(look, server, api):
    api.put("zoned.plain")
    page = look(f"{server.url}/web/queues/zoned.plain", zone="Asia/Kolkata", scripts=False)
    expect(page.locator(".plots p time")).to_have_text(UTC)
    expect(page.get_by_text("all times are UTC")).to_be_visible()
    page = look(f"{server.url}/web/queues/zoned.plain")
    expect(page.locator(".plots p time")).to_have_text(UTC)
    expect(page.get_by_text("all times are UTC")).to_be_visible()
