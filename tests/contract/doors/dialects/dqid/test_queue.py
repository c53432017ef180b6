"""The queue itself: first in, first out; bounded; nothing dropped, whoever dies or hangs up in between."""

import json
import signal
from contextlib import suppress
from http.client import HTTPException

import httpx
import pytest

from tests.contract.doors.servers import out_of_order, side_by_side, taking
from tests.system.whole.servers import Call, Server, until


def push(client: httpx.Client, message: str) -> int:
    answer = client.post("/push", json={"msg": message})
    assert answer.status_code == 200, answer.text
    return int(answer.json()["id"])


def get(client: httpx.Client) -> str | None:
    answer = client.get("/get")
    assert answer.status_code in (200, 204), answer.text
    return json.loads(answer.content) if answer.status_code == 200 else None


def size(client: httpx.Client) -> int:
    return int(client.get("/stats").json()["queueSize"])


def test_a_message_that_was_given_is_concluded(client):
    job = push(client, "it")
    assert get(client) == "it"
    assert client.get(f"/v1/jobs/{job}").json()["state"] == "concluded"
    assert get(client) is None


def test_an_empty_queue_answers_204_without_a_body(client):
    answer = client.get("/get")
    assert (answer.status_code, answer.content) == (204, b"")
    assert not {"content-length", "content-type", "transfer-encoding"} & set(answer.headers)


def test_a_queue_that_nobody_has_used_is_empty(serve):
    with serve().client() as client:
        assert client.get("/stats").json() == {"queueSize": 0}
        assert client.get("/get").status_code == 204
        assert client.get("/v1/queues/dqid").status_code == 404  # asking made none


def test_messages_come_in_the_order_in_which_they_were_pushed(client):
    for number in range(200):
        push(client, str(number))
    assert [get(client) for _ in range(201)] == [*map(str, range(200)), None]


def test_the_order_holds_for_many_readers_at_once(client, server):
    for number in range(600):
        push(client, str(number))
    taken = side_by_side(8, lambda _: taking(server, get))
    for mine in taken:
        numbers = [int(message) for _, _, message in mine]
        assert numbers == sorted(numbers)
    everything = [(begun, ended, int(message)) for mine in taken for begun, ended, message in mine]
    assert sorted(number for _, _, number in everything) == list(range(600))
    assert out_of_order(everything) == []


def test_the_order_of_each_producer_holds_while_all_push_and_take_at_once(client, server):
    def run(number: int) -> list[str]:
        with server.client() as mine:
            if number < 4:
                for count in range(100):
                    push(mine, f"{number} {count}")
                return []
            taken: list[str] = []
            while len(taken) < 100:
                if (message := get(mine)) is not None:
                    taken.append(message)
            return taken

    taken = side_by_side(8, run)[4:]
    assert sorted(message for mine in taken for message in mine) == sorted(f"{p} {n}" for p in range(4) for n in range(100))
    for mine in taken:
        for producer in "0123":
            counts = [int(message.split()[1]) for message in mine if message.startswith(producer)]
            assert counts == sorted(counts)


@pytest.mark.parametrize("capacity", [0, 1, 7])
def test_a_full_queue_refuses_and_drops_nothing(serve, capacity):
    with serve("--size", str(capacity)).client() as client:
        for number in range(capacity):
            push(client, str(number))
        for _ in range(3):
            answer = client.post("/push", json={"msg": "one too many"})
            assert (answer.status_code, answer.json()["code"]) == (429, "queue_full")
            assert int(answer.headers["retry-after"]) >= 1
        assert size(client) == capacity
        if capacity:
            assert get(client) == "0"
            push(client, str(capacity))
            assert client.post("/push", json={"msg": "one too many"}).status_code == 429
        assert [get(client) for _ in range(capacity + 1)] == [*map(str, range(1, capacity + 1)), None][-capacity - 1 :]


def test_many_producers_at_once_do_not_get_past_the_bound(serve):
    server = serve("--size", "50")

    def run(number: int) -> list[int]:
        with server.client() as mine:
            return [mine.post("/push", json={"msg": f"{number} {count}"}).status_code for count in range(20)]

    statuses = [status for some in side_by_side(8, run) for status in some]
    assert (statuses.count(200), statuses.count(429)) == (50, 110)
    with server.client() as client:
        assert size(client) == 50


