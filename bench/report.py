"""A run as a page of Markdown. Every figure is a median over the runs, with the lowest and highest in brackets."""

from collections.abc import Iterable

from bench.cases import TUBES_PREFIX
from bench.events import SHAPES, first_name, is_about_events, publish_name
from bench.figures import Spread
from bench.goals import GENERATOR_LIMIT, Verdict
from bench.summary import Line, Report

UNKNOWN = "–"
ROLES = {"front": "front", "keeper": "keeper"}
BETWEEN = (
    "The server and the load share the processors: the ceiling is what they allow if nobody ever waits for anybody. The rest is waiting in turn. The keeper does nothing "
    "else while a flush is under way, and with few callers the front has little to do meanwhile. By a profile of lives with 32 callers (perf, 28 November 2026), of the front's processor "
    "time 52 % is Python and 33 % the kernel, more than half of that sending answers; of the keeper's 44 % is Python, 30 % the kernel, half of that flushing, and 17 % SQLite. So the goals need "
    "less Python for a request, or more cores. Floors and goals are absolute figures, set on a machine where beanstalkd, flushing each job, did 4,900 lives a second with 32 callers: "
    "what it did in this run is among the peers below."
)


def markdown(report: Report, verdicts: list[Verdict], chart: str) -> str:
    """The page; `chart` is the file name of the picture beside it."""
    parts = [
        _opening(report),
        f"![Rates, with goals and floors]({chart})",
        "## Goals and floors",
        goals_table(verdicts),
        "## What stands between this and the goals",
        f"{ceilings([line for line in report.lines if _is_a_goal(line, verdicts)], ROLES, report.machine.cores)}\n\n{BETWEEN}",
        "## Rates, latency, CPU",
        _rates(
            [line for line in report.lines if line.subject == "holdfast" and line.operations and not is_about_events(line.name)]
        ),
        _reading(),
        "## Publishing to many interests",
        _growth(report),
        "## Memory",
        _memory([line for line in report.lines if line.subject == "holdfast" and not is_about_events(line.name)]),
        "## Peers in the same run",
        _peers(report),
        "## Checks",
        checks(report),
        "## Machine",
        machine_table(report),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def number(value: float) -> str:
    """A figure with an appropriate number of digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ceilings(lines: Iterable[Line], roles: dict[str, str], cores: int) -> str:
    """For each rate: who uses the processors, and what that allows at the most. `roles` are processes, and what to call them."""
    head = ["case", "jobs/s", *(f"{called} µs" for called in roles.values()), "client µs", "all µs"]
    head += [f"ceiling of {cores} cores, jobs/s", "of it reached"]
    rows = []
    for line in lines:
        if line.client_cpu_us:
            parts = [line.cpu_us[role].median for role in roles if role in line.cpu_us] + [line.client_cpu_us.median]
            most = cores * 1e6 / sum(parts)
            row = [line.name, spread(line.rate), *map(number, parts), number(sum(parts)), number(most)]
            rows.append([*row, f"{line.rate.median / most:.0%}"])
    return table(head, rows) if rows else "Not measured in this run."


def _is_a_goal(line: Line, verdicts: list[Verdict]) -> bool:
    wanted = {verdict.goal.case for verdict in verdicts if verdict.goal.at_least}
    return line.subject == "holdfast" and line.name in wanted


def spread(figure: Spread | None, scale: float = 1.0) -> str:
    """Median and range."""
    if figure is None:
        return UNKNOWN
    median, low, high = (number(value * scale) for value in (figure.median, figure.low, figure.high))
    return median if low == high else f"{median} ({low}…{high})"


def median(figure: Spread | None, scale: float = 1.0) -> str:
    return UNKNOWN if figure is None else number(figure.median * scale)


def _opening(report: Report) -> str:
    sizes = report.sizes
    return (
        f"# Benchmark of {report.date}\n\n"
        f"A {sizes.kind} run: {sizes.runs} × {sizes.seconds:g} s per case after {sizes.warm_s:g} s of warm-up, payloads of "
        f"{sizes.payload_bytes} bytes, seed {sizes.seed}, store {report.store}, fronts: {report.fronts}. "
        f"The server states its durability as: **{report.durability}**. "
        f"It was ready {spread(report.start_s)} s after its start. The whole took {report.seconds:.0f} s. "
        "Nothing was pinned; server, keeper and load generator share the cores."
    )


BOUNDS = (
    "The project sets bounds for itself: a *floor* must hold, a *goal* is aimed at. Where one is not met, the table says so."
)


def goals_table(verdicts: list[Verdict]) -> str:
    """What floors and goals are, and the run compared with every one."""

    def bound(verdict: Verdict, value: float | None) -> str:
        return UNKNOWN if value is None else f"{'≥' if verdict.goal.at_least else '≤'} {value:,g}"

    def met(said: bool | None) -> str:
        return UNKNOWN if said is None else "yes" if said else "**no**"

    def cells(verdict: Verdict) -> list[str]:
        goal = verdict.goal
        floor = [bound(verdict, verdict.floor), met(verdict.floor_met)]
        aim = [bound(verdict, verdict.aim), met(verdict.goal_met)]
        return [goal.what, goal.unit, spread(verdict.measured), *floor, *aim, verdict.note]

    head = ["what", "unit", "measured", "floor", "floor met", "goal", "goal met", "note"]
    return f"{BOUNDS}\n\n{table(head, map(cells, verdicts))}"


def _rates(lines: list[Line]) -> str:
    head = ["case", "callers", "jobs/s", "asked/s", "p50 ms", "p99 ms", "p99.9 ms", "max ms", "late p50/p99 ms"]
    head += [
        "front µs",
        "keeper µs",
        "other µs",
        "all µs",
        "client µs",
        "client core",
        "others' core",
        "commit batch",
        "commit ms",
    ]
    head += ["fdatasync p50/p99 ms"]
    return table(head, (_rate_cells(line) for line in lines))


def _rate_cells(line: Line) -> list[str]:
    late = f"{median(line.late_p50_ms)} / {median(line.late_p99_ms)}" if line.late_p50_ms else UNKNOWN
    return [
        line.name,
        str(line.callers),
        spread(line.rate),
        median(line.asked_rate),
        spread(line.p50_ms),
        spread(line.p99_ms),
        spread(line.p999_ms),
        median(line.max_ms),
        late,
        *(median(line.cpu_us.get(role)) for role in ("front", "keeper", "other")),
        spread(line.cpu_us_all),
        median(line.client_cpu_us),
        _client(line),
        f"{line.others_share.median:.0%}",
        median(line.commit_batch_mean) if line.commit_batch_mean else "not reported",
        median(line.commit_ms_mean) if line.commit_ms_mean else "not reported",
        f"{median(line.fdatasync_p50_ms)} / {median(line.fdatasync_p99_ms)}",
    ]


def _client(line: Line) -> str:
    """The generator's share of a core, in bold where it was the limit."""
    share = f"{line.client_share.median:.0%}"
    return f"**{share}**" if line.client_share.median >= GENERATOR_LIMIT else share


def _reading() -> str:
    return (
        "Latency is of a caller's whole turn: one request, or the three of a life; at a fixed rate it counts from the intended "
        "send time, and *late* is how late the generator itself was. µs are CPU microseconds per job. *client core* is the share "
        "of one core that the generator used; in bold, it was the limit and the server can do more. *others' core* is what the "
        "rest of the machine used meanwhile. *commit batch* is commands per commit, as the server's own histogram has it. "
        "fdatasync is 4 KiB appended and synced 200 times right before the case."
    )


def _growth(report: Report) -> str:
    """How the cost of a publish grows with the number of interests, for each kind of pattern."""
    lines = {line.name: line for line in report.lines if line.subject == "holdfast"}
    head = ["patterns", "interests", "publishes/s", "p50 ms", "p99 ms", "front µs", "keeper µs", "all µs", "× the first row's"]
    head += ["after a change: p50 ms", "after a change: p99 ms", "front PSS MB"]
    rows = []
    for shape in SHAPES:
        fewest = lines.get(publish_name(report.sizes.interests[0], shape))
        for count in report.sizes.interests:
            line, first = lines.get(publish_name(count, shape)), lines.get(first_name(count, shape))
            if line and first and fewest:
                rows.append([shape, f"{count:,}", *_growth_cells(line, fewest, first)])
    return f"{table(head, rows)}\n\n{_GROWTH_READING}" if rows else "Not measured in this run."


def _growth_cells(line: Line, fewest: Line, first: Line) -> list[str]:
    cost, least = line.cpu_us_all, fewest.cpu_us_all
    return [
        spread(line.rate),
        spread(line.p50_ms),
        spread(line.p99_ms),
        *(median(line.cpu_us.get(role)) for role in ("front", "keeper")),
        spread(cost),
        f"{cost.median / least.median:.2f}" if cost and least else UNKNOWN,
        spread(first.p50_ms),
        spread(first.p99_ms),
        median(line.pss_mb.get("front")),
    ]


_GROWTH_READING = (
    "Each of so many queues has an interest of its own, and every event is wanted by exactly one of them: *value by pattern* has a "
    "literal field and a regular expression for its value, *literals* has two plain texts, *both by pattern* two regular "
    "expressions of which the field's fits in every queue. µs are CPU microseconds per publish. *After a change* is the first "
    "publish after one interest has changed, by a single caller: it pays for compiling the pattern sets that the change touched."
)


def _memory(lines: list[Line]) -> str:
    head = ["after case", "front PSS / RSS MB", "keeper PSS / RSS MB", "other PSS / RSS MB", "all PSS MB", "CPU of one core"]
    roles = ("front", "keeper", "other")

    def cells(line: Line) -> list[str]:
        held = [f"{median(line.pss_mb.get(role))} / {median(line.rss_mb.get(role))}" for role in roles]
        used = sum(share.median for share in line.cpu_share.values())
        return [line.name, *held, spread(line.pss_mb_all), f"{used:.1%}"]

    return table(head, map(cells, lines))


def _peers(report: Report) -> str:
    ours = {line.name: line for line in report.lines if line.subject == "holdfast"}
    peers = [line for line in report.lines if line.subject != "holdfast"]
    skipped = [f"- Skipped: {name}" for name in report.skipped]
    if not peers:
        return "\n".join(skipped) or "None was asked for."
    head = ["peer", "durability", "case", "callers", "lives/s", "p50 ms", "p99 ms", "CPU µs", "client core", "others' core"]
    head += ["fdatasync p50 ms", "Holdfast over HTTP ÷ peer", "its beanstalkd door ÷ peer"]

    def cells(line: Line) -> list[str]:
        owns = ours.get(line.name), ours.get(TUBES_PREFIX + line.name) if "beanstalkd" in line.subject else None
        ratios = [f"{own.rate.median / line.rate.median:.2f} ×" if own and line.rate.median else UNKNOWN for own in owns]
        figures = [spread(line.rate), median(line.p50_ms), median(line.p99_ms), median(line.cpu_us_all)]
        disk = [_client(line), f"{line.others_share.median:.0%}", median(line.fdatasync_p50_ms), *ratios]
        return [line.subject, report.peers[line.subject], line.name, str(line.callers), *figures, *disk]

    return "\n".join([table(head, map(cells, peers)), "", *skipped])


def checks(report: Report) -> str:
    """What failed, and whether the server counted what its callers were answered."""
    failed = sum(line.failed_calls for line in report.lines)
    said = [f"- Failed calls in the measured phases: {failed}"]
    said += [f"- {note}" for note in report.notes]
    said += [f"- **{problem}**" for problem in report.problems]
    equal = [counts for counts in report.counts if counts.by_server == counts.by_callers]
    total = sum(counts.by_server for counts in equal)
    said.append(
        f"- In {len(equal)} of {len(report.counts)} cases the server's own count of concluded jobs equals what its callers "
        f"were answered: {total:,} jobs"
    )
    return "\n".join(said)


def machine_table(report: Report) -> str:
    """Where it ran."""
    machine = report.machine
    rows = [
        ["processor", f"{machine.cores} cores, {machine.cpu}"],
        ["memory", f"{machine.memory_gib:g} GiB"],
        ["system", f"{machine.system}, Linux {machine.kernel}"],
        ["file system of the store", machine.filesystem],
        ["Python", machine.python],
        *([name, number_] for name, number_ in machine.packages.items()),
        ["SQLite", machine.sqlite],
        *([name, version] for name, version in report.peers.items() if name.endswith(" version")),
        ["open files allowed", f"{machine.open_files:,}"],
        ["load average before", f"{machine.load_before:.2f}"],
    ]
    return table(["", ""], rows)
