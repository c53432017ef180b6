"""A run beside queues for Python as a page of Markdown: one row for each, then where Holdfast loses."""

from collections.abc import Callable

from bench import pythonpeers
from bench.figures import Spread
from bench.goals import Verdict
from bench.report import checks, goals_table, machine_table, median, spread, table
from bench.summary import Line, Report

OURS = "holdfast"
SHOWN_LEAD = 1.05  # who is less ahead than that is level
CASES = (pythonpeers.ALONE, pythonpeers.DRAINED, pythonpeers.PICKED_UP)
READING = (
    "*alone* is one producer, one call after the other: latency of a call, and calls a second. A *drain* is by one worker process that has begun, to the last job, of up to {drained:,} "
    "jobs or {drain_s:g} s, with handlers that do nothing; fewer than that wait where the peer's own producer enqueues fewer in {fill_s:g} s. *pick-up* is from the producer's "
    "send to the first line of the handler, in another process. CPU is microseconds per job by the kernel's count: of the server's processes, and of producer and worker together; a "
    "peer without a server does its work in those. What PostgreSQL's processes used that ended meanwhile is not in it. fdatasync is its p50 right before the case alone, on the same disk; *others' core* is what the rest of the machine used meanwhile, in each of the three cases. "
    "Redis with `everysec` loses up to a second of acknowledged jobs when the machine fails. Handlers do nothing, so that a drain shows what a worker itself costs; one that takes more jobs in advance is faster here, and leaves fewer to other workers."
)


def markdown(report: Report, verdicts: list[Verdict]) -> str:
    """The page."""
    lines = {(line.subject, line.name): line for line in report.lines}
    subjects = list(dict.fromkeys(line.subject for line in report.lines))
    sizes = report.sizes
    rows = [[_called(subject), report.peers[subject], report.ways[subject], *_cells(subject, lines)] for subject in subjects]
    parts = [
        f"# Queues for Python, {report.date}",
        _opening(report),
        "## Figures",
        table(_HEAD, rows),
        READING.format(drained=sizes.drained, drain_s=sizes.drain_s, fill_s=sizes.drain_s / 2),
        "## Where Holdfast loses",
        losses(report),
        "## Goals and floors",
        goals_table(verdicts),
        "## Checks",
        checks(report),
        *(f"- Skipped: {name}" for name in report.skipped),
        "## Machine",
        machine_table(report),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(report: Report) -> str:
    sizes = report.sizes
    return (
        f"A {sizes.kind} run: {sizes.runs} × {sizes.seconds:g} s alone and {sizes.slow_s:g} s of pick-up, payloads of {sizes.payload_bytes} bytes. Medians; of several runs the "
        "lowest and highest in brackets. Each peer has a fresh server, on the same disk. `make bench ARGS='--only python-peers'` measures it."
    )


_HEAD = ["queue", "durability", "how", "alone p50 µs", "alone /s", "drain jobs/s", "pick-up p50 ms", "pick-up p99 ms"]
_HEAD += [
    "server CPU µs: alone",
    "… drain",
    "… pick-up",
    "producer and worker CPU µs: alone",
    "… drain",
    "… pick-up",
    "fdatasync µs",
    "others' core",
]


def _called(subject: str) -> str:
    return f"**{'Holdfast' if subject == OURS else subject}**" if subject in pythonpeers.OURS else subject


def _cells(subject: str, lines: dict[tuple[str, str], Line]) -> list[str]:
    alone, drain, pick_up = (lines.get((subject, case)) for case in CASES)
    return [
        spread(alone.p50_ms if alone else None, 1000),
        median(alone.rate if alone else None),
        spread(drain.rate if drain else None),
        spread(pick_up.p50_ms if pick_up else None),
        spread(pick_up.p99_ms if pick_up else None),
        *(median(line.cpu_us_all if line else None) for line in (alone, drain, pick_up)),
        *(median(line.client_cpu_us if line else None) for line in (alone, drain, pick_up)),
        median(alone.fdatasync_p50_ms if alone else None, 1000),
        " / ".join(f"{line.others_share.median:.0%}" if line else "–" for line in (alone, drain, pick_up)),
    ]


FIGURES: list[tuple[str, str, Callable[[Line], Spread | None], bool]] = [
    ("alone, p50", pythonpeers.ALONE, lambda line: line.p50_ms, False),
    ("drain", pythonpeers.DRAINED, lambda line: line.rate, True),
    ("pick-up, p50", pythonpeers.PICKED_UP, lambda line: line.p50_ms, False),
    ("pick-up, p99", pythonpeers.PICKED_UP, lambda line: line.p99_ms, False),
    ("server CPU of the life of a job at 50/s", pythonpeers.PICKED_UP, lambda line: line.cpu_us_all, False),
]


def losses(report: Report) -> str:
    """For each figure: who is better than Holdfast, and by how much."""
    said = []
    for what, case, figure, more in FIGURES:
        values = {line.subject: found.median for line in report.lines if line.name == case and (found := figure(line))}
        ours = values.get(OURS)
        values = {subject: value for subject, value in values.items() if subject not in pythonpeers.OURS}
        if ours is None:
            continue
        ahead = {peer: value / ours if more else ours / value for peer, value in values.items() if value and ours}
        better = [
            f"{peer} ({times:.1f} ×)" for peer, times in sorted(ahead.items(), key=lambda pair: -pair[1]) if times >= SHOWN_LEAD
        ]
        said.append(f"- {what}: {', '.join(better) or 'nobody'}")
    said = [f"Who is more than {SHOWN_LEAD - 1:.0%} ahead of it in this run, and how far:", "", *said] if said else []
    return "\n".join(said) or "Holdfast was not measured in this run."
