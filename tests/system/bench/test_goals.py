"""How a run is judged: only for what it measured, and never better than it was."""

from pathlib import Path

import pytest

from bench import lone, pages, pythonpeers
from bench.figures import Latency, Spread
from bench.goals import GOALS, LONE_GOALS, ONE_FLUSH, PYTHON_GOALS, judge
from bench.machine import describe
from bench.orders import Outcome
from bench.processes import Memory
from bench.report import markdown
from bench.server import Commits
from bench.sizes import DEFAULT, SMOKE
from bench.stage import Row
from bench.summary import Report, draw_together

FAST = Latency(p50_ms=0.1, p99_ms=0.2, p999_ms=0.3, max_ms=0.4)


def row(name, per_second, subject="holdfast", run=1, failures=None, client_cpu_s=0.1):
    outcome = Outcome(
        operations=per_second,
        concluded=0,
        seconds=1.0,
        latency=FAST,
        failures=failures or {},
        cpu_ns={10: per_second * 30_000, 11: per_second * 5_000},
        client_cpu_ns=int(client_cpu_s * 1e9),
    )
    return Row(
        name=name,
        subject=subject,
        run=run,
        callers=128,
        outcome=outcome,
        roles={10: "front", 11: "keeper"},
        memory={10: Memory(rss=60_000_000, pss=50_000_000), 11: Memory(rss=40_000_000, pss=30_000_000)},
        fdatasync=FAST,
        commits=Commits(None, None),
    )


def report(rows, **changed):
    wanted = {
        "date": "2026-01-01",
        "sizes": DEFAULT,
        "store": "sqlite",
        "fronts": 1,
        "machine": None,
        "durability": "disk, replicas 0",
        "start_s": None,
        "lines": draw_together(rows),
        "skipped": [],
        "counts": [],
        "notes": [],
        "problems": [],
        "peers": {},
        "seconds": 1.0,
        "rows": rows,
    }
    return Report(**wanted | changed)


def verdict(report, what):
    return next(found for found in judge(report) if found.goal.what.startswith(what))


def test_the_median_of_the_runs_is_judged():
    rows = [row("push", rate, run=run) for run, rate in enumerate((31_000, 14_000, 16_000), 1)]
    found = verdict(report(rows), "push, single")
    assert found.measured == Spread(median=16_000, low=14_000, high=31_000)
    assert (found.floor_met, found.goal_met) == (True, False)


def test_less_is_better_for_what_a_push_costs():
    found = verdict(report([row("push", 20_000)]), "CPU per push")
    assert found.measured.median == pytest.approx(35)
    assert (found.floor_met, found.goal_met) == (True, True)


def test_what_was_not_measured_is_neither_met_nor_missed():
    for found in judge(report([])):
        assert (found.measured, found.floor_met, found.goal_met) == (None, None, None)
        assert found.note == "not measured in this run"


@pytest.mark.parametrize("changed", [{"sizes": SMOKE}, {"store": "memory"}, {"fronts": 2}])
def test_a_run_of_something_else_is_not_judged(changed):
    found = verdict(report([row("push", 90_000)], **changed), "push, single")
    assert (found.floor_met, found.goal_met) == (None, None)
    assert found.note.startswith("not judged")


def test_a_case_with_failed_calls_meets_no_goal():
    found = verdict(report([row("push", 90_000, failures={"push 503": 1})]), "push, single")
    assert (found.goal_met, found.note) == (None, "not judged: calls failed")


def test_a_smaller_backlog_than_the_goal_names_is_not_judged():
    name = "dequeue at half that rate, {:,} waiting"
    smaller = verdict(report([row(name.format(1_000_000), 9_000)]), "dequeue p99")
    assert (smaller.goal_met, smaller.note) == (None, "not judged: 1,000,000 instead of 5,000,000")
    assert verdict(report([row(name.format(5_000_000), 9_000)]), "dequeue p99").goal_met is True


def test_a_rate_that_the_generator_limited_says_so():
    assert verdict(report([row("push", 20_000, client_cpu_s=0.95)]), "push, single").note


def test_a_rate_that_was_measured_beside_a_busy_neighbour_says_so():
    busy = row("push", 20_000)
    busy.outcome.machine_busy_ns = 2_000_000_000
    assert verdict(report([busy]), "push, single").note == "others used 120% of a core meanwhile"


def test_a_peers_case_of_the_same_name_is_not_ours():
    found = verdict(report([row("life, 32 callers", 90_000, subject="beanstalkd in memory")]), "life (three requests), 32")
    assert found.measured is None


def test_every_goal_of_the_http_door_has_its_line():
    assert len({goal.what for goal in GOALS}) == len(GOALS) == 16


def test_a_bound_over_the_disk_is_that_of_the_disk_in_this_run():
    found = next(v for v in judge(report([row(lone.alone("HTTP socket"), 10)]), LONE_GOALS) if v.goal.above == ONE_FLUSH)
    assert (found.floor, found.aim) == (260, 190), "100 µs for a flush, and 90"
    assert (found.measured.median, found.floor_met, found.goal_met) == (100, True, True)
    assert ONE_FLUSH in found.note


def test_a_floor_beside_a_peer_needs_the_peer():
    ours = row(pythonpeers.ALONE, 10)
    alone = judge(report([ours]), PYTHON_GOALS)[0]
    assert (alone.floor, alone.floor_met, alone.aim, alone.goal_met) == (None, None, 260, True)
    beside = judge(report([ours, row(pythonpeers.ALONE, 10, subject=pythonpeers.PGQUEUER)]), PYTHON_GOALS)[0]
    assert (beside.floor, beside.floor_met) == (170, True)


@pytest.mark.parametrize("page", [pages.LONE, pages.PYTHON_PEERS], ids=lambda page: page.file)
def test_a_page_of_a_run_that_measured_nothing_says_so(page):
    found = report([], machine=describe(Path("/"), 0.0))
    assert "not measured in this run" in page.written(found, judge(found, page.goals))


@pytest.mark.parametrize("rows", [[], [row("push", 20_000), row("life, 32 callers", 5, subject="Redis")]])
def test_a_page_can_be_made_of_any_run(rows):
    found = report(rows, machine=describe(Path("/"), 0.0), peers={"Redis": "fsync"})
    page = markdown(found, judge(found), "latest.svg")
    assert "| push, single requests, 128 callers |" in page