def test_the_size_is_what_counts_against_the_bound(client):
    assert client.patch("/v1/queues/dqid", json={"capacity_jobs": 3}).status_code == 200
    push(client, "leased")
    assert len(client.post("/v1/leases", json={"queues": ["dqid"], "lease_ms": 1_000}).json()["jobs"]) == 1
    push(client, "ready")
    assert client.post("/v1/queues/dqid/jobs", json={"payload": "later", "delay_ms": 60_000}).status_code == 201
    assert client.get("/stats").json() == {"queueSize": 3}
    assert client.post("/push", json={"msg": "one too many"}).status_code == 429
    client.get("/get")
    assert client.get("/stats").json() == {"queueSize": 2}
    until(lambda: client.get("/v1/queues/dqid").json()["jobs"]["leased"] == 0, "the lease has ended")


def test_a_message_whose_taker_died_is_given_again_before_younger_ones(client):
    push(client, "first")
    push(client, "second")
    taken = client.post("/v1/leases", json={"queues": ["dqid"], "lease_ms": 300}).json()["jobs"]  # and never concluded
    assert [job["payload"] for job in taken] == ["first"]
    until(lambda: client.get("/v1/queues/dqid").json()["jobs"]["ready"] == 2, "the lease has ended")
    assert [get(client) for _ in range(3)] == ["first", "second", None]


def test_nobody_is_given_a_message_after_hanging_up(client, server):
    for number in range(3):
        push(client, str(number))
    server.send(signal.SIGSTOP, server.keeper)
    try:
        callers = [Call(server, "GET", "/get") for _ in range(5)]
        server.has_read_everything()
        for caller in callers:
            caller.connection.close()
        server.has_read_everything()
    finally:
        server.send(signal.SIGCONT, server.keeper)
    until(lambda: client.get("/v1/queues/dqid").json()["jobs"]["ready"] == 3, "everything is back")
    assert [get(client) for _ in range(4)] == ["0", "1", "2", None]


def test_a_restart_keeps_everything(serve):
    first = serve(store="sqlite:///jobs.db")
    with first.client() as client:
        for number in range(5):
            push(client, f"message {number}")
        assert get(client) == "message 0"
    first.send(signal.SIGTERM)
    assert first.ended() == 0
    with serve(store="sqlite:///jobs.db").client() as client:
        assert client.get("/stats").json() == {"queueSize": 4}
        assert [get(client) for _ in range(5)] == [*(f"message {number}" for number in range(1, 5)), None]


def test_kill_9_loses_no_message_that_was_answered_with_200(tmp_path):
    """Of the messages that were acknowledged, each was given, or is still there, or was concluded for a reader whose answer was cut."""
    home = tmp_path / "home"
    server = Server(home, "--store", "sqlite:///jobs.db", "--log-level", "warning").start()
    acknowledged: list[int] = []
    given: list[str] = []

    def run(number: int) -> int:
        broken = 0
        with suppress(httpx.HTTPError, HTTPException, OSError), server.client() as mine:
            while True:
                if number < 3:
                    acknowledged.append(push(mine, f"{number} {len(acknowledged)}"))
                    if len(acknowledged) > 300:
                        server.kill_all()
                else:
                    broken = 1
                    if (message := get(mine)) is not None:
                        given.append(message)
                    broken = 0
        return broken

    try:
        cut = sum(side_by_side(6, run))
        server.gone()
        again = Server(home, "--store", "sqlite:///jobs.db", "--log-level", "warning").start()
        try:
            with again.client() as client:
                jobs = [client.get(f"/v1/jobs/{job}").json() for job in acknowledged]
        finally:
            again.destroy()
    finally:
        server.destroy()
    assert len(given) == len(set(given))
    assert {job["state"] for job in jobs} <= {"ready", "leased", "concluded"}
    kept_away = {job["payload"] for job in jobs if job["state"] == "concluded"} - set(given)
    assert len(kept_away) <= cut
    assert not {job["payload"] for job in jobs if job["state"] != "concluded"} & set(given)
