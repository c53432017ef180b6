"""A history indexed once by value, by job and by lease, so that every checker is one pass over what it needs.

A *value* is the unique text that the harness puts into a payload: it identifies the job before the server has given it an id,
and also when the answer was lost. The digest does not judge; it only says what is certain and what is possible:

    submit ──────────── acknowledged ─ ─ ─ claim ───────── answered ─ ─ ─ conclude ───────── acknowledged
    possibly there from here    surely there from here     surely held    until here         surely ended from here

Invariant: a time called `surely` is never wrong, whatever the network did, because of the call's start and end it uses the one
that makes the statement weaker.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise, zip_longest
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torture.history import Call, History

ENDINGS = ("conclude", "fail", "release")
UNFINISHED = ("scheduled", "ready", "leased")
ENDED = ("concluded", "dead", "cancelled")
REMOVALS = ("cancel", "delete")


def may_end_the_job(call: Call) -> bool:
    """Whether the job may have ended or been removed by this call: it has, unless the call failed or says that the job
    continues.
    """
    if call.verb in ("conclude", "delete"):
        return call.maybe_done
    return call.maybe_done and call.verb != "release" and call.answer.get("state") not in UNFINISHED


def surely_ended_the_job(call: Call) -> bool:
    """Whether the job has ended or been removed by this call: acknowledged, by its verb or by the state in the answer."""
    return call.done and (call.verb in ("conclude", "delete") or call.answer.get("state") in ENDED)


AWAY_S = 2.0  # without any answer, under load: no server ran (3 s since the last mark, which is renewed once a second)
GRACE_S = 7.0  # the extension of leases that expired meanwhile, and the second in which the server notices


@dataclass(slots=True)
class Lease:
    """One token: the claims that returned it (more than one if a claim was repeated), and its uses."""

    token: str
    job: int
    attempt: int
    value: str
    queue: str
    first_asked: float = (
        inf  # when a claim that was repeated was asked for the first time: an answer that was lost granted it as well
    )
    claims: list[tuple[Call, float]] = field(default_factory=list)  # the call, seconds left in its answer
    endings: list[Call] = field(default_factory=list)
    extends: list[Call] = field(default_factory=list)

    @property
    def asked_at(self) -> float:
        return min(self.first_asked, *(call.begun for call, _ in self.claims))

    @property
    def told_at(self) -> float:
        return min(call.ended for call, _ in self.claims)

    @property
    def surely_alive_until(self) -> float:
        """The server granted it after the request at the earliest, so the lease lasts at least that much longer.

        The last extension decides, because it may also shorten; after one of unknown outcome nothing is sure.
        """
        unknown = [call.begun for call in self.extends if call.outcome == "info"]
        extended = [call for call in self.extends if call.done]
        if not extended:
            return min([max(call.begun + left for call, left in self.claims), *unknown])
        last = max(extended, key=lambda call: call.begun)
        return min([last.begun + last.answer["ms_left"] / 1000, *unknown])

    @property
    def surely_over_from(self) -> float:
        """The server granted at the latest when it answered. An extension of unknown outcome makes this unknowable."""
        if any(call.outcome == "info" for call in self.extends):
            return inf
        extended = [call for call in self.extends if call.done]
        if not extended:
            return min(call.ended + left for call, left in self.claims)
        last = max(extended, key=lambda call: call.ended)
        return last.ended + last.answer["ms_left"] / 1000

    @property
    def surely_held_until(self) -> float:
        let_go = [call.begun for call in self.endings if call.maybe_done]
        return min([self.surely_alive_until, *let_go])


def _copied_again(history: History) -> Iterator[float]:
    """When enough standbys could write again, after a period in which no node could write its mark to the database."""
    short_since: float | None = None
    for event in history.named("copies"):
        if event.details["able"] < event.details["needed"]:
            short_since = event.at if short_since is None else short_since
        elif short_since is not None:
            if event.at - short_since > AWAY_S:
                yield event.at
            short_since = None


def _returns(calls: list[Call]) -> Iterator[float]:
    """When a change was first answered again, after a period in which every call failed. Reads continue beside a primary that
    is cut off.
    """
    failed = sorted(call.ended for call in calls if not call.done)
    done = sorted(
        call.ended for call in calls if call.done and call.verb != "count" and (call.verb != "claim" or call.answer["jobs"])
    )
    for before, after in pairwise(done):
        if after - before > AWAY_S and bisect_left(failed, before) < bisect_left(failed, after):
            yield after


class Digest:
    """What the history says of each value, job and lease. `back_at`: when the server was back after an outage."""

    def __init__(self, history: History) -> None:
        self.submits: dict[str, list[Call]] = defaultdict(list)  # by value
        self.submitted: dict[str, dict[str, Any]] = {}  # value -> its job as it was sent
        self.acknowledged: dict[str, int | None] = {}  # value -> id (None where the answer names none)
        self.promised: dict[str, Call] = {}  # values of closing jobs, and the making of their batch
        self.jobs_of: dict[str, set[int]] = defaultdict(set)  # value -> every id it was ever seen under
        self.leases: dict[str, Lease] = {}  # by token
        self.leases_of: dict[int, list[Lease]] = defaultdict(list)  # by job, in the order of their answers
        self.removals: dict[int, list[Call]] = defaultdict(list)  # by job: cancel, delete
        self.revived: set[int] = set()  # jobs with a retry request: dead was not their end
        self.listed: dict[int, dict[str, Any]] = {}  # id -> the job in the last listing
        self.delivered: set[str] = set()  # values that a worker got
        self._first_asked: dict[str, float] = {}  # by request id of a claim
        for call in history.calls:
            if call.verb == "claim" and (request := call.asked.get("request_id")):
                self._first_asked[request] = min(call.begun, self._first_asked.get(request, inf))
        for call in history.calls:
            self._take(call)
        self.back_at = [event.at for event in history.named("ready")] + list(_returns(history.calls))
        self.back_at += _copied_again(history)
        for call in history.calls:
            self._take_use_of_lease(call)
        for event in history.named("listed"):
            self.listed = {job["id"]: job for job in event.details["jobs"]}
        for job in self.listed.values():
            self.jobs_of[job["value"]].add(job["id"])
        for leases in self.leases_of.values():
            leases.sort(key=lambda lease: lease.told_at)

    @cached_property
    def seen(self) -> set[str]:
        """Values that a worker got or that were in the last listing."""
        return self.delivered | {job["value"] for job in self.listed.values()}

    def ids(self) -> Iterator[tuple[int, str]]:
        """Every known job with its value."""
        for value, ids in self.jobs_of.items():
            for job in ids:
                yield job, value

    def endings(self, job: int) -> Iterator[Call]:
        """Every use that could end a lease of the job."""
        for lease in self.leases_of[job]:
            yield from lease.endings

    def surely_over_from(self, lease: Lease) -> float:
        """As the lease says; but one that expired during an outage, or soon after it, is extended for a while."""
        over = lease.surely_over_from
        for moment in self.back_at:
            if lease.asked_at < moment and over < moment + GRACE_S:
                over = moment + GRACE_S
        return over

    def _take(self, call: Call) -> None:
        if call.verb in ("submit", "batch"):
            self._take_submit(call)
            for job in call.asked.get("closing", {}).values():
                self.promised[job["value"]] = call
        elif call.verb == "claim":
            self._take_claim(call)
        elif call.verb == "retry":
            self.revived.add(call.asked["job"])
        elif call.verb in REMOVALS:
            self.removals[call.asked["job"]].append(call)

    def _take_submit(self, call: Call) -> None:
        jobs = call.asked["jobs"]
        told = call.answer.get("ids") or []
        for job, number in zip_longest(jobs, told[: len(jobs)]):
            value = job["value"]
            self.submits[value].append(call)
            self.submitted.setdefault(value, job)
            if call.done:
                self.acknowledged[value] = number if number is not None else self.acknowledged.get(value)
                if number is not None:
                    self.jobs_of[value].add(number)

    def _take_claim(self, call: Call) -> None:
        for job in call.answer.get("jobs", ()):
            token = job["token"]
            lease = self.leases.get(token)
            if lease is None:
                lease = Lease(token, job["id"], job["attempt"], job["value"], job["queue"])
                self.leases[token] = lease
                self.leases_of[job["id"]].append(lease)
            lease.claims.append((call, job["ms_left"] / 1000))
            lease.first_asked = min(lease.first_asked, self._first_asked.get(call.asked.get("request_id"), inf))
            self.delivered.add(job["value"])
            self.jobs_of[job["value"]].add(job["id"])

    def _take_use_of_lease(self, call: Call) -> None:
        lease = self.leases.get(call.asked.get("token", ""))
        if lease is None:
            return
        if call.verb == "extend":
            lease.extends.append(call)
        elif call.verb in ENDINGS:
            lease.endings.append(call)
