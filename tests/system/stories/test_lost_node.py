"""The last story: of two nodes over one PostgreSQL one is killed, on the page of the other and on the command line."""

import signal
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import expect

from cluster.postgres import server as postgres
from tests.contract.doors.web.conftest import Browser
from tests.system.stories.scenes import Programs, dead_jobs, exporter
from tests.system.stories.steps import Shell, Walk, alert
from tests.system.whole.servers import Server

pytestmark = pytest.mark.long(60)
HELD, DEAD = 20, 300


@pytest.fixture
def bereaved() -> None:
    """No worker has to die here."""


@pytest.fixture
def lost(tmp_path):
    """The node that is left, after the other was killed with everything going on: workers, leases, an operation."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres(tmp_path / "postgres"))
        nodes = [Server(tmp_path / name, "--store", database.url(), "--log-level", "warning").start() for name in ("a", "b")]
        for one in nodes:
            stack.callback(one.destroy)
        api = Browser(nodes[0].url)
        stack.callback(api.http.close)
        programs = Programs(",".join(one.url for one in nodes))
        stack.callback(programs.close)
        api.put("exports", count=HELD, type="export")
        exporter(programs, "exports", HELD)
        dead_jobs(api, "mail", DEAD)
        begun = {"do": "retry", "filter": {"queue": "mail"}, "per_s": 50}
        api.http.post("/v1/operations", json=begun).raise_for_status()
        nodes[0].send(signal.SIGKILL, *nodes[0].pids())
        nodes[0].gone()
        left = Browser(nodes[1].url)
        stack.callback(left.http.close)
        yield left, nodes, Path(tmp_path)


def test_the_page_of_the_other_node_shows_that_all_is_there_and_goes_on(look, lost):
    api, nodes, _ = lost
    story = Walk(look(f"{nodes[1].url}{alert('HoldfastOneIsDown')}"))
    table = story.page.get_by_role("region", name="Queues, table")
    expect(table.locator("tr", has_text="exports")).to_contain_text(str(HELD))
    story.link("Store")
    story.see("Healthy: accepts new jobs.")
    story.link("Operations")
    story.link("retry", exact=False)
    story.see(f"{DEAD} of {DEAD} done")
    story.link("Workers")
    expect(story.page.locator("tr", has_text="exports-1.0")).to_contain_text("working")
    expect(story.page.locator("tr", has_text="exports-1.0").get_by_text("silent")).to_have_count(0)
    story.end_of("10")
    story.page.close()  # before the server
    assert api.counts("exports") == {"leased": HELD}
    assert api.counts("mail") == {"ready": DEAD}


def test_the_command_line_goes_to_the_other_node_by_itself(lost):
    api, nodes, folder = lost
    run = Shell(",".join(one.url for one in nodes), folder)
    assert f"{HELD} leased" in run("stats")
    number = run("operation", "list", "-o", "id").splitlines()[-1].strip()
    assert f"done, {DEAD} of {DEAD} jobs" in run("operation", "wait", number)
    assert "silent" not in run("worker", "ls")
    run.end_of("10")
    assert api.counts("exports") == {"leased": HELD}
    assert api.counts("mail") == {"ready": DEAD}
