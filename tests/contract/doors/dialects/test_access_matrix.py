"""Every route of the dialects × every ability × a queue that the key may see, and one that it may not.

`ROUTES` has the requests that each route, and each action of CouchQueue, makes of the engine; what a key needs for them is read
from the engine's own table of rules. A route or an action that is not in `ROUTES` fails the first test.
"""

import itertools
import re
from typing import Any, NamedTuple

import httpx
import pytest

from holdfast.auth.keys import Ability
from holdfast.doors.dialects.couchqueue import routes as couchqueue
from holdfast.doors.dialects.couchqueue.actions import ACTIONS
from holdfast.doors.dialects.couchqueue.status import _PARTS as PARTS
from holdfast.doors.dialects.cqueue import routes as cqueue
from holdfast.doors.dialects.dqid import routes as dqid
from holdfast.engine.access import RULES
from holdfast.messages.audit import Managed
from holdfast.messages.commands import (
    ConcludeLease,
    DeleteQueue,
    Enqueue,
    FailLease,
    LeaseJobs,
    PurgeQueue,
    RegisterWorker,
    RemoveWorkers,
    SetInterest,
)
from holdfast.messages.queries import GetInterests, GetJob, GetQueue, ListJobs, ListQueues, ListWorkers
from holdfast.testing.local import LocalServer
from tests.contract.doors.rest.test_access_matrix import House, every_refusal_recorded

PLANTED = "planted-4711"
DIALECTS = {"dqid": dqid.DIALECT, "cqueue": cqueue.DIALECT, "couchqueue": couchqueue.DIALECT}
ABILITIES = [ability.value for ability in Ability]
_PUBLISHES = object()  # an event, which needs `publish` whatever queues it reaches
_numbers = itertools.count(1)


class Asks(NamedTuple):
    """One route or action: the requests that it makes of the engine, what must exist before, and the parameters of the call."""

    requests: tuple[Any, ...]
    ready: str = ""
    given: dict[str, str] = {}  # noqa: RUF012  (it is only read)
    is_list: bool = False  # of what the key may see; what is left out is not named


_FAIL = {"workerId": "WORKER", "taskId": "JOB", "state": "fail", "failReason": "so"}
_DONE = {"workerId": "WORKER", "taskId": "JOB", "state": "success"}
_TASK = {"publisher": "me", "data": '{"a": 1}'}
ACTIONS_ASK = {
    "taskCreate": [
        Asks((_PUBLISHES,), "interest", _TASK, is_list=True),
        Asks((_PUBLISHES,), "interest", {**_TASK, "fastPost": "1"}, is_list=True),
    ],
    "taskGet": [Asks((LeaseJobs,), "worker", {"workerId": "WORKER"})],
    "taskUpdate": [
        Asks((GetJob, ConcludeLease), "held", _DONE),
        Asks((GetJob, FailLease), "held", _FAIL),
        Asks((GetJob, ConcludeLease, Enqueue), "held", {**_DONE, "reEnqueue": "1"}),
    ],
    "workerRegister": [Asks((RegisterWorker,), "", {"queues": "QUEUE"})],
    "workerDelete": [
        Asks((RemoveWorkers,), "worker", {"workerId": "WORKER"}),
        Asks((RemoveWorkers,), "worker", {"queue": "QUEUE"}),
    ],
    "interestCreate": [Asks((SetInterest,), "", {"queue": "QUEUE", "interests": "*"})],
    "interestDelete": [Asks((SetInterest,), "interest", {"queue": "QUEUE"})],
    "queueDelete": [
        Asks((DeleteQueue, GetQueue), "empty", {"queue": "QUEUE"}),
        Asks((DeleteQueue, GetQueue, PurgeQueue), "task", {"queue": "QUEUE", "purge": "1"}),
    ],
    "status": [
        Asks((GetQueue,), "task", {"queue": "QUEUE"}),
        Asks((ListQueues,), "task", {"queues": ""}, is_list=True),
        Asks((ListWorkers,), "held", {"workerQueue": ""}, is_list=True),
        Asks((ListWorkers,), "held", {"workerQueue": "WORKER"}),
        Asks((GetInterests,), "interest", {"interests": ""}, is_list=True),
        Asks((ListWorkers,), "held", {"workers": ""}, is_list=True),
        Asks((ListJobs, GetJob), "failed", {"failedQueue": ""}, is_list=True),
        Asks((GetJob,), "task", {"task": "JOB"}),
        Asks((ListJobs,), "held", {"tasksInProgress": ""}, is_list=True),
        Asks((ListQueues, ListWorkers, GetInterests, ListJobs), "held", {}, is_list=True),
    ],
}
"""By action of CouchQueue: each way to call it that makes another request."""
_JOB = (GetJob,)
ROUTES: dict[tuple[str, str, str], Asks] = {
    ("dqid", "POST", "/push"): Asks((Enqueue,)),
    ("dqid", "GET", "/get"): Asks((LeaseJobs, ConcludeLease), "message"),
    ("dqid", "GET", "/stats"): Asks((GetQueue,), "message", is_list=True),
    ("dqid", "HEAD", "/stats"): Asks((GetQueue,), "message", is_list=True),
    ("cqueue", "PUT", "/jobs/enqueue"): Asks((Enqueue,)),
    ("cqueue", "POST", "/jobs/enqueue"): Asks((Enqueue,)),
    ("cqueue", "POST", "/jobs/dequeue"): Asks((LeaseJobs,), "job"),
    ("cqueue", "POST", "/jobs/conclude/{job_id}"): Asks((GetJob, ConcludeLease), "taken"),
    ("cqueue", "POST", "/jobs/{job_id}/conclude"): Asks((GetJob, ConcludeLease), "taken"),
    ("cqueue", "GET", "/jobs/{job_id}"): Asks(_JOB, "job"),
    ("cqueue", "HEAD", "/jobs/{job_id}"): Asks(_JOB, "job"),
    ("cqueue", "GET", "/jobs/stats"): Asks((GetQueue,), "job", is_list=True),
    ("cqueue", "HEAD", "/jobs/stats"): Asks((GetQueue,), "job", is_list=True),
    **{
        ("couchqueue", method, path): ACTIONS_ASK[action][0]
        for path, methods in couchqueue._BY_METHOD.items()
        for method, action in methods.items()
    },
    **{
        ("couchqueue", method, path): ACTIONS_ASK["status"][0]
        for path in ("/api", "/api/{name}")
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
    },
}
BODIES = {"/push": b'{"msg": "a message"}', "/jobs/enqueue": b'{"Type": "t", "Payload": 1}'}
_WAYS = [(f"{door} {method} {path}", (door, method, path), asks) for (door, method, path), asks in ROUTES.items()] + [
    (f"couchqueue {action} {' '.join(asks.given)}", ("couchqueue", "POST", f"/api/{action}"), asks)
    for action, ways in ACTIONS_ASK.items()
    for asks in ways
]
WAYS = [pytest.param(place, asks, id=name) for name, place, asks in _WAYS]


