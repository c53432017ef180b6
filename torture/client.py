"""A client of the server: every verb is recorded in the history, with what is known of its outcome.

The client never retries by itself: its caller does, because a retry is a call of its own in the history.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from torture.history import FAIL, INFO, OK, Call, History
from torture.wire import Broken, NeverSent, Reply, Wire

# The 503s that promise that nothing was changed. Any other 5xx leaves the outcome open, and is counted as unknown.
DEFINITE_503 = {"draining", "store_unavailable", "overloaded", "not_replicated"}
KEPT = ("queue", "unique_key", "delay_ms", "max_attempts", "budgets", "batch", "expires_in_ms", "fair_key")
BATCHED = ("conclude", "fail", "release", "extend")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer. `status` is None if there was none."""

    outcome: str
    status: int | None
    code: str | None
    body: Json


def judge(status: int, body: Json) -> Answer:
    """Done, certainly not done, or unknown, by the contract for each status."""
    code = body.get("code")
    if 200 <= status < 300:
        return Answer(OK, status, None, body)
    if 400 <= status < 500 or status == 507 or (status == 503 and code in DEFINITE_503):
        return Answer(FAIL, status, code, body)
    return Answer(INFO, status, code, body)


class Client:
    """A producer, worker or operator with one connection. It does one call at a time."""

    def __init__(self, name: str, history: History, port: int, timeout_s: float = 5.0, others: tuple[int, ...] = ()) -> None:
        self.name = name
        self.history = history
        self.wire = Wire(port, timeout_s, others)
        self.unreachable = False  # nothing listened at the last try
        self.turned_away = False  # a server was running, but could not do anything

    # ---------------------------------------------------------------------------------------------- producing

    async def submit(self, jobs: list[Json], key: str | None = None, wait_ms: int = 0, lease: str | None = None) -> Call:
        """Enqueue `jobs` (each `{queue, payload: {"v": value}, …}`): alone if there is one, else all or nothing. `lease`: the token of one that adds
        them to its own batch.
        """
        asked = {"jobs": [asked_job(job) for job in jobs], "key": key}
        call = self.history.invoke(self.name, "submit", asked)
        headers = ({"Idempotency-Key": key} if key else {}) | ({"Lease-Token": lease} if lease else {})
        if len(jobs) == 1:
            job = dict(jobs[0])
            path = f"/v1/queues/{quote(job.pop('queue'))}/jobs" + (f"?wait_ms={wait_ms}" if wait_ms else "")
            answer = await self.ask("POST", path, job, headers)
            told = [answer.body]
        else:
            answer = await self.ask("POST", "/v1/jobs", {"jobs": jobs}, headers)
            told = answer.body.get("jobs", [])
        ids = [job["id"] for job in told] if answer.outcome == OK else []
        self._close(call, answer, {"ids": ids, "duplicate": answer.body.get("duplicate", False)})
        return call

    async def make_batch(self, name: str, jobs: list[Json], closed: bool, closing: dict[str, Json]) -> Call:
        """Make a batch with these jobs; `closing` by `on_success`, `on_finish`, `on_failure`. The call's answer has `id` and `ids`."""
        told = {on: asked_job(job) for on, job in closing.items()}
        asked = {"name": name, "jobs": [asked_job(job) for job in jobs], "closed": closed, "closing": told}
        call = self.history.invoke(self.name, "batch", asked)
        answer = await self.ask("POST", "/v1/batches", {"name": name, "jobs": jobs, "closed": closed, **closing})
        self._close(call, answer, {"id": answer.body.get("id"), "ids": answer.body.get("jobs", [])})
        return call

    async def end_batch(self, verb: str, batch: int) -> Call:
        """Close or cancel a batch."""
        call = self.history.invoke(self.name, f"{verb}_batch", {"batch": batch})
        self._close(call, await self.ask("POST", f"/v1/batches/{batch}/{verb}", {}), {})
        return call

    # ---------------------------------------------------------------------------------------------- consuming

    async def claim(self, queues: list[str], most: int, lease_ms: int, wait_ms: int = 0, request_id: str | None = None) -> Call:
        """Lease up to `most` jobs; the call's answer has `jobs` with id, value, token, attempt, ms_left."""
        call, body = self._invoke_claim(queues, most, lease_ms, wait_ms, request_id)
        self._claimed(call, await self.ask("POST", "/v1/leases", body))
        return call

    async def claim_late(
        self, queues: list[str], lease_ms: int, wait_ms: int, after_s: float, half_closed: bool = False
    ) -> Call:
        """Lease one job on a connection of its own, and stand still before the answer is read."""
        call, body = self._invoke_claim(queues, 1, lease_ms, wait_ms, None, half_closed=half_closed)
        wire = Wire(self.wire.port, self.wire.timeout_s + after_s)
        sent = wire.http("POST", "/v1/leases", msgspec.json.encode(body))
        self._claimed(call, await self._exchanged(wire.late(sent, after_s, half_closed)))
        return call

    def began_claim(self, queues: list[str], most: int, lease_ms: int) -> Call:
        """Jobs that a channel may bring from now on, or never."""
        return self._invoke_claim(queues, most, lease_ms, 0, None)[0]

    def brought(self, call: Call, jobs: list[Json]) -> None:
        """A channel has brought these."""
        for job in jobs:
            job["payload"] = payload_of(job)
        self._claimed(call, Answer(OK, 200, None, {"jobs": jobs}))

    def began(self, verb: str, leased: Json) -> Call:
        """A use of a lease that is sent on a channel."""
        return self._invoke_use(verb, leased)

    def ended(self, call: Call, result: Json) -> None:
        """What the channel said about it."""
        answer = judge(int(result.get("status", 200)), result)
        self._close(call, answer, _used(answer.body))

    def may_release(self, leased: Json) -> None:
        """The server may release it, now or later: its outcome stays unknown."""
        self._invoke_use("release", leased)

    def _invoke_claim(
        self, queues: list[str], most: int, lease_ms: int, wait_ms: int, request_id: str | None, half_closed: bool = False
    ) -> tuple[Call, Json]:
        asked = {"queues": queues, "max": most, "lease_ms": lease_ms, "half_closed": half_closed, "request_id": request_id}
        body = {"queues": queues, "max": most, "lease_ms": lease_ms, "wait_ms": wait_ms, "worker": self.name}
        return self.history.invoke(self.name, "claim", asked), body | ({"request_id": request_id} if request_id else {})

    def _claimed(self, call: Call, answer: Answer) -> None:
        self._close(call, answer, {"jobs": [_claimed(job) for job in answer.body.get("jobs", [])]})

    async def use(self, verb: str, leased: Json, then: list[Json] | None = None, **options: Any) -> Call:
        """conclude, fail, release or extend one lease, as `claim` returned it. `then` are follow-up jobs of a conclude."""
        block = options.get("block")
        call = self._invoke_use(verb, leased, **({"block": block} if block else {}))
        followers = self._invoke_then(then)
        body = dict(options) if not then else {**options, "then": then}
        answer = await self.ask("POST", f"/v1/leases/{leased['token']}/{verb}", body)
        self._close(call, answer, _used(answer.body))
        if followers:
            self._close(followers, answer, {"ids": []})
        return call

    async def use_many(self, uses: list[tuple[str, Json, Json]]) -> list[Call]:
        """Use many leases in one batch request; each `(verb, leased, options)` is a call of its own in the history."""
        ordered = [use for verb in BATCHED for use in uses if use[0] == verb]
        calls = [self._invoke_use(verb, leased, via="batch") for verb, leased, _ in ordered]
        body: dict[str, list[Json]] = {}
        for verb, leased, options in ordered:
            body.setdefault(verb, []).append({"token": leased["token"], **options})
        answer = await self.ask("POST", "/v1/leases/batch", body)
        results = [result for verb in BATCHED for result in answer.body.get(verb, [])]
        for i, call in enumerate(calls):
            one = _batch_answer(answer, results, i)
            self._close(call, one, _used(one.body))
        return calls

    # ---------------------------------------------------------------------------------------------- managing

    async def manage(self, verb: str, job: int) -> Call:
        """cancel, promote, retry or delete a job by its number."""
        call = self.history.invoke(self.name, verb, {"job": job})
        if verb == "delete":
            answer = await self.ask("DELETE", f"/v1/jobs/{job}")
        else:
            answer = await self.ask("POST", f"/v1/jobs/{job}/{verb}", {})
        self._close(call, answer, {"state": answer.body.get("state")})
        return call

    async def set_queue(self, queue: str, settings: Json) -> Call:
        """Set a queue's capacity and policies."""
        call = self.history.invoke(self.name, "set_queue", {"queue": queue, "settings": settings})
        self._close(call, await self.ask("PUT", f"/v1/queues/{quote(queue)}", settings), {})
        return call

    async def set_budget(self, name: str, policy: Json) -> Call:
        """Make a budget."""
        call = self.history.invoke(self.name, "set_budget", {"budget": name, **policy})
        self._close(call, await self.ask("PUT", f"/v1/budgets/{quote(name)}", policy), {})
        return call

    async def batches(self, cursor: str | None = None) -> Answer:
        """One page of the batches, as `page` for jobs."""
        return await self.ask("GET", "/v1/batches?" + urlencode({"limit": "1000"} | ({"cursor": cursor} if cursor else {})))

    async def count(self, queue: str) -> Call:
        """How many jobs the queue reports, by state."""
        call = self.history.invoke(self.name, "count", {"queue": queue})
        answer = await self.ask("GET", f"/v1/queues/{quote(queue)}")
        self._close(call, answer, {"counts": _counts(answer.body)})
        return call

    async def page(self, limit: int, cursor: str | None = None, **filters: str) -> Answer:
        """One page of the listing. Not in the history: the last listing is recorded as a whole."""
        query = {"limit": str(limit), **filters}
        if cursor:
            query["cursor"] = cursor
        answer = await self.ask("GET", f"/v1/jobs?{urlencode(query)}")
        for job in answer.body.get("jobs", ()):
            job["payload"] = payload_of(job)
        return answer

    # ---------------------------------------------------------------------------------------------- the wire

    async def ask(self, method: str, path: str, body: Json | None = None, headers: Json | None = None) -> Answer:
        """One exchange, with its outcome; never raises for what the server or the network did."""
        content = msgspec.json.encode(body) if body is not None else b""
        return await self._exchanged(self.wire.request(method, path, content, headers))

    async def _exchanged(self, exchange: Awaitable[Reply]) -> Answer:
        self.unreachable = self.turned_away = False
        try:
            reply = await exchange
        except NeverSent:
            self.unreachable = True
            return Answer(FAIL, None, "never_sent", {})
        except Broken:
            return Answer(INFO, None, "broken", {})
        self.turned_away = reply.status == 503
        return judge(reply.status, _object(reply.body))

    def close(self) -> None:
        """Close the connection."""
        self.wire.close()

    def _invoke_use(self, verb: str, leased: Json, **more: Any) -> Call:
        named = {"job": leased["id"], "token": leased["token"], "attempt": leased["attempt"]}
        return self.history.invoke(self.name, verb, {**named, **more})

    def _invoke_then(self, then: list[Json] | None) -> Call | None:
        if not then:
            return None
        return self.history.invoke(self.name, "submit", {"jobs": [asked_job(job) for job in then], "key": None})

    def _close(self, call: Call, answer: Answer, told: Json) -> None:
        code = answer.code if answer.outcome != OK else None
        self.history.close(call, answer.outcome, answer.status, code, told if answer.outcome == OK else answer.body)


