"""Every screen can be used by everybody: axe finds nothing, in light and in dark, on a desktop and on a phone."""

import pytest
from playwright.sync_api import expect

from tests.system.browser.conftest import DESKTOP, PHONE, offences, too_wide
from tests.system.browser.scenes import everyday, hostile, screens
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(40)


@pytest.fixture(scope="module")
def everything(api):
    return screens(api, everyday(api), "imports"), screens(api, hostile(api), "evil")


def test_axe_finds_nothing_wrong_on_any_screen_at_any_width_in_light_and_in_dark(look, server, everything):
    page = look(f"{server.url}/web")
    found = []
    for name, path in everything[0].items():
        page.goto(f"{server.url}/web{path}")
        for width, size in (("phone", PHONE), ("desktop", DESKTOP)):
            page.set_viewport_size(size)
            found += [f"{name}, {width}: {one}" for one in offences(page)]
            if too_wide(page) > 0:
                found.append(f"{name}, {width}: wider than the window by {too_wide(page)} pixels")
        page.emulate_media(color_scheme="dark")  # at the width at which nothing is hidden; no colour depends on it
        found += [f"{name}, dark: {one}" for one in offences(page, ["color-contrast", "link-in-text-block"])]
        page.emulate_media(color_scheme="light")
    look.said[:] = [line for line in look.said if "404" not in line]  # the browser itself says that a page was not found
    assert not found, "\n".join(found)


def test_screens_full_of_markup_run_none_of_it_and_stay_in_the_window(look, server, everything):
    page = look(f"{server.url}/web", phone=True)
    for name, path in everything[1].items():
        page.goto(f"{server.url}/web{path}")
        page.wait_for_load_state("networkidle" if name == "job" else "load")
        assert page.evaluate("document.querySelectorAll('main script, main img').length") == 0
        assert too_wide(page) <= 0, name
    look.said[:] = [line for line in look.said if "404" not in line]


def test_the_help_dialog_and_the_notices_are_accessible_too(look, server, everything):
    page = look(f"{server.url}/web?done=queue.purge&n=12")
    expect(page.get_by_text("Jobs purged: 12.")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert not offences(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_all_of_it_works_without_scripts(look, server, api, everything):
    page = look(f"{server.url}/web/queues/reports", scripts=False)
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_text("Queue paused")).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    page.goto(f"{server.url}/web/bulk?way=promote&all=1&queue=reports")
    page.get_by_role("button", name="Run now 35 jobs").click()
    expect(page.get_by_role("heading", name="Promote: ")).to_be_visible()

    def is_done():
        page.reload()  # a screen without scripts shows what was so when it came
        return page.get_by_role("heading", name="Promote: done").is_visible()

    until(is_done, "the operation is done")
    expect(page.get_by_text("35 of 35 done")).to_be_visible()
    page.goto(f"{server.url}/web/jobs/{api.put('reports', {'n': 12345678901234567890})[0]}")
    page.get_by_role("link", name="Show", exact=True).click()
    expect(page.get_by_text("12345678901234567890")).to_be_visible()
