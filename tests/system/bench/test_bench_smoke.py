"""The benchmark against the real server, at tiny size: it measures what it says, and the server did what it was measured at."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.events import SHAPES, first_name, publish_name

pytestmark = [pytest.mark.long(150), pytest.mark.timeout(520)]

ROOT = Path(__file__).parents[3]
RATED = [
    "push",
    "dequeue",
    "conclude",
    "life, 32 callers",
    "life, 128 callers",
    "life, batches of 100",
    "pick-up at half the top life rate",
    "pick-up, overloaded: half the top push rate",
    "life, payload 4 KiB",
    "preload of 2,000",
    "dequeue, 2,000 waiting",
    "dequeue at half that rate, 2,000 waiting",
]
AGAIN = ["start after kill -9, 2,000 waiting"]
TUBES = [f"beanstalkd door: {name}" for name in ("life, 32 callers", "life, batches of 100", "puts, pipelined by 16")]
EVENTS = [name(count, shape) for count in (1, 20) for shape in SHAPES for name in (publish_name, first_name)]
WORKERS = ["Python worker, coroutines", "Python worker, threads"]
CHANNELS = [f"live channel: life, 16 credits, {how}" for how in ("single concludes", "concluded in batches")]
QUIET = ["idle", "200 parked polls"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the command wrote and said."""
    out = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "bench", "--smoke", "--out", str(out)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=500)
    assert said.returncode == 0, said.stdout + said.stderr
    return out, json.loads((out / "latest.json").read_bytes())


@pytest.fixture(scope="module")
def ours(run):
    """The lines of Holdfast by the name of their case."""
    return {line["name"]: line for line in run[1]["lines"] if line["subject"] == "holdfast"}


def test_every_case_was_measured_and_no_call_failed(ours):
    assert sorted(ours) == sorted(RATED + AGAIN + EVENTS + TUBES + CHANNELS + WORKERS + QUIET)
    for name in RATED + AGAIN + EVENTS + TUBES + CHANNELS:
        assert ours[name]["rate"]["median"] > 0, name
        assert ours[name]["p99_ms"]["median"] >= ours[name]["p50_ms"]["median"] > 0, name
        assert ours[name]["failed_calls"] == 0, name


def test_the_python_worker_has_its_rate_and_its_own_cpu(ours):
    for name in WORKERS:
        assert ours[name]["rate"]["median"] > 0
        assert ours[name]["client_cpu_us"]["median"] > 1
        assert ours[name]["failed_calls"] == 0


def test_the_server_counted_every_job_that_its_callers_concluded(run, ours):
    report = run[1]
    assert report["problems"] == [], "a count that differs from what the callers were answered is a problem of the run"
    assert {count["case"] for count in report["counts"]} >= {"single", "life-32", "life-128", "batch", "pickup"}
    for count in report["counts"]:
        assert count["by_server"] == count["by_callers"], count
    concluded = next(count["by_server"] for count in report["counts"] if count["case"] == "single")
    assert concluded >= ours["conclude"]["operations"] == ours["push"]["operations"] > 0


def test_every_process_has_its_cpu_and_its_memory(ours):
    for name in RATED:
        assert set(ours[name]["cpu_us"]) >= {"front", "keeper"}, name
    assert ours["idle"]["pss_mb"]["keeper"]["median"] > 1
    assert ours["push"]["cpu_us"]["front"]["median"] > 1


def test_the_report_says_how_jobs_are_kept(run):
    assert run[1]["durability"].startswith("disk")


def test_the_page_and_the_picture_show_what_was_measured(run):
    out, report = run
    page, picture = ((out / name).read_text() for name in ("latest.md", "latest.svg"))
    for name in RATED + AGAIN + QUIET:
        assert f"| {name} |" in page
    for shape in SHAPES:
        assert f"| {shape} | 20 |" in page
    assert "life, 32 callers" in picture
    assert ET.fromstring(picture).tag.endswith("svg")
    assert str(out) not in page
    assert str(ROOT) not in page
    for skipped in report["skipped"]:
        assert f"Skipped: {skipped}" in page