async def ready(port: int) -> bool:
    """Whether the server at `port` is ready."""
    wire = Wire(port, 2.0)
    try:
        return (await wire.request("GET", "/readyz")).status == 200
    except (NeverSent, Broken, asyncio.IncompleteReadError):
        return False
    finally:
        wire.close()


def payload_of(job: Json) -> Any:
    """The payload of a job; without a content type it is read as JSON, which all clients here send."""
    if "payload_base64" not in job:
        return job.get("payload")
    try:
        return msgspec.json.decode(base64.b64decode(job["payload_base64"]))
    except ValueError:
        return job["payload_base64"]


def value_of(payload: Any) -> str:
    """The unique value of a job; for a payload that the harness never sent, the whole payload, so that a checker reports it."""
    if isinstance(payload, dict) and isinstance(payload.get("v"), str):
        return payload["v"]
    return f"foreign:{payload!r}"[:200]


def asked_job(job: Json) -> Json:
    """What the history records of a submitted job."""
    kept: Json = {name: job[name] for name in KEPT if name in job}
    return {"value": value_of(job["payload"]), **kept}


def _claimed(job: Json) -> Json:
    lease = job["lease"]
    return {
        "id": job["id"],
        "queue": job["queue"],
        "value": value_of(payload_of(job)),
        "attempt": job["attempt"],
        "token": lease["token"],
        "ms_left": lease["ms_left"],
        **{name: job[name] for name in ("batch", "budgets") if name in job},
    }


def _used(body: Json) -> Json:
    return {name: body[name] for name in ("state", "ms_left") if name in body}


def _counts(body: Json) -> Json:
    counts = body.get("jobs", {})
    return {state: counts.get(state) for state in ("scheduled", "ready", "leased", "dead", "concluded", "cancelled")}


def _batch_answer(whole: Answer, results: list[Json], i: int) -> Answer:
    """The answer to the i-th entry: that of the whole batch if it was refused or lost."""
    if whole.outcome != OK:
        return whole
    if i >= len(results):
        return Answer(INFO, whole.status, "no_result", {})
    result = results[i]
    return judge(int(result.get("status", 200)), result)


def _object(body: bytes) -> Json:
    try:
        found = msgspec.json.decode(body) if body else {}
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}
