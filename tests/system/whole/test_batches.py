"""The end of a batch, with whole servers: two nodes that end its last members at once, and SIGKILL amid the last conclude. Its closing jobs are
there once, and neither twice nor never.
"""

import random
import time

import pytest

from cluster.postgres import server as postgres
from holdfast.stores.sqlite import maintenance
from tests.system.whole.servers import Call, until

pytestmark = pytest.mark.long(30)

ROUNDS = 12
KILLS = 6
MEMBERS = 6


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("postgres")) as one:
        yield one


def ask(server, method, path, body=None):
    status, answer = Call(server, method, path, body).answer()
    assert status in (200, 201), answer
    return answer


def make(server, number, queues):
    """A closed batch with a member in each of these queues, and a closing job of each kind in a queue that no member is in."""
    closing = {on: {"queue": f"closing-{number}", "payload": on} for on in ("on_success", "on_finish", "on_failure")}
    jobs = [{"queue": queue} for queue in queues]
    return ask(server, "POST", "/v1/batches", {"jobs": jobs, "closed": True, **closing})["id"]


def leased(server, queues, count):
    jobs = ask(server, "POST", "/v1/leases", {"queues": sorted(set(queues)), "max": count, "lease_ms": 600_000})["jobs"]
    assert len(jobs) == count
    return [job["lease"]["token"] for job in jobs]


def closing_jobs(server, number):
    return sorted(job["closes"]["on"] for job in ask(server, "GET", f"/v1/jobs?queue=closing-{number}")["jobs"])


def test_two_nodes_that_end_the_last_members_at_once_put_each_closing_job_once(serve, database, tmp_path):
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    one, other = [serve("--store", database.url(), at=tmp_path / name) for name in ("a", "b")]
    for number in range(ROUNDS):
        queues = [f"q{n}" for n in range(4)]
        batch = make(one, number, queues)
        tokens = leased(other, queues, len(queues))
        calls = [
            Call(server, "POST", f"/v1/leases/{token}/conclude", {})
            for token, server in zip(tokens, (one, other, other, one), strict=True)
        ]
        assert [call.answer()[0] for call in calls] == [200] * len(queues)
        assert closing_jobs(one, number) == ["on_finish", "on_success"]
        shown = ask(other, "GET", f"/v1/batches/{batch}")
        assert (shown["state"], shown["concluded"], shown["pending"]) == ("finished", len(queues), 0)


def test_two_nodes_with_many_batches_across_each_other_count_every_member_once(serve, database, tmp_path):
    """Batches whose members lie crosswise in the queues, ended on both nodes in no order: nobody waits in a circle."""
    database.sql("DROP SCHEMA IF EXISTS holdfast CASCADE", database="holdfast")
    nodes = [serve("--store", database.url(), at=tmp_path / name) for name in ("a", "b")]
    queues = ["x", "y", "z"]
    batches = [make(nodes[n % 2], n, random.Random(n).choices(queues, k=MEMBERS)) for n in range(ROUNDS)]
    tokens = leased(nodes[0], queues, ROUNDS * MEMBERS)
    random.Random(7).shuffle(tokens)
    calls = [Call(nodes[n % 2], "POST", f"/v1/leases/{token}/conclude", {}) for n, token in enumerate(tokens)]
    assert {call.answer()[0] for call in calls} == {200}
    for number, batch in enumerate(batches):
        shown = ask(nodes[0], "GET", f"/v1/batches/{batch}")
        assert (shown["state"], shown["concluded"], shown["total"]) == ("finished", MEMBERS, MEMBERS)
        assert closing_jobs(nodes[1], number) == ["on_finish", "on_success"]


def test_kill_9_amid_the_last_conclude_loses_no_closing_job_and_doubles_none(serve, home):
    for number in range(KILLS):
        server = serve()
        batch = make(server, number, ["q"] * 3)
        tokens = leased(server, ["q"], 3)
        calls = [Call(server, "POST", f"/v1/leases/{token}/conclude", {}) for token in tokens]
        time.sleep(random.Random(number).random() * 0.01)  # before, within or after the commit
        server.kill_all()
        server.gone()
        assert maintenance.check(home / "holdfast-data/jobs.db") == []
        del calls
        after = serve()
        for token in tokens:  # as a worker does whose answer was lost
            ask(after, "POST", f"/v1/leases/{token}/conclude", {})
        assert closing_jobs(after, number) == ["on_finish", "on_success"]
        assert ask(after, "GET", f"/v1/batches/{batch}")["concluded"] == 3
        after.kill_all()
        after.gone()


def test_what_is_owed_when_a_server_is_killed_is_put_by_the_next(serve):
    server = serve()
    ask(server, "PUT", "/v1/queues/closing-0", {"capacity_jobs": 0})
    batch = make(server, 0, ["q"])
    (token,) = leased(server, ["q"], 1)
    ask(server, "POST", f"/v1/leases/{token}/fail", {"reason": "no", "retry": False})
    assert ask(server, "GET", f"/v1/batches/{batch}")["on_failure"]["state"] == "owed"
    server.kill_all()
    server.gone()
    after = serve()
    assert closing_jobs(after, 0) == []
    ask(after, "PUT", "/v1/queues/closing-0", {})
    until(lambda: closing_jobs(after, 0) == ["on_failure", "on_finish"], "the closing jobs are put")
