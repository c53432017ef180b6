"""C14: no account of a budget is overdrawn: never more held than `limit`, never more started than `burst` + `limit` × t / `per_ms` in any time t, and
nothing that names an account while that is blocked.

A lease says in which time its job started, from the asking to the answer, and until when it was surely held. Only starts that surely lie within a time
are counted in it; a release that may have happened in it allows as much more as it may have given back, and so does a claim without an answer, which
the server may have taken back. A clock that is set refills, so where one was set only what is held is checked.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from torture.checkers.violation import Violation
from torture.digest import AWAY_S, Lease
from torture.history import Call, History

CLOCK_S = 0.002  # the server counts in milliseconds
WINDOW = 300  # starts that are looked at behind each
TAKEN_BACK_S = AWAY_S + 10.0  # after a claim whose answer was lost


@dataclass(slots=True)
class Account:
    """One account: the leases of its jobs, each with its cost, and the words of workers that block it."""

    policy: dict[str, Any]
    leases: list[tuple[Lease, int]] = field(default_factory=list)
    blocks: list[Call] = field(default_factory=list)


def no_account_is_overdrawn(history: History) -> list[Violation]:
    """C14, for every account of every budget."""
    clock_is_set = any(True for _ in history.named("clock set"))
    lost = [call for call in history.calls if call.verb == "claim" and call.outcome == "info"]
    found: list[Violation] = []
    for name, account in _accounts(history).items():
        if "per_ms" not in account.policy:
            found += _held(name, account)
        elif not clock_is_set:
            found += _started(name, account, lost)
        if not clock_is_set:
            found += _blocked(name, account)
    return found


def _accounts(history: History) -> dict[str, Account]:
    policies = {call.asked["budget"]: call.asked for call in history.calls if call.verb == "set_budget" and call.maybe_done}
    accounts: dict[str, Account] = {}
    digest = history.digest
    for lease in digest.leases.values():
        for charge in digest.submitted.get(lease.value, {}).get("budgets", ()):
            if charge["name"] not in policies:
                continue
            name = f"{charge['name']}/{charge.get('key', '')}"
            account = accounts.setdefault(name, Account(policies[charge["name"]]))
            account.leases.append((lease, charge.get("cost", 1)))
            for call in lease.endings:
                block = call.asked.get("block")
                if call.done and block and f"{block['budget']}/{block.get('key', '')}" == name:
                    account.blocks.append(call)
    return accounts


def _held(name: str, account: Account) -> Iterator[Violation]:
    steps: list[tuple[float, int, Lease]] = []
    for lease, cost in account.leases:
        if lease.told_at < lease.surely_held_until:
            steps += [(lease.told_at, cost, lease), (lease.surely_held_until, -cost, lease)]
    steps.sort(key=lambda step: step[:2])
    for (at, cost, lease), held in zip(steps, accumulate(step[1] for step in steps), strict=True):
        if cost > 0 and held > account.policy["limit"]:
            text = f"{name} has {held} units held at {at:.3f} s, and its limit is {account.policy['limit']}"
            yield Violation.of("C14", "budget overdrawn", text, lease.claims[0][0])
            return


def _started(name: str, account: Account, lost: list[Call]) -> Iterator[Violation]:
    limit, per_ms = account.policy["limit"], account.policy["per_ms"]
    burst = account.policy.get("burst", limit)
    starts = sorted(account.leases, key=lambda one: one[0].told_at)
    told = [lease.told_at for lease, _ in starts]
    back = [
        (call.begun, call.ended, cost)
        for lease, cost in account.leases
        for call in lease.endings
        if call.verb == "release" and call.maybe_done
    ]
    back += [(call.begun, call.begun + TAKEN_BACK_S, 2 * call.asked["max"]) for call in lost]
    begun, ended = _sums(back, 0), _sums(back, 1)
    for lease, _ in starts:
        first, units = lease.asked_at, 0
        for other, cost in starts[(at := bisect_left(told, first)) : at + WINDOW]:
            if other.asked_at < first:
                continue
            units += cost
            last = other.told_at
            given_back = _up_to(begun, last) - _before(ended, first)
            most = burst + limit * (last - first + CLOCK_S) * 1000 / per_ms + given_back
            if units > most:
                text = f"{name} started {units} units in {(last - first) * 1000:.0f} ms; {most:.1f} may"
                yield Violation.of("C14", "budget overdrawn", text, lease.claims[0][0], other.claims[0][0])
                return


def _blocked(name: str, account: Account) -> Iterator[Violation]:
    leases = sorted((lease for lease, _ in account.leases), key=lambda lease: lease.asked_at)
    times = [lease.asked_at for lease in leases]
    for call in account.blocks:
        until = call.begun + call.asked["block"]["for_ms"] / 1000 - CLOCK_S
        for lease in leases[bisect_right(times, call.ended) : bisect_left(times, until)]:
            if lease.told_at < until:
                text = f"job {lease.job} started {(until - lease.told_at) * 1000:.0f} ms before the end of a block of {name}"
                yield Violation.of("C14", "budget overdrawn", text, call, lease.claims[0][0])
                return


Sums = tuple[list[float], list[int]]


def _sums(back: list[tuple[float, float, int]], which: int) -> Sums:
    ordered = sorted((one[which], one[2]) for one in back)
    return [at for at, _ in ordered], [0, *accumulate(cost for _, cost in ordered)]


def _up_to(sums: Sums, moment: float) -> int:
    return sums[1][bisect_right(sums[0], moment)]


def _before(sums: Sums, moment: float) -> int:
    return sums[1][bisect_left(sums[0], moment)]
