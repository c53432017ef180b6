"""Flower, the dashboard of Celery, sees the workers and tasks of a project whose broker is a Holdfast server."""

import httpx
import pytest

from cluster.ports import free_port
from tests.contract.celery.processes import Program, until, worker
from tests.contract.celery.test_stories import results, shop

__all__ = ["results", "shop"]

pytestmark = pytest.mark.long(20)


@pytest.fixture
def flower(shop):
    """Its API, as its pages ask it."""
    port = free_port()
    program = Program("flower", "--address=127.0.0.1", f"--port={port}", FLOWER_UNAUTHENTICATED_API="true")
    try:
        program.said.wait_for("Connected to")
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api", timeout=60) as client:
            yield client
        program.stop()
    finally:
        program.kill()


def test_it_shows_workers_and_tasks_and_controls_them(shop, flower):
    with worker("-E", "-n", "anna@%h"):
        done, failed = shop.price.delay(4), shop.total.delay(None)
        ends = {done.id: "SUCCESS", failed.id: "FAILURE"}
        seen = until(lambda: {number: task["state"] for number, task in flower.get("/tasks").json().items()} == ends)
        assert seen, flower.get("/tasks").json()
        shown = flower.get(f"/task/info/{done.id}").json()
        assert (shown["name"], shown["args"], shown["result"]) == ("shop.price", "(4,)", "40")
        told = until(lambda: asked(flower))  # what it has asked when it started, with no worker there, may still be on its way
        [name] = told
        assert name.startswith("anna@")
        assert [queue["name"] for queue in told[name]["active_queues"]] == ["celery"]
        answer = flower.post(f"/worker/pool/grow/{name}", params={"n": 1})
        assert answer.status_code == 200, answer.text
        assert until(lambda: len(asked(flower)[name]["stats"]["pool"]["processes"]) == 2)


def asked(flower):
    """What it knows of workers, by asking them."""
    return flower.get("/workers", params={"refresh": 1}).json()
