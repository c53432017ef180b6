"""The list of jobs in a browser: a search that goes on by itself, says how far it is and can be stopped; and chosen columns."""

import re
import sys

import pytest
from playwright.sync_api import expect

from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser

pytestmark = pytest.mark.long(20)

ONE_LOOK = """
import runpy, sys
import holdfast.doors.web.job_list
holdfast.doors.web.job_list._FIRST_S = holdfast.doors.web.job_list._SEARCH_S = 0
sys.argv = ["holdfast", *sys.argv[4:]]
runpy.run_module("holdfast", run_name="__main__")
"""
"""A server that looks once for each answer, where it would look for a second and a half: else a search would need some million jobs to go on."""
QUEUE = "long"
MATCHING = (5, 25_000, 49_999)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A queue with 50,000 jobs, and the three of them with something to be found."""
    with serving(tmp_path_factory.mktemp("search"), wrapper=(sys.executable, "-c", ONE_LOOK)) as server:
        api = Browser(server.url)
        ids = []
        for first in range(0, 50_000, 1_000):
            jobs = [
                {"queue": QUEUE, "payload": "needle" if place in MATCHING else "hay"} for place in range(first, first + 1_000)
            ]
            ids += [job["id"] for job in api.http.post("/v1/jobs", json={"jobs": jobs}).json()["jobs"]]
        yield server.url, [ids[place] for place in MATCHING]
        api.http.close()


def test_a_search_goes_on_by_itself_until_all_was_looked_at(look, searched):
    url, ids = searched
    page = look(f"{url}/web/jobs?queue={QUEUE}&text=needle")
    for job in ids:
        expect(page.locator(f"#job-{job}")).to_be_visible()
    expect(page.locator("#said")).to_have_text("The search has ended: 3 jobs.")
    expect(page.locator("#search-state")).to_have_count(0)
    expect(page.locator("#found tbody tr")).to_have_count(3)
    page.get_by_label("All on this page").check()
    expect(page.locator("#picked")).to_have_text("3 selected")


def test_a_search_says_how_far_it_is_and_is_stopped_and_goes_on_by_hand(look, searched):
    url, ids = searched
    held = []

    def hold(page):
        page.route(re.compile("cursor="), lambda route: held.append(route) if not held else route.continue_())

    page = look(f"{url}/web/jobs?queue={QUEUE}&text=needle", prepare=hold)
    expect(page.locator("#search-state")).to_have_text("Looked at 20,000 of 50,000 jobs.")
    page.get_by_role("button", name="Stop").click()
    held[0].continue_()
    expect(page.locator("#said")).to_have_text("The search was stopped.")
    expect(page.locator("#search-state")).to_have_text("Looked at 40,000 of 50,000 jobs.")
    expect(page.locator("#found tbody tr")).to_have_count(2)
    page.get_by_role("link", name="Search more").click()
    expect(page.locator(f"#job-{ids[2]}")).to_be_visible()


def test_without_scripts_a_search_is_gone_on_with_by_a_link(look, searched):
    url, ids = searched
    page = look(f"{url}/web/jobs?queue={QUEUE}&text=needle", scripts=False)
    expect(page.locator("#search-state")).to_have_text("Looked at 20,000 of 50,000 jobs.")
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    for job in ids[1:]:
        page.get_by_role("link", name="Search more").click()
        expect(page.locator(f"#job-{job}")).to_be_visible()


def test_columns_are_chosen_and_kept_without_scripts_and_on_a_phone(look, searched):
    url, ids = searched
    page = look(f"{url}/web/jobs?queue={QUEUE}&state=ready", scripts=False, phone=True)
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="Priority").check()
    page.get_by_role("checkbox", name="Payload").uncheck()
    page.get_by_role("button", name="Show these columns").click()
    expect(page.get_by_role("columnheader", name="Priority")).to_be_visible()
    page.goto(f"{url}/web/jobs?queue={QUEUE}&state=ready&reverse=1")
    expect(page.get_by_role("columnheader", name="Priority")).to_be_visible()
    expect(page.locator("tbody tr").first.get_by_role("link")).to_have_text(str(ids[2]))


def test_a_job_is_found_by_a_value_in_its_payload(look, searched):
    url, _ = searched
    api = Browser(url)
    api.put("orders", count=3, payload={"order": {"id": 41}})
    (mine,) = api.put("orders", payload={"order": {"id": 42}})
    api.http.close()
    page = look(f"{url}/web/jobs?queue=orders")
    page.get_by_text("More filters, order").click()
    page.get_by_label("Field in payload").fill("order.id=42")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("#found tbody tr")).to_have_count(1)
    expect(page.locator(f"#job-{mine}")).to_be_visible()
    expect(page.get_by_label("Field in payload")).to_have_value("order.id=42")
