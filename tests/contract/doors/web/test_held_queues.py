"""A queue whose row another program holds is seen wherever an operator looks, and what is said there ends it."""

import re
import sys
from contextlib import closing

import pytest

from cluster.processes import wait_until
from cluster.replicated import replicated
from tests import prefork
from tests.contract.doors.servers import serving
from tests.contract.doors.web.conftest import Browser

WITHIN_S = 20


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    with replicated(tmp_path_factory.mktemp("group"), standbys=0, needed=0) as made:
        yield made


def test_a_held_queue_is_on_the_page_in_a_metric_in_readyz_and_in_doctor_and_what_they_say_ends_it(group, tmp_path):
    with serving(tmp_path / "home", store=group.url) as server:
        browser = Browser(server.url)
        browser.put("mail", {"n": 1})
        browser.put("free", {"n": 1})
        assert 'holdfast_set_aside{what="queue"} 0.0' in browser.http.get("/metrics").text
        with closing(group.primary.connect("postgres", "holdfast")) as holder:
            holder.execute(
                "SET application_name = 'a console'; BEGIN; SELECT 1 FROM holdfast.queue WHERE name = 'mail' FOR UPDATE"
            )
            pid = holder.execute("SELECT pg_backend_pid()").fetchone()[0]
            refused = browser.http.post("/v1/queues/mail/jobs", json={"payload": 1})
            assert (refused.status_code, refused.json()["code"]) == (503, "store_unavailable")
            end = f"SELECT pg_terminate_backend({pid})"
            for path in ("", "/store"):
                wait_until(lambda path=path: end in browser.text(path), WITHIN_S, "the page does not say so")
                assert (
                    f"The queue mail is blocked, because its row in the database is locked by a console (process {pid}"
                    in browser.text(path)
                )
            assert 'holdfast_set_aside{what="queue"} 1.0' in browser.http.get("/metrics").text
            ready = browser.http.get("/readyz")
            assert (ready.status_code, ready.json()["warnings"]) == (200, ["queues_held"])
            told = doctor(group.url)
            assert re.search(
                r"warning +queue_held\n +The queue mail is held since \d+ s: session \d+ of postgres \(a console\)", told
            )
            assert end in " ".join(told.split())
            assert "queue free" not in told
            with group.primary.connect("postgres", "holdfast") as other:
                other.execute(end)
            wait_until(lambda: "is blocked" not in browser.text(""), WITHIN_S, "the page does not say that it is free")
            assert browser.http.post("/v1/queues/mail/jobs", json={"payload": 1}).status_code == 201
        assert "queue_held" not in doctor(group.url)
        browser.http.close()


def doctor(url):
    command = [sys.executable, "-m", "holdfast", "doctor", "--store", url]
    return prefork.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
