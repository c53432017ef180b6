"""The report: per fault the injections, the number of observations, and the violations. Zeroes are printed, too: they are the
result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from torture.checkers import Violation

SHOWN = 8  # violations of one fault that are printed in full

# Heading -> the kinds of violation that it counts. All others are counted as `other`.
FOUND = {
    "lost": {"lost", "conclusion lost", "removal undone"},
    "twice": {"concluded twice", "stale token", "expired token", "concluded by nobody"},
    "overlap": {"overlapping leases", "attempts shrink"},
    "bound": {"bound exceeded", "refused with room"},
    "dup": {"duplicate", "torn bulk"},
    "early": {"answer before sync"},
    "flow": {
        "budget overdrawn",
        "expired job run",
        "expired too soon",
        "batch lost",
        "batch stuck",
        "batch miscounted",
        "tenant starved",
    }
    | {f"closing job {what}" for what in ("twice", "missing", "wrong", "early")},
}
LEGEND = (
    "hits: injections. lost: acknowledged, and gone or undone. twice: concluded more than once, or by a lease that was not held.\n"
    "overlap: two holders of one job. bound: exceeded, or refused with room. dup: two jobs for one key, or a torn bulk.\n"
    "early: answered before the sync. flow: a budget overdrawn, a closing job of a batch missing, twice or wrong, a job run late, a tenant starved."
)
DONE = {
    "calls": "calls",
    "acked": "acknowledged",
    "unknown": "unknown",
    "jobs": "jobs",
    "leases": "leases",
    "hits": "injections",
}


@dataclass(slots=True)
class Outcome:
    """The result of one fault."""

    fault: str
    seconds: float = 0.0
    skipped: str | None = None
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    kept: str | None = None  # where the history is, if something was found


def table(outcomes: Iterable[Outcome]) -> str:
    """All outcomes as one table with a sum."""
    heads = ["fault", "s", *DONE, *FOUND, "other"]
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    rows = [[outcome.fault, f"{outcome.seconds:.0f}", *map(str, numbers(outcome))] for outcome in ran]
    sums = [str(sum(column)) for column in zip(*map(numbers, ran), strict=True)]
    rows.append(["all", f"{sum(outcome.seconds for outcome in ran):.0f}", *sums])
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=False)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width) for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        for row in [heads, *rows]
    ]
    return "\n".join([*lines, LEGEND])


def numbers(outcome: Outcome) -> list[int]:
    """The figures of one fault, in the order of the headings."""
    kinds = Counter(violation.kind for violation in outcome.violations)
    found = [sum(kinds.pop(kind, 0) for kind in counted) for counted in FOUND.values()]
    return [*(outcome.counts[name] for name in DONE.values()), *found, sum(kinds.values())]


def details(outcome: Outcome) -> str:
    """The details that are not in the table: refusals by code, other counts, and the violations themselves."""
    shown = set(DONE.values()) | {"refused"}
    rest = ", ".join(f"{name} {many}" for name, many in sorted(outcome.counts.items()) if name not in shown and many)
    lines = [f"  {rest}"] if rest else []
    lines += [f"  VIOLATION {violation}" for violation in outcome.violations[:SHOWN]]
    if len(outcome.violations) > SHOWN:
        lines.append(f"  … and {len(outcome.violations) - SHOWN} more")
    if outcome.kept:
        lines.append(f"  history kept: {outcome.kept}")
    return "\n".join(lines)


def skips(outcomes: Iterable[Outcome]) -> str:
    """What this machine could not do, by name and reason."""
    skipped = [outcome for outcome in outcomes if outcome.skipped]
    return "\n".join(f"  SKIPPED {outcome.fault}: {outcome.skipped}" for outcome in skipped)


def verdict(outcomes: list[Outcome], seed: str) -> str:
    """The last lines."""
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    found = sum(len(outcome.violations) for outcome in ran)
    acknowledged = sum(outcome.counts["acknowledged"] for outcome in ran)
    injections = sum(outcome.counts["injections"] for outcome in ran)
    told = "no violation" if not found else f"{found} VIOLATIONS"
    skipped = len(outcomes) - len(ran)
    return (
        f"{told} in {acknowledged} acknowledged calls and {injections} injections; "
        f"{len(ran)} faults ran, {skipped} skipped; seed {seed}"
    )
