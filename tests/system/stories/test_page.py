"""The stories in a browser: each from the screen that its alert links to, to the end."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.system.stories import scenes
from tests.system.stories.steps import WITHIN_S, Walk, alert
from tests.system.whole.servers import until

pytestmark = pytest.mark.long(150)


@pytest.fixture
def walk(look, server):
    """Begins a story at a screen."""
    return lambda path: Walk(look(f"{server.url}{path}"))


def test_a_deploy_that_broke_one_type_is_found_contained_and_made_good(walk, api, programs, queue):
    scenes.a_deploy_broke_one_type(api, programs, queue)
    story = walk(alert("HoldfastJobsDied", queue=queue))
    broken = story.page.locator("tr", has_text="KeyError: 'customer'")
    expect(broken.locator("td[data-label=Dead]")).to_have_text("40")
    expect(story.page.locator("tr", has_text="has no address").locator("td[data-label=Dead]")).to_have_text("1")
    story.link("List", within=broken)
    story.button("Pause type")
    story.see("Type paused")
    with story.aside():
        api.put(queue, 4712, count=5, type="invoice")
        programs.deploy(queue, "1.2")
    assert api.counts(queue)["ready"] == 5
    story.button("Resume type")
    story.link("Retry…")
    story.button("Retry 40 jobs")
    story.see("40 of 40 done")
    story.link(f"Watch {queue}")
    expect(story.page.locator("#count-concluded .big")).to_have_text("65")
    expect(story.page.locator("#count-dead .big")).to_have_text("1")
    expect(story.page.locator(".facts div", has_text="Completed/s")).to_contain_text("over")
    story.end_of("1")


def test_the_jobs_of_a_dead_worker_are_taken_back(walk, api, programs, bereaved):
    until(lambda: scenes.is_silent(api, bereaved), "it is missed", 90)
    story = walk("/web")
    problem = story.page.locator(".problems li", has_text=f"The worker {bereaved}-1.0")
    expect(problem).to_contain_text("and holds 200 jobs")
    story.link("Take them back…", within=problem)
    story.button("Take leases back 200 jobs")
    story.see("200 of 200 done")
    assert api.counts(bereaved) == {"ready": scenes.HOLDERS}
    expect(story.page.locator(".notice.good")).to_be_visible()
    story.end_of("2")


def test_a_tenant_that_floods_a_queue_is_seen_and_another_gets_more(walk, api, programs, queue):
    scenes.a_tenant_floods(api, programs, queue)
    story = walk(alert("HoldfastQueueNearlyFull", queue=queue))
    small = story.page.locator("tr", has_text="tenant-2")
    expect(small).to_contain_text("50.0 %")
    story.type(small.get_by_label("Weight of tenant-2"), "4")
    story.button("Set", within=small)
    expect(small).to_contain_text("80.0 %")
    story.end_of("3")


def test_an_account_that_gets_429_is_blocked_and_unblocked(walk, api, programs, queue):
    with scenes.a_bank() as (bank, limited):
        scenes.an_api_answers_429(api, programs, queue, f"bank-{queue}", bank, limited)
        story = walk(alert("HoldfastAttemptsFail", queue=queue))
        story.link("Too Many Requests", exact=False)
        story.click(story.page.get_by_role("link", name=f"bank-{queue}/tenant-7", exact=True).first)
        account = story.page.locator("tr", has_text="tenant-7")
        story.button("Block", within=account)
        expect(account).to_contain_text("blocked")
        expect(account.locator("td[data-label=Waiting]")).to_have_text("12")
        with story.aside():
            limited.clear()
        story.button("Unblock", within=account)
        story.see("Unblocked.")
        until(scenes.counted(api, queue, concluded=24), "all are charged")
        story.end_of("4")
        programs.close()


def test_of_a_full_queue_it_is_seen_who_fills_and_who_empties_it(walk, api, programs, queue):
    scenes.a_queue_is_full(api, programs, queue)
    story = walk(alert("HoldfastQueueFull", queue=queue))
    story.see("It is full (jobs) and refuses new jobs.")
    waits = story.page.locator("section", has=story.page.get_by_role("heading", name="What waits"))
    expect(waits.locator("tr", has_text="slow")).to_be_visible()
    expect(story.page.locator("section", has=story.page.get_by_role("heading", name="Running now"))).to_contain_text(
        f"{queue}-1.0"
    )
    story.type(story.page.get_by_label("Capacity, jobs"), "2,000")
    story.button("Save")
    story.see("Settings saved.")
    api.put(queue, type="slow")
    with story.aside():
        programs.deploy(queue, "1.0")
    expect(story.page.locator("#count-ready .big")).to_have_text("0")
    story.end_of("5")


def test_a_poison_job_is_put_out_of_the_way(walk, api, programs, queue):
    scenes.a_poison_job(api, programs, queue)
    story = walk(alert("HoldfastWorkersCrash", queue=queue))
    poison = story.page.locator("tr", has_text="poison")
    expect(poison).to_contain_text("crashed")
    story.link("Move…", within=poison)
    story.type(story.page.get_by_label("Target queue"), f"{queue}.poison")
    story.button("Move 1 job")
    story.see("1 of 1 done")
    story.link(f"Watch {queue}.poison")
    story.button("Pause")
    story.see("Queue paused")
    assert api.counts(f"{queue}.poison") == {"ready": 1}
    story.end_of("6")


def test_a_job_that_does_not_run_says_why_and_leads_to_what_ends_it(walk, api, programs, queue):
    job = scenes.a_job_does_not_run(api, programs, queue)
    story = walk("/web")
    story.key("/")
    story.type(story.page.locator("#find"), str(job))
    story.key("Enter")
    story.see(f"Jobs of the type 'invoice' in queue {queue} are paused.")
    story.button("Resume the type")
    story.see("Type resumed.")
    expect(story.page.locator("h1 .badge")).to_have_text("concluded")
    story.end_of("7")


@pytest.mark.parametrize(("by", "story_of"), [("text", "8"), ("meta", "8b"), ("worker", "8b"), ("time", "8c")])
def test_one_job_of_one_customer_is_found_among_100000(walk, api, haystack, by, story_of):
    story = walk("/web")
    if by == "time":
        story.link("orders")
        story.click(story.page.locator("#count-concluded"))
    else:
        story.link("Jobs")
    if by != "text":
        story.click(story.page.get_by_text("More filters, order"))
    labels = {"text": "Text in payload or error", "meta": "Meta", "worker": "Worker", "time": "Newer than"}
    story.type(story.page.get_by_role("search", name="Filter jobs").get_by_label(labels[by], exact=True), haystack[by])
    story.button("Show")
    expect(story.page.locator(f"#job-{haystack['id']}")).to_be_visible()
    story.end_of(story_of)


def test_100000_dead_jobs_are_retried_at_a_pace(walk, api, programs, queue):
    scenes.dead_jobs(api, queue, scenes.REDRIVEN)
    story = walk(alert("HoldfastJobsDied", queue=queue))
    story.link("retry…")
    story.see(re.compile(rf"Retry (at least )?{scenes.REDRIVEN:,} jobs\?"))
    story.type(story.page.get_by_label("Jobs a second"), str(scenes.PER_S))
    story.click(story.page.get_by_role("button", name=re.compile("^Retry")))
    story.see(re.compile("the rest in about"))
    with story.aside():
        number = re.search(r"/operations/(\d+)", story.page.url)[1]
        began, before = time.monotonic(), api.http.get(f"/v1/operations/{number}").json()["done"]
        until(lambda: api.http.get(f"/v1/operations/{number}").json()["state"] == "done", "all are ready", 10 * WITHIN_S)
        took, done = time.monotonic() - began, scenes.REDRIVEN - before
    assert done / took <= 1.1 * scenes.PER_S
    expect(story.page.get_by_role("heading", name="Retry: done")).to_be_visible()
    assert api.counts(queue) == {"ready": scenes.REDRIVEN}
    story.end_of("9")