def needed(asks: Asks) -> set[str]:
    return {"publish" if kind is _PUBLISHES else RULES[kind].ability.value for kind in asks.requests}


def is_denied(asks: Asks) -> bool:
    """Whether it would create something in a queue that it names, so that it is forbidden and not answered with "not found"."""
    first = RULES.get(asks.requests[0])
    return first is not None and first.queues is not None and not first.exists and "WORKER" not in asks.given.values()


class Dialects(House):
    """A server with all dialects; keys for each set of abilities, on the queues of the dialects and on others."""

    def __init__(self, server: LocalServer) -> None:
        super().__init__(server)
        self._keys: dict[tuple[frozenset[str], bool], str] = {}

    @staticmethod
    def name_of(abilities: set[str], *, mine: bool) -> str:
        return "-".join(["own" if mine else "others", *sorted(abilities)])

    def key(self, abilities: set[str], *, mine: bool) -> str:
        kept = (frozenset(abilities), mine)
        if kept not in self._keys:
            name = self.name_of(abilities, mine=mine)
            secret = self.secret(name, sorted(abilities), ["dqid", "jobs", "r.*"] if mine else ["y.*"])
            while self.call("GET", "/v1/channel", secret).status_code == 401:
                pass
            self._keys[kept] = secret
        return self._keys[kept]

    def made(self, ready: str) -> dict[str, str]:
        """Create what must exist before a call; by placeholder."""
        queue = f"r.q{next(_numbers)}"
        names = {"QUEUE": queue, "WORKER": "w-0123456789abcdef", "JOB": "987654321"}

        def put(name: str) -> Any:
            return self.root("POST", f"/v1/queues/{name}/jobs", {"payload": {"x": PLANTED}})

        match ready:
            case "message":
                self.root("POST", "/v1/queues/dqid/jobs", {"payload": PLANTED})
            case "job" | "taken":
                self.root("PUT", "/v1/queues/jobs", {})
                self.root("POST", "/v1/queues/jobs/purge", {"states": ["ready", "dead", "concluded"]})
                names["JOB"] = str(put("jobs")["id"])
                if ready == "taken":
                    self.root("POST", "/v1/leases", {"queues": ["jobs"]})
            case "empty":
                self.root("PUT", f"/v1/queues/{queue}", {})
            case "interest":
                self.root("PUT", f"/v1/interests/{queue}", {"match": "*"})
            case "task":
                names["JOB"] = str(put(queue)["id"])
            case "worker" | "held":
                names["JOB"] = str(put(queue)["id"])
                names["WORKER"] = self._worker(queue, holds=ready == "held")
            case "failed":
                names["JOB"] = str(put(queue)["id"])
                self._fail(queue)
        return names

    def _worker(self, queue: str, *, holds: bool) -> str:
        worker: str = self.root("POST", "/v1/workers", {"queues": [queue]})["id"]
        if holds:
            self.root("POST", "/v1/leases", {"worker": worker, "queues": [queue]})
        return worker

    def _fail(self, queue: str) -> None:
        (job,) = self.root("POST", "/v1/leases", {"queues": [queue]})["jobs"]
        self.root("POST", f"/v1/leases/{job['lease']['token']}/fail", {"reason": PLANTED, "retry": False})

    def ask(self, place: tuple[str, str, str], asks: Asks, secret: str, names: dict[str, str]) -> httpx.Response:
        door, method, path = place
        path = path.format(job_id=names["JOB"], name="status")
        given = {key: names.get(value, value) for key, value in asks.given.items()}
        if path == "/api":
            given["action"] = "status"
        headers = {"authorization": f"Bearer {secret}"}
        in_query = given if door == "couchqueue" and method in ("GET", "HEAD", "DELETE") else None
        in_form = given if door == "couchqueue" and in_query is None else None
        return self.http.request(method, path, params=in_query, data=in_form, content=BODIES.get(path), headers=headers)

    def refusals(self, key: str) -> list[str]:
        found = self.root("GET", f"/v1/audit?who={key}&outcome=refused")["entries"]
        return [entry["action"] for entry in found]


