"""kill -9 of the server under a client that pushes, and its return: what was answered is kept, and nothing is there twice."""

import threading
from collections import Counter

from holdfast import Client
from holdfast.client import Event
from tests.contract.client.clients import PATIENCE_S


def test_a_server_that_is_killed_and_comes_back_costs_the_client_nothing(clients, serve):
    server = serve()
    client = clients(server.url)
    put: list[int] = []
    enough, stop = threading.Event(), threading.Event()
    trouble: list[BaseException] = []

    def push() -> None:
        try:
            while not stop.is_set():
                put.append(client.enqueue("q", len(put)).id)
                if len(put) % 50 == 0:
                    enough.set()
        except Exception as error:  # noqa: BLE001  (the test shows it)
            trouble.append(error)

    thread = threading.Thread(target=push)
    thread.start()
    for _ in range(2):
        enough.clear()
        assert enough.wait(30), trouble
        port = server.port
        server.kill_all()
        server.gone()
        server = serve("--port", str(port))
    enough.clear()
    assert enough.wait(30), trouble
    stop.set()
    thread.join(30)
    assert not trouble
    with Client(server.url, deadline_s=PATIENCE_S) as witness:
        there = Counter(job.payload for job in witness.jobs(queue="q", page=1_000))
    assert there == Counter(range(len(put)))


def test_a_stream_of_events_goes_on_after_a_restart_and_tells_of_the_gap(serve):
    server = serve()
    seen: list[Event] = []
    first, gap, second = threading.Event(), threading.Event(), threading.Event()

    def watch() -> None:
        with Client(server.url, deadline_s=PATIENCE_S) as client:
            for event in client.events("q"):
                seen.append(event)
                if event.event == "gap":
                    gap.set()
                elif event.event == "enqueued":
                    (second if gap.is_set() else first).set()
                if second.is_set():
                    return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    with Client(server.url, deadline_s=PATIENCE_S) as client:
        while not first.wait(0.05):
            client.enqueue("q")
        server.kill_all()
        server.gone()
        server = serve("--port", str(server.port))
        assert gap.wait(30)
        while not second.wait(0.05):
            client.enqueue("q")
    thread.join(30)
    assert {event.queue for event in seen if event.event != "gap"} == {"q"}
