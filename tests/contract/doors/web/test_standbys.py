"""The page over PostgreSQL with a standby that is needed: how jobs are kept, and what is said first when the standby dies."""

import pytest

from cluster.processes import wait_until
from cluster.replicated import replicated
from tests.contract.doors.servers import serving
from tests.contract.doors.web.alerts import exported, rules, unknown_names
from tests.contract.doors.web.conftest import Browser, Markup

WITHIN_S = 20


@pytest.fixture
def group(tmp_path):
    with replicated(tmp_path / "group", standbys=1, needed=1) as made:
        yield made


def test_the_overview_shows_the_standbys_and_first_of_all_that_one_is_missing(group, tmp_path):
    with serving(tmp_path / "home", "--replicas", "1", store=group.url) as server:
        browser = Browser(server.url)
        browser.put("mail", {"n": 1})
        kept = Markup(browser.get("")).text
        assert "1 of 1 standbys in sync" in kept
        assert "behind at most" in kept
        assert "healthy" in kept
        store = browser.text("/store")
        assert "after it is on disk (fsync), here and on 1 standby" in store
        assert "Standbys in sync 1 of 1 needed" in store
        series = exported(browser.http.get("/metrics").text)
        found = rules("holdfast-standbys.rules.yml")
        assert found
        assert not [
            (rule["alert"], wrong) for rule in found for wrong in unknown_names(rule["expr"], str(rule["annotations"]), series)
        ]

        group.standbys[0].kill()
        wait_until(lambda: "Too few standbys" in browser.text(""), WITHIN_S, "the page does not say that the standby is gone")
        html = browser.get("")
        problem = html[html.index('<ul class="problems">') :].partition("</li>")[0]
        assert "Too few standbys" in problem
        assert "refuses new jobs" in Markup(html).text
        assert "0 of 1 standbys" in Markup(html).text
        assert "1 of 1 jobs" not in problem
        assert '<a href="/web/store"' in problem
        assert "0 of 1 needed" in browser.text("/store")
        refused = browser.http.post("/v1/queues/mail/jobs", json={"payload": 1})
        assert (refused.status_code, refused.json()["code"]) == (503, "not_replicated")

        group.lost[0].start()
        group.wait_streaming()
        wait_until(lambda: "1 of 1 standbys" in browser.text(""), WITHIN_S, "the page does not say that the standby is back")
        browser.http.close()