@pytest.fixture(scope="module")
def house():
    with every_refusal_recorded(), LocalServer(dialects=tuple(DIALECTS)) as server:
        made = Dialects(server)
        yield made
        made.http.close()


def test_every_route_and_every_action_is_in_the_table():
    rows = {(door, route.method, route.path) for door, dialect in DIALECTS.items() for route in dialect.rows()}
    assert rows == set(ROUTES)
    assert set(ACTIONS_ASK) == set(ACTIONS)
    assert set(PARTS) <= {name for asks in ACTIONS_ASK["status"] for name in asks.given}


@pytest.mark.parametrize(("place", "asks"), WAYS)
def test_the_needed_abilities_permit_it_and_no_others_do(house, place, asks):
    """Each ability alone, all that are needed, and all of these except one."""
    needs = needed(asks)
    sets = [{ability} for ability in ABILITIES] + [needs] + [needs - {one} for one in needs if len(needs) > 1]
    for abilities in sets:
        answer = house.ask(place, asks, house.key(abilities, mine=True), house.made(asks.ready))
        if needs <= abilities or "admin" in abilities:
            assert answer.is_success, (abilities, answer.text)
        else:
            assert answer.status_code == 403, (abilities, answer.status_code, answer.text)
            assert PLANTED not in answer.text


@pytest.mark.parametrize("whole", [False, True], ids=["the abilities", "admin"])
@pytest.mark.parametrize(("place", "asks"), WAYS)
def test_what_a_key_may_not_see_does_not_exist(house, place, asks, whole):
    secret = house.key({"admin"} if whole else needed(asks), mine=False)
    names = house.made(asks.ready)
    answer = house.ask(place, asks, secret, names)
    assert PLANTED not in answer.text
    if is_denied(asks):
        assert answer.status_code == 403, answer.text
        return
    if asks.is_list:
        assert answer.is_success, answer.text
        assert "r.q" not in answer.text
        assert names["WORKER"] not in answer.text
        assert names["JOB"] not in re.findall(r"\d+", answer.text)
        return
    missing = {"QUEUE": "r.none", "WORKER": "w-0123456789abcdee", "JOB": "987654320"}
    as_missing = house.ask(place, asks, secret, missing)
    assert answer.status_code in (200, 204, 404, 409), answer.text
    assert (answer.status_code, _without(answer.text, names)) == (as_missing.status_code, _without(as_missing.text, missing))


def _without(text: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(value, name)
    return text


_MANAGED = [
    way
    for way, (_, _, asks) in zip(WAYS, _WAYS, strict=True)
    if isinstance(asks.requests[0], type) and issubclass(asks.requests[0], Managed)
]


@pytest.mark.parametrize(("place", "asks"), _MANAGED)
def test_a_refused_managing_verb_is_in_the_audit_log(house, place, asks):
    """Both if the key lacks the ability and if it can't see the target."""
    for abilities, mine in (({"produce"}, True), (needed(asks), False)):
        secret = house.key(abilities, mine=mine)
        who = house.name_of(abilities, mine=mine)
        before = len(house.refusals(who))
        answer = house.ask(place, asks, secret, house.made(asks.ready))
        assert answer.status_code in (403, 404), answer.text
        assert len(house.refusals(who)) == before + 1, answer.text
