"""A run on PostgreSQL as a page of Markdown: one table for each durability, then dead rows, then the goals."""

from bench.databasecases import SLICES, after_churn, churned
from bench.figures import Spread
from bench.goals import THREE, Verdict
from bench.onetable import BASELINE
from bench.report import ceilings, checks, goals_table, machine_table, median, spread, table
from bench.summary import Line, Report

UNKNOWN = "–"
BETWEEN = (
    "Three servers, the node and the load share the processors of one machine, so that the processors are the first bound: the ceiling is what they allow if nobody ever waits for "
    "anybody. The rest is waiting in turn. A node commits one batch at a time, and a queue's row is held from the first statement of a batch until its standbys have "
    "flushed, because bounds are exact: so the node works while the database waits, and the other way round. Several queues on several nodes overlap; one queue does not. On machines of "
    "their own the standbys' share and the load's fall away."
)
READING = (
    "µs are CPU microseconds per job: of the Holdfast node, of the primary, of all standbys together, and of the load generator. *commit* is a whole "
    "transaction of a batch as the node sees it; *proof* is the part of it, after COMMIT was answered, in which the standbys are asked how far they have "
    "flushed. All servers, the node and the load share the cores."
)


def markdown(report: Report, verdicts: list[Verdict]) -> str:
    """The page."""
    parts = [
        f"# Benchmark on PostgreSQL of {report.date}",
        _opening(report),
        "## Goals and floors",
        goals_table(verdicts),
        "## What stands between this and the goals",
        _between(report),
        "## Rates, latency, CPU",
        _rates([line for line in _ours(report) if "churn under" not in line.name]),
        READING,
        "## Dead rows that nobody may clean away",
        _churn(report),
        "## Checks",
        checks(report),
        "## Machine",
        machine_table(report),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(report: Report) -> str:
    sizes = report.sizes
    return (
        f"A {sizes.kind} run: {sizes.runs} × {sizes.seconds:g} s per case after {sizes.warm_s:g} s of warm-up, payloads of {sizes.payload_bytes} bytes, "
        f"seed {sizes.seed}. K is how many standbys have flushed a change before it is answered. Medians; lowest and highest run in brackets: a figure without them is of one run."
    )


def _between(report: Report) -> str:
    lines = [
        line for line in _ours(report) if line.name.startswith(THREE) and ": life" in line.name and "churn" not in line.name
    ]
    roles = {"front": "node", "primary": "primary", "standby": "standbys"}
    return f"{ceilings(lines, roles, report.machine.cores)}\n\n{BETWEEN}"


def _ours(report: Report) -> list[Line]:
    return [line for line in report.lines if line.subject == "holdfast" and line.operations]


def _rates(lines: list[Line]) -> str:
    head = [
        "case",
        "callers",
        "jobs/s",
        "p50 ms",
        "p99 ms",
        "node µs",
        "primary µs",
        "standbys µs",
        "client µs",
        "client core",
        "commit ms",
    ]
    head += ["proof ms", "commit batch", "fdatasync p50/p99 ms"]
    return table(head, map(_cells, lines))


def _cells(line: Line) -> list[str]:
    return [
        line.name,
        str(line.callers),
        spread(line.rate),
        median(line.p50_ms),
        spread(line.p99_ms),
        *(median(line.cpu_us.get(role)) for role in ("front", "primary", "standby")),
        median(line.client_cpu_us),
        f"{line.client_share.median:.0%}",
        median(line.commit_ms_mean),
        median(line.proof_ms_mean),
        median(line.commit_batch_mean),
        f"{median(line.fdatasync_p50_ms)} / {median(line.fdatasync_p99_ms)}",
    ]


def _churn(report: Report) -> str:
    rows = []
    lines = {line.name: line for line in report.lines}
    for place in sorted({name.partition(": ")[0] for name in lines if "churn under" in name}):
        rows += _slices(place, lines)
    if not rows:
        return "Not measured in this run."
    head = ["store", "what", *(f"slice {number}" for number in range(1, SLICES + 1)), "slope"]
    about = (
        "Another session holds a snapshot from before the first slice, so that no dead row can be cleaned. Each slice puts, leases and concludes its jobs a hundred "
        f"at a time; then single jobs are dequeued at a fixed rate. The slope is of a straight line through the slices, per million jobs of churn. "
        f"*{BASELINE}* is the usual design on the same primary, without a server before it: one table with a state column and a partial index, a hundred rows a "
        "statement by SKIP LOCKED."
    )
    return f"{about}\n\n{table(head, rows)}"


def _slices(place: str, lines: dict[str, Line]) -> list[list[str]]:
    found = []
    numbers = range(1, SLICES + 1)
    for what, name, figure in (
        ("jobs/s of churn", churned, "rate"),
        ("dequeue p50 ms", after_churn, "p50_ms"),
        ("dequeue p99 ms", after_churn, "p99_ms"),
    ):
        values: list[Spread | None] = [getattr(lines.get(f"{place}: {name(n)}"), figure, None) for n in numbers]
        jobs = [line.operations / line.runs if (line := lines.get(f"{place}: {churned(n)}")) else 0 for n in numbers]
        if any(values):
            found.append([place, what, *map(spread, values), f"{slope(values, jobs):+.2f}"])
    return found


def slope(values: list[Spread | None], jobs: list[float]) -> float:
    """How much a figure grows per million jobs: least squares over the slices."""
    done, points = 0.0, []
    for value, more in zip(values, jobs, strict=True):
        done += more
        if value is not None:
            points.append((done / 1e6, value.median))
    if len(points) < 2:
        return 0.0
    mean_x, mean_y = (sum(column) / len(points) for column in zip(*points, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / (sum((x - mean_x) ** 2 for x, _ in points) or 1.0)
