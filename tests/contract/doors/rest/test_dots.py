"""Names that everything takes for steps in a path: none can be made by any door, and one from earlier times can be looked at, emptied and removed."""

import sqlite3

import pytest

from holdfast.client import Client
from tests.contract.client.clients import PATIENCE_S


@pytest.mark.parametrize("name", [".", ".."])
def test_no_door_makes_a_queue_or_a_schedule_of_that_name(api, queue, name):
    job = api.push(queue)
    held = api.take(queue)
    token = held["lease"]["token"]
    twice = "%252E" * len(name)
    for method, path, body in [
        ("POST", "/v1/jobs", {"jobs": [{"queue": name, "payload": 1}]}),
        ("POST", f"/v1/leases/{token}/conclude", {"then": [{"queue": name}]}),
        ("POST", "/v1/leases/batch", {"conclude": [{"token": token, "then": [{"queue": name}]}]}),
        ("POST", f"/v1/jobs/{job['id']}/move", {"queue": name}),
        ("PUT", f"/v1/queues/{twice}", {}),
        ("PUT", f"/v1/interests/{twice}", {"match": "*"}),
        ("PUT", f"/v1/schedules/{twice}", {"interval_ms": 5_000, "queue": "q"}),
        ("PUT", "/v1/schedules/fine", {"interval_ms": 5_000, "queue": name}),
    ]:
        response = api.request(method, path, json=body)
        problem = api.refused(response, 400, "invalid_request", field=response.json().get("field"))
        assert "step in every path" in problem["detail"], (path, response.text)
    assert "step in every path" in api.put("/interest", params={"queue": name, "interests": "*"}).text
    for shown in (api.get("/v1/queues").json()["queues"], api.get("/v1/schedules").json()["schedules"]):
        assert name not in {one["name"] for one in shown}
    api.ended("conclude", held)


@pytest.mark.parametrize("name", [".", ".."])
def test_one_from_earlier_times_can_be_looked_at_emptied_and_removed(start, connect, tmp_path, name):
    store = f"sqlite:///{tmp_path / 'jobs.db'}"
    first = start(store=store)
    api = connect(first.url)
    ids = [api.push("old", {"n": n})["id"] for n in range(4)]
    api.put("/v1/schedules/old", json={"cron": "0 0 1 1 *", "queue": "old"})
    first.stop()
    with sqlite3.connect(tmp_path / "jobs.db") as database:
        database.execute("UPDATE queue SET name = ? WHERE name = 'old'", [name])
        (kept,) = database.execute("SELECT state FROM schedule WHERE name = 'old'").fetchone()
        renamed = kept.replace(b"\xa3old", bytes([0xA0 + len(name)]) + name.encode(), 1)  # as msgpack writes a text
        database.execute("UPDATE schedule SET name = ?, state = ? WHERE name = 'old'", [name, renamed])
    database.close()
    second = start(store=store)
    try:
        api = connect(second.url)
        twice = "%252E" * len(name)
        assert api.get(f"/v1/queues/{twice}").json()["jobs"]["ready"] == 4
        assert api.get("/v1/jobs", params={"queue": name}).json()["jobs"][0]["id"] == ids[0]
        held = api.take(name)
        assert held["id"] == ids[0]
        assert api.post(f"/v1/jobs/{ids[1]}/move", {"queue": "new"}).status_code == 200
        assert api.get(f"/web/queues/{twice}").status_code == 200
        assert f"/web/queues/{twice}" in api.get("/web").text
        with Client(second.url, deadline_s=PATIENCE_S) as client:
            assert client.queue(name).name == name
            assert client.pause(name).paused
            assert not client.resume(name).paused
            assert client.purge(name, ["ready"]) == 2
            assert client.schedule(name).name == name
            client.delete_schedule(name)
            api.ended("conclude", held)
            client.delete_queue(name)
            assert [queue.name for queue in client.queues()] == ["new"]
    finally:
        assert second.stop() == 0
