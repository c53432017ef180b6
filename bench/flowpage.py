"""A run of flow control's costs as a page of Markdown."""

from bench import flow
from bench.figures import Spread
from bench.goals import Verdict
from bench.report import UNKNOWN, checks, machine_table, median, spread, table
from bench.stage import Row
from bench.summary import Line, Report

MORE_US = 15.0  # of the committer's CPU, for each job
LIFE_SHARE = 0.02
P99_SHARE = 0.10
LEASE_MS = {False: 10.0, True: 20.0}  # by whether it is on PostgreSQL
LINES = {"many callers": flow.grouped, "one caller": flow.alone, "in hundreds": flow.together}
READING = (
    "The committer's CPU is that of the keeper, with PostgreSQL of the front, in microseconds for a whole life: enqueue, lease, conclude. *More* is the difference to a life with nothing used in the "
    "same run, on the same server, right before; the median of the runs, lowest and highest in brackets. Leases at a fixed rate are single ones, of jobs that are ready, timed from when each "
    "was due."
)


def markdown(report: Report, _: list[Verdict]) -> str:
    """The page."""
    parts = [
        f"# Flow control, {report.date}",
        _opening(report),
        "## A life, with and without",
        _lives(report),
        READING,
        "## An older version",
        _against(report),
        "## Beside very many",
        _beside(report),
        "## Checks",
        checks(report),
        "## Machine",
        machine_table(report),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(report: Report) -> str:
    sizes = report.sizes
    return (
        f"A {sizes.kind} run: {sizes.runs} × {sizes.seconds:g} s for each line, {sizes.few} callers, payloads of {sizes.payload_bytes} bytes, store {report.store}. The server states its "
        f"durability as: **{report.durability}**. The whole took {report.seconds:.0f} s. Nothing was pinned. `make bench ARGS='--only flow'` measures it, with `--against COMMIT` beside an "
        "older version, with `--store postgresql` on PostgreSQL."
    )


def _role(report: Report) -> str:
    return "front" if report.store == "postgresql" else "keeper"


def _named(report: Report, row: Row) -> str:
    return row.name.split(": ", 1)[1] if report.store == "postgresql" and ": " in row.name else row.name


def _by_run(report: Report, name: str, role: str | None, older: bool = False) -> dict[int, float]:
    """Of each run, the CPU for a job."""
    found = {}
    for row in report.rows:
        if _named(report, row) == name and (row.subject != "holdfast") is older:
            used = row.cpu_us(role)
            if used is not None:
                found[row.run] = used
    return found


def more(report: Report, name: str, base: str) -> Spread | None:
    """How much more CPU of the committer one line takes than another, run by run."""
    with_it, without = (_by_run(report, one, _role(report)) for one in (name, base))
    return Spread.of(with_it[run] - without[run] for run in with_it.keys() & without.keys())


def _lives(report: Report) -> str:
    rows = []
    for variant in flow.VARIANTS:
        for how, line in LINES.items():
            used = Spread.of(_by_run(report, line(variant), _role(report)).values())
            if variant == flow.NOTHING:
                rows.append([variant, how, spread(used), UNKNOWN, UNKNOWN, UNKNOWN])
                continue
            found = more(report, line(variant), line(flow.NOTHING))
            rows.append([variant, how, spread(used), spread(found), f"≤ {MORE_US:g}", _met(found, MORE_US)])
    return table(["a job", "callers", "committer CPU µs", "more µs", "bound", "met"], rows)


def _met(found: Spread | None, bound: float) -> str:
    return UNKNOWN if found is None else "yes" if found.median <= bound else "**no**"


def _against(report: Report) -> str:
    rows = []
    for how, line in LINES.items():
        now = _by_run(report, line(flow.NOTHING), None)
        older = _by_run(report, line(flow.NOTHING), None, older=True)
        share = Spread.of(now[run] / older[run] - 1 for run in now.keys() & older.keys())
        if share is not None:
            used = [spread(Spread.of(figures.values())) for figures in (older, now)]
            shown = f"{share.median:+.1%} ({share.low:+.1%}…{share.high:+.1%})"
            rows.append([how, *used, shown, f"≤ {LIFE_SHARE:.0%}", _met(share, LIFE_SHARE)])
    older_name = next((row.subject for row in report.rows if row.subject != "holdfast"), "")
    if not rows:
        return "Not measured in this run: `--against COMMIT` names one."
    return table(["callers", f"server CPU µs of a life, {older_name}", "now", "more", "bound", "met"], rows)


def _beside(report: Report) -> str:
    lines = {_bare(report, line): line for line in report.lines if "lease at a fixed rate" in line.name}
    rows = []
    for name, line in lines.items():
        before = lines.get(name.replace("fixed rate, ", "fixed rate, before "))
        if before is not None and before.p99_ms and line.p99_ms:
            bound = before.p99_ms.median * (1 + P99_SHARE)
            rows.append(_beside_cells(line, name, bound, f"≤ {bound:.2f} (+{P99_SHARE:.0%})"))
        elif "before" in name:
            rows.append([name, *_times(line), UNKNOWN, UNKNOWN])
        else:
            bound = LEASE_MS[report.store == "postgresql"]
            rows.append(_beside_cells(line, name, bound, f"≤ {bound:g}"))
    return table(["case", "p50 ms", "p99 ms", "p99.9 ms", "bound of p99", "met"], rows) if rows else "Not measured in this run."


def _bare(report: Report, line: Line) -> str:
    return line.name.split(": ", 1)[1] if report.store == "postgresql" and ": " in line.name else line.name


def _beside_cells(line: Line, name: str, bound: float, shown: str) -> list[str]:
    return [name, *_times(line), shown, _met(line.p99_ms, bound)]


def _times(line: Line) -> list[str]:
    return [median(figure) for figure in (line.p50_ms, line.p99_ms, line.p999_ms)]
