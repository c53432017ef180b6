"""The runs of one case drawn together: medians, and how far the runs lay apart."""

from collections.abc import Callable, Iterable
from statistics import median

import msgspec

from bench.figures import Histogram, Latency, Spread
from bench.machine import Machine
from bench.sizes import Sizes
from bench.stage import Counts, Row

ROLES = ("front", "keeper", "other", "peer", "primary", "standby")


class Line(msgspec.Struct, kw_only=True):
    """One case over all its runs. Figures that a case does not have are None or left out."""

    subject: str
    name: str
    callers: int
    runs: int
    operations: int
    failed_calls: int
    rate: Spread
    asked_rate: Spread | None
    p50_ms: Spread | None
    p99_ms: Spread | None
    p999_ms: Spread | None
    max_ms: Spread | None
    late_p50_ms: Spread | None
    late_p99_ms: Spread | None
    cpu_us: dict[str, Spread]
    cpu_us_all: Spread | None
    cpu_share: dict[str, Spread]
    client_cpu_us: Spread | None
    client_share: Spread
    others_share: Spread
    pss_mb: dict[str, Spread]
    rss_mb: dict[str, Spread]
    pss_mb_all: Spread | None
    commit_batch_mean: Spread | None
    commit_ms_mean: Spread | None
    proof_ms_mean: Spread | None = None
    calls: dict[str, dict[str, float]] = {}  # system calls per job, of each role
    fdatasync_p50_ms: Spread
    fdatasync_p99_ms: Spread


class Report(msgspec.Struct, kw_only=True):
    """A whole run, as it is written to the machine-readable file."""

    date: str
    sizes: Sizes
    store: str
    fronts: int
    machine: Machine
    durability: str
    start_s: Spread | None
    lines: list[Line]
    skipped: list[str]
    counts: list[Counts]
    notes: list[str]
    problems: list[str]
    peers: dict[str, str]
    seconds: float
    rows: list[Row]
    ways: dict[str, str] = {}  # how fast a way each Python peer was given

    def added_to(self, earlier: "Report") -> "Report":
        """Both as one: what was measured again replaces what was; the sizes are those of the earlier run."""
        again = {(row.subject, row.name) for row in self.rows}
        rows = [row for row in earlier.rows if (row.subject, row.name) not in again] + self.rows
        counts = [count for count in earlier.counts if count.case not in {new.case for new in self.counts}] + self.counts
        notes = [*dict.fromkeys([*earlier.notes, *self.notes])]
        return msgspec.structs.replace(
            self,
            rows=rows,
            lines=draw_together(rows),
            counts=counts,
            notes=notes,
            start_s=earlier.start_s or self.start_s,
            sizes=earlier.sizes,
            skipped=earlier.skipped,
            peers=earlier.peers | self.peers,
            ways=earlier.ways | self.ways,
            seconds=earlier.seconds + self.seconds,
        )


def draw_together(rows: Iterable[Row]) -> list[Line]:
    """One line per subject and case, in the order in which they were first measured."""
    cases: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        cases.setdefault((row.subject, row.name), []).append(row)
    return [_line(of_case) for of_case in cases.values()]


def _line(rows: list[Row]) -> Line:
    def spread(figure: Callable[[Row], float | None]) -> Spread | None:
        return Spread.of(figure(row) for row in rows)

    def certain(figure: Callable[[Row], float]) -> Spread:
        found = spread(figure)
        assert found is not None, "every row has this figure"
        return found

    def latency(of: Callable[[Row], Latency | None], field: str) -> Spread | None:
        return spread(lambda row: getattr(of(row), field, None))

    def by_role(figure: Callable[[Row, str], float | None]) -> dict[str, Spread]:
        here = [role for role in ROLES if any(role in row.roles.values() for row in rows)]
        found = {role: Spread.of(figure(row, role) for row in rows) for role in here}
        return {role: figures for role, figures in found.items() if figures}

    first = rows[0]
    return Line(
        subject=first.subject,
        name=first.name,
        callers=first.callers,
        runs=len(rows),
        operations=sum(row.outcome.operations for row in rows),
        failed_calls=sum(sum(row.outcome.failures.values()) for row in rows),
        rate=certain(lambda row: row.rate),
        asked_rate=spread(lambda row: row.asked_rate),
        p50_ms=latency(lambda row: row.outcome.latency, "p50_ms"),
        p99_ms=latency(lambda row: row.outcome.latency, "p99_ms"),
        p999_ms=latency(lambda row: row.outcome.latency, "p999_ms"),
        max_ms=latency(lambda row: row.outcome.latency, "max_ms"),
        late_p50_ms=latency(lambda row: row.outcome.lateness, "p50_ms"),
        late_p99_ms=latency(lambda row: row.outcome.lateness, "p99_ms"),
        cpu_us=by_role(lambda row, role: row.cpu_us(role)),
        cpu_us_all=spread(lambda row: row.cpu_us()),
        cpu_share=by_role(lambda row, role: row.cpu_share(role)),
        client_cpu_us=spread(lambda row: row.client_cpu_us),
        client_share=certain(lambda row: row.client_share),
        others_share=certain(lambda row: row.others_share),
        pss_mb=by_role(lambda row, role: row.pss_mb(role)),
        rss_mb=by_role(lambda row, role: row.rss_mb(role)),
        pss_mb_all=spread(lambda row: row.pss_mb()),
        commit_batch_mean=spread(lambda row: _mean(row.commits.batch)),
        commit_ms_mean=spread(lambda row: _mean(row.commits.seconds, scale=1000)),
        proof_ms_mean=spread(lambda row: 1000 * row.commits.proof_seconds / row.commits.proofs if row.commits.proofs else None),
        calls=_calls([row.system_calls() for row in rows]),
        fdatasync_p50_ms=certain(lambda row: row.fdatasync.p50_ms),
        fdatasync_p99_ms=certain(lambda row: row.fdatasync.p99_ms),
    )


def _calls(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The median over the runs, of each role and each system call."""
    roles = dict.fromkeys(role for row in rows for role in row)
    names = {role: sorted({name for row in rows for name in row.get(role, {})}) for role in roles}
    return {role: {name: median(row.get(role, {}).get(name, 0.0) for row in rows) for name in names[role]} for role in roles}


def _mean(histogram: Histogram | None, scale: float = 1.0) -> float | None:
    mean = histogram.mean if histogram else None
    return None if mean is None else scale * mean
