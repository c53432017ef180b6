"""The lone caller at tiny size: every door is measured, its processes have their CPU and their system calls, and what the machine lacks is named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import lone, systemcalls
from bench.systemcalls import parsed

pytestmark = [pytest.mark.long(60), pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[3]
DOORS = [*lone.HTTP, lone.TUBES]
TIMED = [name(door) for name in (lone.alone, lone.slowly) for door in DOORS] + [lone.RESERVED, lone.PICKED_UP]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the command said, the lines of Holdfast and of its peer by name, the page and the report."""
    out = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "bench", "--smoke", "--only", "lone", "--out", str(out)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=380)
    assert said.returncode == 0, said.stdout + said.stderr
    report = json.loads((out / "lone.json").read_bytes())
    lines = [
        {line["name"]: line for line in report["lines"] if (line["subject"] == "holdfast") is ours} for ours in (True, False)
    ]
    return said.stderr, *lines, (out / "lone.md").read_text(), report


def test_every_door_has_its_latency_and_the_cpu_of_each_process(run):
    _, ours, _, page, report = run
    assert report["problems"] == []
    for name in TIMED:
        line = ours[name]
        assert line["p99_ms"]["median"] >= line["p50_ms"]["median"] > 0, name
        assert set(line["cpu_us"]) >= {"front", "keeper"}, name
        assert line["client_cpu_us"]["median"] > 1, name
        assert line["fdatasync_p50_ms"]["median"] > 0, name
        assert f"| Holdfast | {name} |" in page
    assert ours[lone.DRAINED]["rate"]["median"] > 0
    assert sum(share["median"] for share in ours[lone.IDLE]["cpu_share"].values()) >= 0
    assert "ms of CPU a second" in page


def test_the_server_counted_every_job_that_the_worker_was_given(run):
    counts = run[4]["counts"]
    assert {count["case"] for count in counts} >= {"lone pick-up", "lone drain"}
    for count in counts:
        assert count["by_server"] == count["by_callers"], count


def test_each_process_has_its_system_calls_or_the_missing_tool_is_named(run):
    said, ours, _, page, _ = run
    if why := systemcalls.why_not():
        assert f"SKIPPED: system calls of each process ({why})" in said
        assert f"Skipped: system calls of each process ({why})" in page
        pytest.skip(why)
    for door in DOORS:
        calls = ours[lone.alone(door) + lone.TRACED]["calls"]
        assert set(calls) >= {"front", "keeper", "caller"}, door
        assert calls["keeper"]["fdatasync"] >= 1, "each job is flushed before its answer"
    assert "worker" in ours[lone.PICKED_UP + lone.TRACED]["calls"]


def test_beanstalkd_stands_beside_its_door_or_is_named_as_missing(run):
    said, _, theirs, page, _ = run
    if not lone.FILE_PEER.installed():
        assert "SKIPPED: beanstalkd on disk (beanstalkd is not installed: apt-get install -y beanstalkd)" in said
        pytest.skip("beanstalkd is not installed: apt-get install -y beanstalkd")
    for name in (lone.alone(lone.TUBES), lone.slowly(lone.TUBES), lone.RESERVED):
        assert theirs[name]["p50_ms"]["median"] > 0
        assert f"| beanstalkd on disk | {name} |" in page


def test_a_table_of_strace_is_read_without_its_sum():
    table = "    calls syscall\n--------- ----------------\n        3 read\n       12 fcntl\n--------- ----------------\n       15 total\n"
    assert parsed(table) == {"read": 3, "fcntl": 12}


def test_each_tool_that_is_missing_is_named_with_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    systemcalls.why_not.cache_clear()
    try:
        assert lone.missing() == [
            "system calls of each process (strace is not installed: apt-get install -y strace)",
            "beanstalkd on disk (beanstalkd is not installed: apt-get install -y beanstalkd)",
        ]
        assert lone.peers() == []
    finally:
        systemcalls.why_not.cache_clear()
