"""The performance goals of the HTTP door, on SQLite and on PostgreSQL, and how a run compares.

A floor must hold, a goal is aimed at. A goal is judged only on a run that measured it: one front on its store, real sizes, and
as many jobs waiting as it names. Goals of a lone caller are bounds over what the disk, or a peer, did in the same run.
"""

import re
from collections.abc import Callable

import msgspec

from bench import lone, pythonpeers
from bench.figures import Spread
from bench.summary import Line, Report

GOAL_BACKLOG = 5_000_000
GOAL_PARKED = 10_000
GENERATOR_LIMIT = 0.9  # the share of one core above which the load generator counts as the bottleneck of a case
BUSY_NEIGHBOURS = 0.2  # the share of one core used by other processes that is worth a note


Bound = Callable[[Line, Report], float | None]  # what a bound is, if it depends on the run


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """One goal. `case` is matched against the whole name of a measured line; `at_least` says which direction is better.

    `above` says in words what a bound is that depends on the run.
    """

    what: str
    case: str
    figure: Callable[[Line], Spread | None]
    unit: str
    floor: float | Bound | None
    goal: float | Bound
    at_least: bool = True
    needs: int = 0
    above: str = ""
    subject: str = "holdfast"

    def reached(self, value: float, bound: float | None) -> bool | None:
        """Whether a value is as good as a bound; None without a bound."""
        if bound is None:
            return None
        return value >= bound if self.at_least else value <= bound


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A run compared with one goal.

    `measured` is None if the run did not measure it; `floor` and `aim` are the bounds in force in this run, None where it could not say; `note` says why a
    figure does not count, or what affects it.
    """

    goal: Goal
    measured: Spread | None
    floor: float | None = None
    aim: float | None = None
    floor_met: bool | None = None
    goal_met: bool | None = None
    note: str = ""


def _rate(line: Line) -> Spread | None:
    return line.rate


def _p50(line: Line) -> Spread | None:
    return line.p50_ms


def _p50_us(line: Line) -> Spread | None:
    p50 = line.p50_ms
    return p50 and Spread(*(1000 * value for value in (p50.median, p50.low, p50.high)))


def _p99(line: Line) -> Spread | None:
    return line.p99_ms


def _cpu(line: Line) -> Spread | None:
    return line.cpu_us_all


def _pss(line: Line) -> Spread | None:
    return line.pss_mb_all


def _rate_goal(what: str, case: str, floor: float, goal: float) -> Goal:
    return Goal(what=what, case=case, figure=_rate, unit="/s", floor=floor, goal=goal)


def _at_most(
    what: str,
    case: str,
    figure: Callable[[Line], Spread | None],
    unit: str,
    *bounds: float | Bound | None,
    needs: int = 0,
    above: str = "",
) -> Goal:
    floor, goal = bounds
    assert goal is not None, "a goal has a value"
    return Goal(
        what=what, case=case, figure=figure, unit=unit, floor=floor, goal=goal, at_least=False, needs=needs, above=above
    )


def _flushes(times: int, more_us: float) -> Bound:
    """So many flushes of the disk, as measured right before the case, and so many microseconds."""
    return lambda line, _report: round(1000 * times * line.fdatasync_p50_ms.median + more_us)


def _beside(peer: str, more_us: float) -> Bound:
    """What that peer took in the same case, and so many microseconds more."""

    def bound(line: Line, report: Report) -> float | None:
        theirs = next((other for other in report.lines if other.subject == peer and other.name == line.name), None)
        return round(1000 * theirs.p50_ms.median + more_us) if theirs and theirs.p50_ms else None

    return bound


GOALS = [
    _rate_goal("push, single requests, 128 callers", "push", 15_000, 30_000),
    _rate_goal("lease, single requests, 128 callers", "dequeue", 12_000, 25_000),
    _rate_goal("conclude, single requests, 128 callers", "conclude", 15_000, 30_000),
    _rate_goal("life (three requests), 32 callers", "life, 32 callers", 5_000, 10_000),
    _rate_goal("life (three requests), 128 callers", "life, 128 callers", 5_000, 10_000),
    _rate_goal("life in batches of 100", "life, batches of 100", 25_000, 60_000),
    _rate_goal("beanstalkd door: life, 32 callers", "beanstalkd door: life, 32 callers", 10_000, 25_000),
    _rate_goal("beanstalkd door: puts pipelined by 16", "beanstalkd door: puts, pipelined by 16", 30_000, 80_000),
    _at_most("pick-up p50, half the top life rate", "pick-up at half the top life rate", _p50, "ms", None, 2),
    _at_most("pick-up p99, half the top life rate", "pick-up at half the top life rate", _p99, "ms", 25, 10),
    _at_most("dequeue p99, 5,000,000 waiting", r"dequeue at half that rate, .*", _p99, "ms", 10, 5, needs=GOAL_BACKLOG),
    _at_most(
        "start after kill -9, 10,000,000 waiting", r"start after kill -9, .*", _p50, "ms", 10_000, 2_000, needs=2 * GOAL_BACKLOG
    ),
    _at_most("memory (PSS), 10,000,000 waiting", r"start after kill -9, .*", _pss, "MB", None, 90, needs=2 * GOAL_BACKLOG),
    _at_most("CPU per push, all server processes", "push", _cpu, "µs", 80, 40),
    _at_most("memory (PSS) idle", "idle", _pss, "MB", None, 90),
    _at_most("memory (PSS), 10,000 parked polls", r".* parked polls", _pss, "MB", None, 250, needs=GOAL_PARKED),
]


THREE = "2 standbys, K=1: "  # three servers, of which one standby has flushed before an answer; bounds are exact, as always
DATABASE_GOALS = [
    _rate_goal(
        "life in batches of 100, three servers, one synchronous standby", THREE + "life, batches of 100", 12_000, 25_000
    ),
    _rate_goal("life (three requests), 128 callers, the same", THREE + "life, 128 callers", 2_000, 4_000),
    _at_most("dequeue p99, 5,000,000 waiting", r".*dequeue at a fixed rate, .*", _p99, "ms", 20, 10, needs=GOAL_BACKLOG),
    _at_most("dequeue p99 after a million jobs under an old snapshot", THREE + ".*slice 5: dequeue", _p99, "ms", None, 15),
]


def _in_one_process_too(goals: list[Goal]) -> list[Goal]:
    """These, and the same of a server with `--fronts 0`."""
    alone = [msgspec.structs.replace(goal, what=f"{goal.what} (one process)", subject=lone.ONE_PROCESS) for goal in goals]
    return [*goals, *alone]


TWO_FLUSHES, ONE_FLUSH = "goal: 2 × fdatasync + 60 µs", "goal: fdatasync + 90 µs"
LONE_GOALS = _in_one_process_too(
    [
        _at_most(
            "enqueue alone, Python Client with its key, p50",
            lone.alone(lone.CLIENT),
            _p50_us,
            "µs",
            None,
            _flushes(2, 60),
            above=TWO_FLUSHES,
        ),
        _at_most("… CPU of all server processes", lone.alone(lone.CLIENT), _cpu, "µs", 200, 120),
        _at_most(
            "enqueue alone, HTTP socket, p50", lone.alone("HTTP socket"), _p50_us, "µs", 260, _flushes(1, 90), above=ONE_FLUSH
        ),
        _at_most("pick-up at 50/s, Python client and worker, p50", lone.PICKED_UP, _p50, "ms", 1.5, 0.9),
        _at_most("… p99", lone.PICKED_UP, _p99, "ms", 3, 2),
        _at_most("… server CPU a job, all in", lone.PICKED_UP, _cpu, "µs", 900, 400),
        _rate_goal("drain by one Python worker", lone.DRAINED, 28_600, 40_000),
    ]
)
PGQUEUER = f"floor: {pythonpeers.PGQUEUER}'s + 70 µs; {TWO_FLUSHES}"
PYTHON_GOALS = _in_one_process_too(
    [
        _at_most(
            "enqueue alone, p50",
            pythonpeers.ALONE,
            _p50_us,
            "µs",
            _beside(pythonpeers.PGQUEUER, 70),
            _flushes(2, 60),
            above=PGQUEUER,
        ),
        _at_most("pick-up at 50/s, p50", pythonpeers.PICKED_UP, _p50, "ms", 1.5, 0.9),
        _at_most("… p99", pythonpeers.PICKED_UP, _p99, "ms", 3, 2),
        _rate_goal("drain by one worker", pythonpeers.DRAINED, 28_600, 40_000),
    ]
)


def judge(report: Report, goals: list[Goal] | None = None) -> list[Verdict]:
    """Every goal, by default those for this store, against the medians of a run."""
    stores = DATABASE_GOALS if report.store == "postgresql" else GOALS
    return [_judge(goal, report) for goal in (stores if goals is None else goals)]


def _judge(goal: Goal, report: Report) -> Verdict:
    named = [line for line in report.lines if line.subject == goal.subject and re.fullmatch(goal.case, line.name)]
    line = max(named, key=lambda line: _number_in(line.name) if goal.needs else 0, default=None)
    measured = goal.figure(line) if line else None
    floor, aim = (_in_force(bound, line, report) for bound in (goal.floor, goal.goal))
    if line is None or measured is None:
        return Verdict(goal=goal, measured=None, floor=floor, aim=aim, note="not measured in this run")
    if why := _why_not(goal, report, line):
        return Verdict(goal=goal, measured=measured, floor=floor, aim=aim, note=why)
    value = measured.median
    return Verdict(
        goal=goal,
        measured=measured,
        floor=floor,
        aim=aim,
        floor_met=goal.reached(value, floor),
        goal_met=goal.reached(value, aim),
        note="; ".join(filter(None, (goal.above, _suffered(line)))),
    )


def _in_force(bound: float | Bound | None, line: Line | None, report: Report) -> float | None:
    """A bound as a figure; None where the run does not have what it depends on."""
    if not callable(bound):
        return bound
    return bound(line, report) if line is not None else None


def _suffered(line: Line) -> str:
    """What a figure that counts suffers from."""
    suffered = []
    if line.client_share.median >= GENERATOR_LIMIT:
        suffered.append("the load generator was the limit")
    if line.others_share.median >= BUSY_NEIGHBOURS:
        suffered.append(f"others used {line.others_share.median:.0%} of a core meanwhile")
    return "; ".join(suffered)


def _why_not(goal: Goal, report: Report, line: Line) -> str:
    """Why a measurement does not count for a goal; empty when it does."""
    if report.sizes.kind == "smoke":
        return "not judged: a smoke run is too short"
    if report.store == "memory" or report.fronts != 1:
        return "not judged: the goals are for one front on SQLite or PostgreSQL"
    if line.failed_calls:
        return "not judged: calls failed"
    if goal.needs and (size := _number_in(line.name)) < goal.needs:
        return f"not judged: {size:,} instead of {goal.needs:,}"
    return ""


def _number_in(name: str) -> int:
    found = re.search(r"\d[\d,]*(?= (waiting|parked))", name)
    return int(found[0].replace(",", "")) if found else 0
