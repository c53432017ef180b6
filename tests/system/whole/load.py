"""Producers and workers on threads of their own, over real connections, who keep what the server acknowledged.

What is lost is found by comparing what was acknowledged with what the server has afterwards. Every call ends in one of three ways: done,
refused (nothing was changed), or unknown.
"""

import itertools
import threading
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.system.whole.servers import Server

REFUSED = {"draining", "store_unavailable", "overloaded", "storage_full", "queue_full"}


@dataclass
class Acknowledged:
    """What was acknowledged, by job: payloads of pushes, tokens of leases, concluded jobs; and the calls whose outcome is unknown."""

    pushed: dict[int, Any] = field(default_factory=dict)
    leased: dict[int, str] = field(default_factory=dict)
    concluded: set[int] = field(default_factory=set)
    unknown: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)


class Load:
    """Callers that push to `queue`, lease and conclude, until they are stopped or the server is gone."""

    def __init__(self, server: Server, callers: int = 6, queue: str = "load") -> None:
        self.acknowledged = Acknowledged()
        self._server = server
        self._queue = queue
        self._numbers = itertools.count()
        self._lock = threading.Condition()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, pushes: int) -> None:
        """Return when so many pushes were acknowledged."""
        with self._lock:
            assert self._lock.wait_for(lambda: len(self.acknowledged.pushed) >= pushes, 30), "the load stands still"

    def stop(self) -> Acknowledged:
        """End it; what was acknowledged."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a caller never got its answer"
        assert self.acknowledged.strange == [], "answers that the contract does not know"
        return self.acknowledged

    def _call(self) -> None:
        with self._server.client() as client:
            while not self._stop.is_set() and self._one_life(client):
                pass

    def _one_life(self, client: httpx.Client) -> bool:
        """Push two jobs, lease one, conclude it every other time; False when the server answers no more."""
        for _ in range(2):
            payload = {"n": next(self._numbers), "fill": "x" * 200}
            answer = self._ask(client, f"/v1/queues/{self._queue}/jobs", {"payload": payload})
            if answer is None:
                return False
            with self._lock:
                self.acknowledged.pushed[answer["id"]] = payload
                self._lock.notify_all()
        answer = self._ask(client, "/v1/leases", {"queues": [self._queue], "lease_ms": 600_000})
        for job in (answer or {"jobs": []})["jobs"]:
            self.acknowledged.leased[job["id"]] = job["lease"]["token"]
            if job["id"] % 2 and self._ask(client, f"/v1/leases/{job['lease']['token']}/conclude", {"result": job["id"]}):
                self.acknowledged.concluded.add(job["id"])
        return answer is not None

    def _ask(self, client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        try:
            answer = client.post(path, json=body)
        except httpx.TransportError as error:
            self.acknowledged.unknown.append(f"{path}: {error!r}")
            return None
        if answer.status_code in (200, 201):
            return dict(answer.json())
        code = answer.json().get("code")
        if code == "outcome_unknown":
            self.acknowledged.unknown.append(f"{path}: {code}")
        elif code not in REFUSED:
            self.acknowledged.strange.append(f"{path}: {answer.status_code} {answer.text}")
        return None


def everything_is_there(client: httpx.Client, acknowledged: Acknowledged) -> None:
    """Every job that was acknowledged is there, whole, in the state that was acknowledged (or one that an unknown call made of it)."""
    there: dict[int, dict[str, Any]] = {}
    cursor: str | None = None
    while True:
        page = client.get("/v1/jobs", params={"limit": 1_000} | ({"cursor": cursor} if cursor else {})).json()
        there |= {job["id"]: job for job in page["jobs"]}
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert acknowledged.pushed.keys() - there.keys() == set(), "acknowledged jobs are gone"
    assert [id for id, payload in acknowledged.pushed.items() if there[id]["payload"] != payload] == [], "payloads have changed"
    assert {id for id in acknowledged.concluded if there[id]["state"] != "concluded"} == set(), "concluded jobs are back"
    leased = acknowledged.leased.keys() - acknowledged.concluded
    assert {id for id in leased if there[id]["state"] not in ("leased", "concluded")} == set(), "leases are gone"
