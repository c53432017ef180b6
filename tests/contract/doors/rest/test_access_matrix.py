"""Every route of the OpenAPI document × every ability × a queue that the key may see, and one that it may not.

`ROUTES` has the abilities that each operation needs and the answer to a key for other queues. An operation that is not in it
fails the first test, so that no route is forgotten.

    gone      404: what it names does not exist for the key        denied   403: it would create something in a queue of another key
    filtered  2xx, and nothing of other queues is in it             all      it is about no queue
"""

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from holdfast.auth.keys import Ability
from holdfast.testing.local import LocalServer

MINE, FOREIGN = "r.q", "x.q"
_numbers = itertools.count(1)


class Needs(NamedTuple):
    """One operation: any of these abilities, the answer to a key for other queues, and how to call it. `every`: it needs the ability on all queues."""

    abilities: tuple[str, ...]
    elsewhere: str
    ready: str = ""  # what must exist before it is called
    body: Any = None


ROUTES = {
    "get_job": Needs(("read",), "gone", "job"),
    "delete_job": Needs(("manage",), "gone", "job"),
    "edit_job": Needs(("manage",), "gone", "job", {"priority": 5}),
    "list_jobs": Needs(("read",), "filtered", "job"),
    "find_receipts": Needs(("read",), "filtered"),
    "bulk": Needs(("produce",), "denied", "", {"jobs": [{"queue": MINE, "payload": 1}]}),
    "why": Needs(("read",), "gone", "job"),
    "list_failures": Needs(("read",), "filtered", "dead"),
    "get_failures": Needs(("read",), "gone", "dead"),
    "retry_job": Needs(("manage",), "gone", "dead"),
    "cancel_job": Needs(("manage",), "gone", "job"),
    "promote_job": Needs(("manage",), "gone", "scheduled"),
    "release_lease": Needs(("manage",), "gone", "lease"),
    "move_job": Needs(("manage",), "denied", "job", {"queue": "r.moved"}),
    "settle_job": Needs(("manage",), "gone", "job", {"outcome": "dead", "reason": "so"}),
    "list_queues": Needs(("read",), "filtered", "job"),
    "get_queue": Needs(("read",), "gone", "job"),
    "scale_queue": Needs(("read",), "gone", "job"),
    "put_queue": Needs(("manage",), "denied", "job", {}),
    "delete_queue": Needs(("manage",), "gone", "empty"),
    "patch_queue": Needs(("manage",), "denied", "job", {}),
    "pause_queue": Needs(("manage",), "gone", "job"),
    "resume_queue": Needs(("manage",), "gone", "job"),
    "pause_type": Needs(("manage",), "gone", "job", {"paused": True}),
    "resume_type": Needs(("manage",), "gone", "job"),
    "list_shares": Needs(("read",), "gone", "job"),
    "get_share": Needs(("read",), "gone", "job"),
    "set_weight_of_others": Needs(("manage",), "gone", "job", {"weight": 2}),
    "set_weight": Needs(("manage",), "gone", "job", {"weight": 2}),
    "unset_weight": Needs(("manage",), "gone", "job"),
    "purge_queue": Needs(("manage",), "gone", "job"),
    "get_interest": Needs(("read",), "gone", "interest"),
    "put_interest": Needs(("manage",), "denied", "", {"match": "*"}),
    "delete_interest": Needs(("manage",), "denied", "interest"),
    "list_interests": Needs(("read",), "filtered", "interest"),
    "try_event": Needs(("read", "publish"), "filtered", "interest", {"data": {}}),
    "publish": Needs(("publish",), "filtered", "interest", {"data": {}}),
    "list_workers": Needs(("read",), "filtered", "worker"),
    "register_worker": Needs(("consume",), "denied", "", {"queues": [MINE]}),
    "beat_worker": Needs(("consume",), "gone", "worker"),
    "quiet_worker": Needs(("manage",), "gone", "worker"),
    "stop_worker": Needs(("manage",), "gone", "worker"),
    "get_worker": Needs(("read",), "gone", "worker"),
    "delete_worker": Needs(("consume",), "gone", "worker"),
    "get_schedule": Needs(("read",), "gone", "schedule"),
    "put_schedule": Needs(("manage",), "denied", "", {"queue": MINE, "payload": 1, "interval_ms": 60_000}),
    "delete_schedule": Needs(("manage",), "gone", "schedule"),
    "list_schedules": Needs(("read",), "filtered", "schedule"),
    "pause_schedule": Needs(("manage",), "gone", "schedule"),
    "resume_schedule": Needs(("manage",), "gone", "schedule"),
    "run_schedule": Needs(("manage",), "gone", "schedule"),
    "start_operation": Needs(("manage",), "gone", "job", {"do": "retry", "filter": {"queue": MINE}}),
    "list_operations": Needs(("read",), "filtered", "operation"),
    "get_operation": Needs(("read",), "gone", "operation"),
    "pause_operation": Needs(("manage",), "gone", "operation"),
    "resume_operation": Needs(("manage",), "gone", "operation"),
    "cancel_operation": Needs(("manage",), "gone", "operation"),
    "set_operation_rate": Needs(("manage",), "gone", "operation", {"per_s": 0.01}),
    "make_batch": Needs(("produce",), "denied", "", {"jobs": [{"queue": MINE}], "on_finish": {"queue": MINE}}),
    "get_batch": Needs(("read",), "gone", "batch"),
    "list_batches": Needs(("read",), "filtered", "batch"),
    "close_batch": Needs(("produce",), "gone", "batch"),
    "cancel_batch": Needs(("manage",), "gone", "batch"),
    "list_budgets": Needs(("read",), "every"),
    "get_budget": Needs(("read",), "every", "budget"),
    "set_budget": Needs(("manage",), "every", "", {"limit": 5}),
    "delete_budget": Needs(("manage",), "every", "budget"),
    "block_budget": Needs(("manage",), "every", "budget", {"for_ms": 1}),
    "unblock_budget": Needs(("manage",), "every", "budget"),
    "audit_log": Needs(("admin",), "all"),
    "list_keys": Needs(("admin",), "all"),
    "create_key": Needs(("admin",), "all", "", {"name": "made", "abilities": ["read"]}),
    "get_key": Needs(("admin",), "all", "key"),
    "edit_key": Needs(("admin",), "all", "key", {"note": "other"}),
    "revoke_key": Needs(("admin",), "all", "key"),
    "rotate_key": Needs(("admin",), "all", "key"),
    "stats": Needs(("read",), "filtered", "job"),
    "stream": Needs(("read",), "filtered"),
    "metrics_page": Needs(("read",), "filtered", "job"),
    "enqueue": Needs(("produce",), "denied", "", {"payload": 1}),
    "lease": Needs(("consume",), "denied", "job", {"queues": [MINE]}),
    "conclude": Needs(("consume",), "lost", "lease"),
    "fail": Needs(("consume",), "lost", "lease"),
    "release": Needs(("consume",), "lost", "lease"),
    "extend": Needs(("consume",), "lost", "lease"),
    "batch": Needs(("consume",), "lost in batch", "lease", {"conclude": [{"token": "TOKEN"}]}),
}
OPEN = {"healthz", "readyz"}
AUDITED = {operation for operation, needs in ROUTES.items() if {"manage", "admin"} & set(needs.abilities)} - {
    "audit_log", "list_keys", "get_key",
} | {"delete_worker"}  # fmt: skip
"""The managing verbs."""
ABILITIES = [ability.value for ability in Ability]


