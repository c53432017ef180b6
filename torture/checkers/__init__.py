"""The checkers: pure functions from a history to the list of broken promises in it.

    durability  C1 nothing acknowledged is lost, nothing unexpected appears · C7 every job is in a state, or was removed by a request
    leases      C2 concluded once and only by the holder · C3 held by one at a time · C4 attempts grow · C8 leases return in time
    bounds      C6 a bound is never exceeded, and refused only when it is reached
    keys        C9 one job per idempotency key, one unfinished job per unique key · C10 bulk is all or nothing
    copies      C12 nothing is acknowledged while fewer standbys than needed could have stored it
    waiting     C13 who waits is given what is ready
    budgets     C14 no account of a budget is overdrawn, nothing starts while it is blocked
    batches     C15 each closing job of a batch comes once, when it is due · the counts are those of the members
    deadlines   C16 nothing starts after its deadline, nothing expires before
    fairness    C17 in a fair queue nobody waits behind the many jobs of another
    answers     C0 every answer is one of the contract
    order       C11 no answer leaves before the sync that covers it (reads a system call trace, not a history)

Each is one pass over the digest of the history, plus a sort. A checker without input reports nothing, so the report counts what
was checked beside what was found.
"""

from __future__ import annotations

from collections.abc import Callable

from torture.checkers import answers, batches, bounds, budgets, copies, deadlines, durability, fairness, keys, leases, waiting
from torture.checkers.violation import Violation
from torture.history import History

Checker = Callable[[History], list[Violation]]

ALL: dict[str, Checker] = {
    "C0 answers": answers.every_answer_is_in_the_contract,
    "C1 total queue": durability.nothing_acknowledged_is_lost,
    "C2 concluded once": leases.a_job_is_concluded_once_and_by_its_holder,
    "C3 one holder": leases.a_job_has_one_holder_at_a_time,
    "C4 attempts grow": leases.attempts_grow,
    "C6 bounds": bounds.a_bound_holds_exactly,
    "C7 in a state": durability.every_job_is_in_the_state_it_was_brought_to,
    "C8 leases return": leases.what_expired_is_claimable_again,
    "C9 one per key": keys.one_job_per_key,
    "C10 all or nothing": keys.bulk_is_all_or_nothing,
    "C12 copies": copies.what_is_answered_is_on_enough_standbys,
    "C13 waiting": waiting.nobody_waits_beside_a_ready_job,
    "C14 budgets": budgets.no_account_is_overdrawn,
    "C15 batches": batches.closing_jobs_come_once,
    "C16 deadlines": deadlines.nothing_runs_after_its_deadline,
    "C17 fairness": fairness.nobody_is_starved,
}


def check(history: History) -> list[Violation]:
    """Run every checker."""
    return [violation for checker in ALL.values() for violation in checker(history)]


__all__ = ["ALL", "Checker", "Violation", "check"]
