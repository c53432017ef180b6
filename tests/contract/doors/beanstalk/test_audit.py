"""What a client of beanstalkd does to jobs that it does not hold, and to tubes, is in the audit log; what a worker does to its own is not."""

import httpx

from tests.contract.doors.beanstalk.script import Client, tube_port


def entries(server, tube: str) -> list[tuple[str, str, str, int]]:
    found = httpx.get(f"{server.url}/v1/audit", params={"queue": tube, "who": "127.0.0.1"}).json()["entries"]
    assert {entry["door"] for entry in found} <= {"beanstalk"}
    return [(entry["action"], entry["outcome"], entry["note"] or "", entry["done"]) for entry in reversed(found)]


def test_jobs_that_are_deleted_or_kicked_by_others_and_tubes_that_are_paused_have_entries(server, client, tube):
    first, second = client.put(), client.put(delay=3_600)
    assert client.ask(b"delete %d\r\n" % first) == b"DELETED"
    assert client.ask(b"kick 10\r\n") == b"KICKED 1"
    assert client.ask(b"kick 10\r\n") == b"KICKED 0"
    assert client.ask(b"kick-job %d\r\n" % second) == b"NOT_FOUND"
    assert client.ask(b"pause-tube %b 1\r\n" % tube.encode()) == b"PAUSED"
    assert client.ask(b"pause-tube %b 0\r\n" % tube.encode()) == b"PAUSED"
    assert client.ask(b"delete %d\r\n" % second) == b"DELETED"
    assert [entry[:2] for entry in entries(server, tube)] == [
        ("job.delete", "done"),
        ("queue.kick", "done"),
        ("job.kick", entries(server, tube)[2][1]),
        ("queue.pause", "done"),
        ("queue.resume", "done"),
        ("job.delete", "done"),
    ]
    assert entries(server, tube)[1][2:] == ("scheduled", 1)
    assert entries(server, tube)[2][1] != "done"
    assert entries(server, tube)[3][2] == "for 1000 ms"


def test_commands_of_a_worker_on_its_own_jobs_leave_no_entry(server, client, tube):
    client.put()
    job, _ = client.reserve()
    assert client.ask(b"bury %d 0\r\n" % job) == b"BURIED"
    assert client.ask(b"delete %d\r\n" % job) == b"DELETED"
    client.put()
    job, _ = client.reserve()
    assert client.ask(b"delete %d\r\n" % job) == b"DELETED"
    assert [entry[0] for entry in entries(server, tube)] == ["job.delete"], "a buried job is nobody's"


def test_alternating_connections_each_have_their_own_entries(server, client, tube):
    other = Client(tube_port(server), tube)
    for one in (client, other, client):
        assert one.ask(b"pause-tube %b 0\r\n" % tube.encode()) == b"PAUSED"
    other.close()
    assert [entry[0] for entry in entries(server, tube)] == ["queue.resume"] * 3
