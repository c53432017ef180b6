"""The queues of a trial. Each serves one purpose, so that a failure has few possible causes.

wide     ordinary work: single, keyed, bulk, delayed, cancelled, deleted
narrow   room for a few jobs, always filled to its limit
single   unique keys: one unfinished job per key
brief    short leases, which slow workers let expire before they try to conclude
passed   the same, leased by slow workers only: a late token is used while a later one is valid
paid     jobs with budgets: units of a rate, units that are held, or both
joined   members of batches, which die and are retried, too
closing  the closing jobs of these batches; some of them are members of another
shared   fair shares: one key with very many jobs, and some with a few
timed    jobs with a deadline, which may pass before a worker comes
held     not used by the load, for faults that need leases of their own
"""

from __future__ import annotations

from typing import Any

NARROW_CAPACITY = 20
WIDE_CAPACITY = 1500  # keeps the final drain short; nothing that is tested depends on it
RETRY = {"base_ms": 20, "factor": 2, "max_ms": 200, "jitter": 0}
PATIENT = {"retry": RETRY, "max_attempts": 1000, "max_crashes": 1000}  # so that no job dies unless that is requested
QUEUES: dict[str, dict[str, Any]] = {
    "wide": {**PATIENT, "capacity_jobs": WIDE_CAPACITY},
    "narrow": {**PATIENT, "capacity_jobs": NARROW_CAPACITY},
    "single": PATIENT,
    "brief": {**PATIENT, "capacity_jobs": 300},
    "passed": PATIENT,
    "paid": {**PATIENT, "capacity_jobs": 120},
    "joined": PATIENT,
    "closing": PATIENT,
    "shared": {**PATIENT, "capacity_jobs": 200, "fair": True},
    "timed": PATIENT,
    "held": PATIENT,
}
BUDGETS: dict[str, dict[str, int]] = {
    "few": {"limit": 3},
    "rate": {"limit": 20, "per_ms": 1000, "burst": 5},
}
BUDGET_KEYS: tuple[dict[str, str], ...] = ({}, {"key": "a"})  # each is an account of its own
FLOWN = ["paid", "joined", "closing", "shared", "timed"]
WORKED = ["wide", "narrow", "single", "brief"]
FAR = "/far-"  # marks the value of a job delayed by FAR_MS, which is longer than any run: it is promoted by hand
FAR_MS = 3_600_000
LEASE_MS = (500, 1500)  # of ordinary workers
BRIEF_MS = (120, 300)  # of slow workers
