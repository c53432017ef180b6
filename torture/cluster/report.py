"""The result of a trial on a cluster, as one row of the table in `bench/results/torture.md`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from torture.checkers import Violation
from torture.history import Call, History

SHOWN = 6
LOST = {"lost", "conclusion lost", "removal undone", "false refusal"}
TWICE = {"concluded twice", "stale token", "expired token", "concluded by nobody", "duplicate"}
FEW = {"too few copies"}


@dataclass(slots=True)
class ClusterOutcome:
    """The result of one fault with one K. `outages`: seconds from the loss of a primary to the next acknowledgement."""

    fault: str
    replicas: int
    seconds: float = 0.0
    skipped: str | None = None
    counts: dict[str, int] = field(default_factory=Counter)
    outages: list[float] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    kept: str | None = None


def seen(history: History) -> Counter[str]:
    """What the run consisted of, and how unknown outcomes were resolved."""
    counts: Counter[str] = Counter()
    digest = history.digest
    keyed: dict[str, list[Call]] = defaultdict(list)
    for call in history.calls:
        counts["calls"] += 1
        counts[{"ok": "acknowledged", "fail": "refused", "info": "unknown"}[call.outcome]] += 1
        counts["not_replicated"] += call.code == "not_replicated"
        if call.verb == "submit" and call.asked["key"]:
            keyed[call.asked["key"]].append(call)
        elif call.verb == "submit" and call.outcome == "info":
            there = any(job["value"] in digest.seen for job in call.asked["jobs"])
            counts["without a key: had been done" if there else "without a key: had not"] += 1
        elif call.outcome == "info":
            counts["other calls unknown"] += 1
    for tries in keyed.values():
        counts[_resolved(tries)] += any(call.outcome == "info" for call in tries)
    counts["jobs"] = len(digest.acknowledged)
    return counts


def _resolved(tries: list[Call]) -> str:
    """How a call with a key whose outcome was unknown was resolved by its repetitions."""
    if tries[0].done:
        return "key repeated: known before"
    first = next(number for number, call in enumerate([*tries, None]) if call is None or call.outcome == "info")
    later = next((call for call in tries[first + 1 :] if call.done), None)
    if later is None:
        return (
            "key repeated: refused for good"
            if any(call.outcome == "fail" for call in tries[first + 1 :])
            else "key repeated: still unknown"
        )
    return "key repeated: had been done" if later.answer.get("duplicate") else "key repeated: done now"


def outages(history: History) -> list[float]:
    """For each loss of a primary, how long until a job sent after it was acknowledged."""
    done = sorted((call.begun, call.ended) for call in history.calls if call.verb == "submit" and call.done)
    found = []
    for event in history.named("primary lost"):
        after = [ended for begun, ended in done if begun > event.at]
        if after:
            found.append(min(after) - event.details["since"])
    return found


HEADS = [
    "fault",
    "K",
    "injected",
    "jobs acknowledged",
    "calls acknowledged",
    "lost",
    "twice",
    "on fewer than K",
    "other",
    "unknown",
]
HEADS += ["by key: done / not yet", "accepts again after, s"]


def cells(outcome: ClusterOutcome) -> list[str]:
    """One row."""
    kinds = Counter(violation.kind for violation in outcome.violations)
    found = [sum(kinds.pop(kind, 0) for kind in counted) for counted in (LOST, TWICE, FEW)]
    counts = outcome.counts
    by_key = f"{counts['key repeated: had been done']} / {counts['key repeated: done now']}"
    again = f"{min(outcome.outages):.1f}–{max(outcome.outages):.1f}" if outcome.outages else "–"
    numbers = (counts["injections"], counts["jobs"], counts["acknowledged"], *found, sum(kinds.values()), counts["unknown"])
    return [outcome.fault, str(outcome.replicas), *map(str, numbers), by_key, again]


def table(outcomes: Iterable[ClusterOutcome]) -> str:
    """All of them as a table of Markdown."""
    ran = [outcome for outcome in outcomes if not outcome.skipped]
    rows = [cells(outcome) for outcome in ran]
    sums = [str(sum(int(row[column]) for row in rows)) for column in range(2, 10)]
    lines = [HEADS, ["---"] * len(HEADS), *rows, ["all", "", *sums, "", ""]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def add(file: Path, outcome: ClusterOutcome) -> None:
    """Add this to a file of results."""
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(outcome) + b"\n")


def read(file: Path) -> list[ClusterOutcome]:
    """Read a file of results, in the order of faults; a later result of the same fault and K replaces the earlier one."""
    found = [msgspec.json.decode(line, type=ClusterOutcome) for line in file.read_bytes().splitlines()]
    last = {(outcome.fault, outcome.replicas): outcome for outcome in found}
    for outcome in last.values():
        outcome.counts = Counter(outcome.counts)
    return list(last.values())


def details(outcome: ClusterOutcome) -> str:
    """The details that are not in the table."""
    rest = ", ".join(f"{name} {many}" for name, many in sorted(outcome.counts.items()) if many)
    lines = [f"  {rest}"]
    lines += [f"  VIOLATION {violation}" for violation in outcome.violations[:SHOWN]]
    if len(outcome.violations) > SHOWN:
        lines.append(f"  … and {len(outcome.violations) - SHOWN} more")
    if outcome.kept:
        lines.append(f"  history kept: {outcome.kept}")
    return "\n".join(lines)
