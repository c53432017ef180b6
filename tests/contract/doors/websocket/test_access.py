"""Every message of the live channel × every ability, on a queue that the key may see and on another; and a handshake without a key."""

import contextlib
import itertools
import json
import time

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from holdfast.auth.keys import Ability
from holdfast.doors.websocket.channel import _VERBS
from holdfast.testing.local import LocalServer
from tests.contract.doors.websocket.channel import PATIENCE_S, ChannelClient, open_channel, token

_numbers = itertools.count(1)
MESSAGES = {
    "start": "consume",
    "batch": "consume",
    "enqueue": "produce",
    "publish": "publish",
    "credits": None,
    "got": None,
    "ping": None,
}


class House:
    def __init__(self, server: LocalServer) -> None:
        self.url = server.url
        self.api = httpx.Client(base_url=server.url, timeout=PATIENCE_S)
        root = self.secret(["admin"], ["*"])
        self.api.headers["authorization"] = f"Bearer {root}"
        while self.api.get("/v1/keys").status_code != 200 or httpx.get(f"{server.url}/v1/keys").status_code != 401:
            pass

    def secret(self, abilities, queues, **more) -> str:
        made = self.api.post("/v1/keys", json={"name": f"k{next(_numbers)}", "abilities": abilities, "queues": queues, **more})
        assert made.status_code == 201, made.text
        return made.json()["secret"]

    @contextlib.contextmanager
    def channel(self, abilities, queues=("r.*",), **more):
        secret = self.secret(abilities, list(queues), **more)
        while httpx.get(f"{self.url}/v1/keys", headers={"authorization": f"Bearer {secret}"}).status_code == 401:
            pass
        with open_channel(self.url, additional_headers={"authorization": f"Bearer {secret}"}) as line:
            yield line

    def lease(self, queue: str) -> str:
        self.api.post(f"/v1/queues/{queue}/jobs", json={"payload": 1})
        return token(self.api.post("/v1/leases", json={"queues": [queue]}).json()["jobs"][0])


@pytest.fixture(scope="module")
def house():
    with LocalServer() as server:
        yield House(server)


def said(house: House, line: ChannelClient, op: str, queue: str) -> dict:
    """Send it; returns the answer."""
    fields: dict = {
        "start": {"queues": [queue], "credits": 1},
        "batch": {"conclude": [{"token": house.lease(queue)}]} if op == "batch" else {},
        "enqueue": {"body": {"jobs": [{"queue": queue, "payload": 1}]}},
        "publish": {"body": {"data": {}}},
        "credits": {"credits": 1},
        "got": {"delivery": 1},
        "ping": {},
    }[op]
    line.send(op, ref="x", **fields)
    while True:
        message = json.loads(line.line.recv(PATIENCE_S))
        if message.get("ref") == "x":
            return message


def test_every_message_is_in_the_table():
    assert {kind.__struct_config__.tag for kind in _VERBS} == set(MESSAGES)


@pytest.mark.parametrize("ability", [ability.value for ability in Ability])
@pytest.mark.parametrize("op", sorted(MESSAGES))
def test_a_message_needs_its_ability(house, op, ability):
    needs = MESSAGES[op]
    with house.channel([ability]) as line:
        answer = said(house, line, op, f"r.{next(_numbers)}")
    if needs is None:
        assert answer.get("code") != "forbidden"
    elif ability in (needs, "admin"):
        assert answer["op"] != "error", answer
    else:
        assert (answer["op"], answer["code"], answer["ability"]) == ("error", "forbidden", needs)


@pytest.mark.parametrize("op", sorted(op for op, needs in MESSAGES.items() if needs))
def test_a_queue_that_the_key_may_not_see_cannot_be_used(house, op):
    queue = f"x.{next(_numbers)}"
    if op == "publish":
        house.api.put(f"/v1/interests/{queue}", json={"match": "*"})
    with house.channel(["admin"]) as line:
        answer = said(house, line, op, queue)
    if op == "publish":
        assert (answer["jobs"], answer["others"]) == ([], 1)
        house.api.delete(f"/v1/interests/{queue}")
    elif op == "batch":
        assert [one["code"] for one in answer["conclude"]] == ["lease_lost"]
    else:
        assert (answer["code"], answer["queue"]) == ("forbidden", queue)


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer hf_wrong"}])
def test_a_handshake_without_a_key_is_refused(house, header):
    with pytest.raises(InvalidStatus) as refused, open_channel(house.url, additional_headers=header):
        pass
    assert refused.value.response.status_code in (401, 429)


def test_an_edit_of_a_key_applies_to_its_open_channel(house):
    queue = f"r.{next(_numbers)}"
    made = house.api.post("/v1/keys", json={"name": "channel", "abilities": ["consume"], "queues": ["r.*"]}).json()
    headers = {"authorization": f"Bearer {made['secret']}"}
    while httpx.get(f"{house.url}/v1/keys", headers=headers).status_code == 401:
        pass
    with open_channel(house.url, additional_headers=headers) as line:
        assert said(house, line, "enqueue", queue)["ability"] == "produce"
        house.api.patch("/v1/keys/channel", json={"abilities": ["consume", "produce"]}).raise_for_status()
        while (answer := said(house, line, "enqueue", queue))["op"] == "error":
            assert answer["code"] == "forbidden"
        assert said(house, line, "start", queue)["op"] != "error"
        house.api.patch("/v1/keys/channel", json={"queues": ["s.*"]}).raise_for_status()
        while said(house, line, "enqueue", queue).get("code") != "forbidden":
            pass