class House:
    """A server with keys in force: one for each ability, on the queues `r.*` and on `y.*`."""

    def __init__(self, server: LocalServer) -> None:
        self.url = server.url
        self.http = httpx.Client(base_url=server.url, timeout=20)
        self.operations = {
            operation["operationId"]: (method.upper(), path)
            for path, methods in self.http.get("/openapi.json").json()["paths"].items()
            for method, operation in methods.items()
        }
        self._root = ""
        self._root = self.secret("root", ["admin"], ["*"])
        while self.http.get("/v1/queues").status_code != 401:  # this front has loaded its first key
            pass
        self.mine = {ability: self.secret(f"mine-{ability}", [ability], ["r.*"]) for ability in ABILITIES}
        self.everywhere = {ability: self.secret(f"every-{ability}", [ability], ["*"]) for ability in ABILITIES}
        self.elsewhere = {ability: self.secret(f"elsewhere-{ability}", [ability], ["y.*"]) for ability in ABILITIES}
        for secret in (*self.mine.values(), *self.everywhere.values(), *self.elsewhere.values()):
            while self.call("GET", "/v1/channel", secret).status_code == 401:
                pass

    def secret(self, name: str, abilities: list[str], queues: list[str]) -> str:
        made = self.call("POST", "/v1/keys", self._root, {"name": name, "abilities": abilities, "queues": queues})
        assert made.status_code == 201, made.text
        return made.json()["secret"]

    def call(self, method: str, path: str, secret: str, body: Any = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        with self.http.stream(method, path, json=body, headers=headers) as answer:
            if path == "/v1/stream" and answer.status_code == 200:
                answer._content = next(answer.iter_bytes())
            else:
                answer.read()
        return answer

    def root(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.call(method, path, self._root, body)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    def prepared(self, needs: Needs) -> dict[str, str]:  # noqa: C901, PLR0912  (a table)
        """Create what the operation is about; returns the names in its path."""
        number = next(_numbers)
        names = {
            "queue": MINE,
            "name": f"s{number}",
            "key": f"k{number}",
            "worker_id": "w-none",
            "token": "",
            "job_id": "0",
            "batch_id": "0",
            "operation_id": "0",
        }
        match needs.ready:
            case "job":
                names["job_id"] = self.root("POST", f"/v1/queues/{MINE}/jobs", {"payload": "needle"})["id"]
            case "scheduled":
                names["job_id"] = self.root("POST", f"/v1/queues/{MINE}/jobs", {"payload": 1, "delay_ms": 90_000})["id"]
            case "dead" | "lease":
                names["queue"] = f"r.q{number}"
                names["job_id"] = self.root("POST", f"/v1/queues/r.q{number}/jobs", {"payload": 1})["id"]
                names["token"] = self.root("POST", "/v1/leases", {"queues": [f"r.q{number}"]})["jobs"][0]["lease"]["token"]
                if needs.ready == "dead":
                    self.root("POST", f"/v1/leases/{names['token']}/fail", {"reason": "x", "retry": False})
            case "empty":
                names["queue"] = f"r.q{number}"
                self.root("PUT", f"/v1/queues/r.q{number}", {})
            case "interest":
                self.root("PUT", f"/v1/interests/{MINE}", {"match": "*"})
            case "worker":
                names["worker_id"] = self.root("POST", "/v1/workers", {"queues": [MINE]})["id"]
            case "schedule":
                self.root("PUT", f"/v1/schedules/s{number}", {"queue": MINE, "payload": 1, "interval_ms": 60_000})
            case "batch":
                names["batch_id"] = self.root("POST", "/v1/batches", {"name": "needle", "jobs": [{"queue": MINE}]})["id"]
            case "budget":
                self.root("PUT", f"/v1/budgets/s{number}", {"limit": 1})
            case "key":
                self.secret(f"k{number}", ["read"], ["*"])
        return names

    def begun(self) -> str:
        """An operation that goes on for long; there are only so many at once."""
        for one in self.root("GET", "/v1/operations?limit=20")["operations"]:
            if one["state"] in ("running", "paused"):
                self.root("POST", f"/v1/operations/{one['id']}/cancel")
        for _ in range(2):
            self.root("POST", f"/v1/queues/{MINE}/jobs", {"payload": 1, "delay_ms": 90_000})
        return self.root("POST", "/v1/operations", {"do": "promote", "filter": {"queue": MINE}, "per_s": 0.01})["id"]

    def ask(self, operation: str, secret: str) -> httpx.Response:
        needs = ROUTES[operation]
        names = self.prepared(needs)
        if needs.ready == "operation":
            names["operation_id"] = self.begun()
        method, path = self.operations[operation]
        body = needs.body
        if operation == "batch":
            body = {"conclude": [{"token": names["token"]}]}
        elif operation == "create_key":
            body = {**body, "name": f"made{next(_numbers)}"}
        elif operation == "find_receipts":
            self.http.post(
                f"/v1/queues/{MINE}/jobs",
                json={"payload": 1},
                headers={"idempotency-key": "known", "authorization": f"Bearer {self._root}"},
            )
            path += "?idempotency_key=known"
        elif operation in ("pause_type", "resume_type"):
            names["type"] = "t"
        elif operation == "get_failures":
            names["group"] = self.root("GET", f"/v1/failures?queue={names['queue']}")["groups"][0]["key"]
        return self.call(method, path.format(**names), secret, body)


@contextlib.contextmanager
def every_refusal_recorded() -> Iterator[None]:
    """Store all refusals in the audit log: these tests cause more of them than its rate limit permits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast.committer.audit.AUDIT_REFUSALS", 1_000_000)
        yield


@pytest.fixture(scope="module")
def house():
    with every_refusal_recorded(), LocalServer() as server:
        yield House(server)


def test_every_operation_is_in_the_table(house):
    assert set(house.operations) == set(ROUTES) | OPEN


@pytest.mark.parametrize("operation", sorted(ROUTES))
@pytest.mark.parametrize("ability", ABILITIES)
def test_an_ability_permits_what_needs_it_and_nothing_else(house, operation, ability):
    needs = ROUTES[operation]
    answer = house.ask(operation, (house.everywhere if needs.elsewhere == "every" else house.mine)[ability])
    if ability in (*needs.abilities, "admin"):
        assert answer.is_success, answer.text
    else:
        assert answer.status_code == 403, answer.text
        assert answer.json()["code"] == "forbidden"
        assert answer.json()["ability"] in needs.abilities


@pytest.mark.parametrize("operation", sorted(ROUTES))
@pytest.mark.parametrize("whole", [False, True], ids=["the ability", "admin"])
def test_what_a_key_may_not_see_does_not_exist(house, operation, whole):
    needs = ROUTES[operation]
    answer = house.ask(operation, house.elsewhere["admin" if whole else needs.abilities[0]])
    match needs.elsewhere:
        case "gone":
            assert answer.status_code == 404, answer.text
        case "denied":
            assert answer.status_code == 403, answer.text
            assert answer.json()["ability"] == needs.abilities[0]
        case "lost":
            assert (answer.status_code, answer.json()["code"]) == (409, "lease_lost"), answer.text
        case "lost in batch":
            assert [one["code"] for one in answer.json()["conclude"]] == ["lease_lost"]
        case "filtered":
            assert answer.is_success, answer.text
            assert "r.q" not in answer.text
            assert "needle" not in answer.text
        case "all":
            assert answer.is_success, answer.text
        case "every":
            assert answer.status_code == 403, answer.text


@pytest.mark.parametrize("operation", sorted(AUDITED))
def test_a_refused_managing_verb_is_in_the_audit_log(house, operation):
    """Both if the key lacks the ability and if it can't see the target."""
    needs = ROUTES[operation]
    tries = {"mine-produce": house.mine["produce"]}
    if needs.elsewhere != "all":
        tries[f"elsewhere-{needs.abilities[0]}"] = house.elsewhere[needs.abilities[0]]
    for who, secret in tries.items():
        newest = house.root("GET", "/v1/audit?limit=1")["entries"][0]["id"]
        assert house.ask(operation, secret).status_code in (403, 404)
        (entry,) = house.root("GET", f"/v1/audit?who={who}&after={newest}")["entries"]
        assert (entry["door"], entry["refused"]) == ("http", 1)
        assert entry["outcome"] == "forbidden" or entry["outcome"].endswith("_not_found")


@pytest.mark.parametrize("operation", sorted(ROUTES))
def test_a_request_without_a_key_is_refused(house, operation):
    for secret in ("", "hf_wrong"):
        answer = house.ask(operation, secret)
        assert answer.status_code in ((401,) if not secret else (401, 429)), answer.text
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith('Bearer realm="holdfast"')
            assert answer.json()["code"] == "unauthenticated"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_checks_need_no_key(house, path):
    assert house.call("GET", path, "").status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/docs", "/openapi.json"])
def test_metrics_and_documents_need_read(house, path):
    assert house.call("GET", path, "").status_code == 401
    assert house.call("GET", path, house.mine["produce"]).json()["ability"] == "read"
    assert house.call("GET", path, house.mine["read"]).status_code == 200


def test_a_job_that_the_key_may_not_see_is_answered_like_one_that_does_not_exist(house):
    """The same text, except the id."""
    job = house.root("POST", f"/v1/queues/{MINE}/jobs", {"payload": 1})["id"]
    foreign = house.call("GET", f"/v1/jobs/{job}", house.elsewhere["read"]).json()
    missing = house.call("GET", "/v1/jobs/987654", house.elsewhere["read"]).json()
    assert {name: str(value).replace(str(job), "N") for name, value in foreign.items()} == {
        name: str(value).replace("987654", "N") for name, value in missing.items()
    }


def test_an_edit_of_a_key_takes_effect(house):
    """With the same secret, within 2 s; fields that are left out stay."""
    secret = house.secret("edited", ["read"], ["y.*"])
    job = house.root("POST", f"/v1/queues/{MINE}/jobs", {"payload": "needle"})["id"]

    def until(status: int, method: str = "GET", path: str = f"/v1/jobs/{job}") -> httpx.Response:
        ends = time.monotonic() + 2
        while (answer := house.call(method, path, secret)).status_code != status:
            assert time.monotonic() < ends, answer.text
        return answer

    until(404)
    shown = house.root("PATCH", "/v1/keys/edited", {"queues": ["r.*"], "note": "wider"})
    assert (shown["abilities"], shown["queues"], shown["note"], "secret" in shown) == (["read"], ["r.*"], "wider", False)
    assert until(200).json()["payload"] == "needle"
    house.root("PATCH", "/v1/keys/edited", {"sees_payloads": False})
    while not until(200).json().get("payload_hidden"):
        pass
    house.root("PATCH", f"/v1/keys/{shown['id']}", {"abilities": ["manage"], "sees_payloads": True, "expires_ms": 3_600_000})
    until(403)
    until(200, "POST", f"/v1/jobs/{job}/cancel")
    told = house.root("GET", "/v1/audit?action=key.edit&limit=1")["entries"][0]
    assert (told["target"], told["note"]) == ("edited", "abilities manage; expires_ms 3600000; sees_payloads True")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "other"}, "name"),
        ({"abilities": ["fly"]}, "abilities"),
        ({"queues": None}, "queues"),
        ({"parked": 0}, "parked"),
    ],
)
def test_an_invalid_edit_is_refused_by_its_field(house, body, field):
    answer = house.call("PATCH", "/v1/keys/mine-read", house._root, body)
    assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text


def test_a_secret_in_the_query_is_ignored(house):
    for name in ("token", "key", "access_token", "api_key"):
        assert house.call("GET", f"/v1/queues?{name}={house.mine['read']}", "").status_code == 401
