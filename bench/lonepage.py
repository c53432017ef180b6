"""A run of the lone caller as a page of Markdown."""

from bench import lone
from bench.goals import Verdict
from bench.report import UNKNOWN, checks, goals_table, machine_table, median, number, spread, table
from bench.summary import Line, Report

ROLES = ("front", "keeper", "peer", "caller", "worker")
SHOWN_CALLS = 0.095  # a system call that is made less often per job is not listed
READING = (
    "One caller in a process of its own, one call after the other: as soon as the one before is answered, or at 50 a second. Latency is from the send to the answer, in microseconds; at 50 a second from when the call was due, if the one before was still going on; "
    "that of pick-up is from the producer's send, before its own answer, to the first line of the worker's handler, in another process. The Python clients send an idempotency key of their own. CPU is "
    "microseconds per job, by the kernel's count, of the server's processes and of the caller, with the worker where there is one; at 50 a second it has all that the server does meanwhile "
    "in it, and in pick-up the whole life of a job: put, lease, conclude. *reserve* is of jobs that are ready; they stay reserved. Holdfast flushes a lease before its answer; beanstalkd keeps a reservation in memory. The rate of a drain is that of a worker that has begun, to the last job, with "
    "handlers that do nothing. fdatasync is 4 KiB appended and synced 200 times right before the case, on the same disk. *others' core* is what the rest of the machine used meanwhile."
)
COUNTED = (
    "Counted by `strace -c -f` on every process, in phases of their own, because it slows them. A name is a system call, and the figure how often it is made for each job; those below "
    f"{SHOWN_CALLS:.1f} are in the sum alone."
)


def markdown(report: Report, verdicts: list[Verdict]) -> str:
    """The page."""
    timed = [line for line in report.lines if not line.name.endswith(lone.TRACED) and line.name != lone.IDLE]
    parts = [
        f"# The lone caller, {report.date}",
        _opening(report),
        "## Goals and floors",
        goals_table(verdicts),
        "The floor of the Python Client, PgQueuer's figure and 70 µs, is judged where PgQueuer is measured: [Python peers](python-peers.md).",
        "## Latency and CPU",
        table(_HEAD, map(_cells, timed)) if timed else "Not measured in this run.",
        READING,
        "## System calls per job",
        _system_calls(report),
        "## Idle",
        _idle(report),
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
        f"A {sizes.kind} run: {sizes.runs} × {sizes.seconds:g} s alone and {sizes.slow_s:g} s at 50 a second per case, after {sizes.warm_s:g} s of warm-up, payloads of "
        f"{sizes.payload_bytes} bytes, store {report.store}, fronts: {report.fronts}. The server states its durability as: **{report.durability}**. Medians; lowest and highest run in "
        "brackets. Nothing was pinned. `make bench ARGS='--only lone'` measures it."
    )


_HEAD = [
    "server",
    "case",
    "p50 µs",
    "p99 µs",
    "jobs/s",
    "front CPU µs",
    "keeper CPU µs",
    "server CPU µs",
    "caller CPU µs",
    "fdatasync p50 µs",
]
_HEAD += ["others' core"]


def _cells(line: Line) -> list[str]:
    return [
        "Holdfast" if line.subject == "holdfast" else line.subject,
        line.name,
        spread(line.p50_ms, 1000),
        spread(line.p99_ms, 1000),
        UNKNOWN if line.asked_rate else median(line.rate),
        *(median(line.cpu_us.get(role)) for role in ("front", "keeper")),
        spread(line.cpu_us_all),
        median(line.client_cpu_us),
        median(line.fdatasync_p50_ms, 1000),
        f"{line.others_share.median:.0%}",
    ]


def _system_calls(report: Report) -> str:
    rows = [
        [
            "Holdfast" if line.subject == "holdfast" else line.subject,
            line.name.removesuffix(lone.TRACED),
            role,
            number(sum(line.calls[role].values())),
            _names(line.calls[role]),
        ]
        for line in report.lines
        if line.calls
        for role in ROLES
        if role in line.calls
    ]
    return (
        f"{table(['server', 'case', 'process', 'per job', 'which'], rows)}\n\n{COUNTED}" if rows else "Not counted in this run."
    )


def _names(calls: dict[str, float]) -> str:
    most = sorted(calls.items(), key=lambda called: -called[1])
    return ", ".join(f"{name} {number(times)}" for name, times in most if times >= SHOWN_CALLS)


def _idle(report: Report) -> str:
    line = next((line for line in report.lines if line.name == lone.IDLE), None)
    if line is None:
        return "Not measured in this run."
    used = {role: share.median * 1000 for role, share in line.cpu_share.items()}
    parts = ", ".join(f"{role} {number(ms)}" for role, ms in used.items())
    return f"Of an idle server over {report.sizes.idle_s:g} s: {number(sum(used.values()))} ms of CPU a second ({parts})."