@pytest.mark.parametrize("verb", ["conclude", "extend"])
def test_a_job_whose_queue_was_taken_from_the_key_of_its_channel_is_ready_again(house, verb):
    """The channel can't end it, and it is no crash."""
    queue, name = f"r.{next(_numbers)}", f"channel{next(_numbers)}"
    made = house.api.post("/v1/keys", json={"name": name, "abilities": ["consume"], "queues": [queue]}).json()
    job = house.api.post(f"/v1/queues/{queue}/jobs", json={"payload": 1}).json()["id"]
    headers = {"authorization": f"Bearer {made['secret']}"}
    while httpx.get(f"{house.url}/v1/keys", headers=headers).status_code == 401:
        pass
    with open_channel(house.url, additional_headers=headers) as line:
        line.start(queue, lease_ms=600_000)
        (leased,) = line.jobs(1)
        house.api.patch(f"/v1/keys/{name}", json={"queues": ["other"]}).raise_for_status()
        line.send("batch", ref="x", **{verb: [{"token": token(leased)}]})
        assert line.receive("results", ref="x")[verb][0]["code"] == "lease_lost"
        with pytest.raises(ConnectionClosed):
            line.receive("never")
    end = time.monotonic() + PATIENCE_S
    while (found := house.api.get(f"/v1/jobs/{job}").json())["state"] != "ready":
        assert time.monotonic() < end, found
    assert (found["crashes"], found["failures"]) == (0, 0)


def test_a_channel_that_calls_itself_by_the_id_of_a_worker_outside_is_told_and_closed(house):
    """Its jobs would be shown as that worker's."""
    foreign = house.api.post("/v1/workers", json={"queues": ["x.a"], "name": "host"}).json()["id"]
    queue = f"r.{next(_numbers)}"
    house.api.post(f"/v1/queues/{queue}/jobs", json={"payload": 1}).raise_for_status()
    with house.channel(["consume"]) as line:
        line.send("start", queues=[queue], credits=1, worker=foreign)
        assert json.loads(line.line.recv(PATIENCE_S))["op"] == "started"
        told = json.loads(line.line.recv(PATIENCE_S))
        assert (told["op"], told["code"], told["worker_id"]) == ("error", "worker_not_found", foreign)
        with pytest.raises(ConnectionClosed) as closed:
            line.line.recv(PATIENCE_S)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "worker_not_found")
    assert house.api.get(f"/v1/workers/{foreign}").json()["jobs"] == []


def test_channels_of_a_key_are_bounded(house):
    secret = house.secret(["consume"], ["*"], parked=1)
    headers = {"authorization": f"Bearer {secret}"}
    while httpx.get(f"{house.url}/v1/keys", headers=headers).status_code == 401:
        pass
    with open_channel(house.url, additional_headers=headers):
        with pytest.raises(InvalidStatus) as refused, open_channel(house.url, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 429
    closed = False
    while not closed:  # until the server has noticed that the first is closed
        with contextlib.suppress(InvalidStatus), open_channel(house.url, additional_headers=headers):
            closed = True


@pytest.mark.parametrize("on_break", ["release", "keep"])
def test_a_channel_closes_when_its_key_is_revoked_and_releases_its_jobs(house, on_break):
    """Also those that its worker wanted to keep: it could not end them elsewhere."""
    made = house.api.post("/v1/keys", json={"name": "brief", "abilities": ["consume"]}).json()
    headers = {"authorization": f"Bearer {made['secret']}"}
    while httpx.get(f"{house.url}/v1/keys", headers=headers).status_code == 401:
        pass
    queue = f"r.held{next(_numbers)}"
    house.api.post(f"/v1/queues/{queue}/jobs", json={"payload": 1})
    with open_channel(house.url, additional_headers=headers) as line:
        line.start(queue, on_break=on_break)
        jobs = line.receive("jobs")
        if on_break == "keep":
            line.send("got", delivery=jobs["delivery"])
            line.ask("ping", "pong")
        house.api.delete("/v1/keys/brief")
        with pytest.raises(ConnectionClosed) as closed:
            line.line.recv(PATIENCE_S)
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "unauthenticated")
    end = time.monotonic() + PATIENCE_S
    while house.api.get(f"/v1/queues/{queue}").json()["jobs"]["ready"] != 1:
        assert time.monotonic() < end


@pytest.mark.parametrize("waits", [True, False])
def test_a_channel_from_before_the_first_key_is_closed_and_not_served_as_another_caller(waits):
    """One that waits for jobs is closed at once, another with the next that it asks for."""
    with LocalServer() as server, open_channel(server.url) as line:
        if waits:
            line.start("r.none")
        other = House(server)
        assert other.api.get("/v1/queues").status_code == 200  # the latest caller of this listener is root
        if not waits:
            line.send("enqueue", ref="x", body={"jobs": [{"queue": "r.before", "payload": 1}]})
        with pytest.raises(ConnectionClosed) as closed:
            list(line.line)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "unauthenticated")
        assert other.api.get("/v1/queues/r.before").status_code == 404
