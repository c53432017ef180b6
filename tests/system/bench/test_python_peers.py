"""Queues for Python beside Holdfast's client and worker, at tiny size: each does all three things, and one that can't run here is named with the reason."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from bench import peersenv, pythonpeers
from bench.pythonpeerspage import losses
from bench.summary import Report

pytestmark = [pytest.mark.long(150), pytest.mark.timeout(920)]

ROOT = Path(__file__).parents[3]
CASES = (pythonpeers.ALONE, pythonpeers.DRAINED, pythonpeers.PICKED_UP)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the command said, the page and the report."""
    out = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "bench", "--smoke", "--only", "python-peers", "--out", str(out)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    assert said.returncode == 0, said.stdout + said.stderr
    return said.stderr, (out / "python-peers.md").read_text(), json.loads((out / "python-peers.json").read_bytes())


def test_holdfast_does_all_three_things_and_its_server_counts_the_jobs(run):
    _, page, report = run
    assert report["problems"] == []
    for name, ours in pythonpeers.OURS.items():
        assert {line["name"] for line in report["lines"] if line["subject"] == name} == set(CASES)
        assert f"** | fsync each (disk, replicas 0) | {ours.way} |" in page
    lines = {line["name"]: line for line in report["lines"] if line["subject"] == "holdfast"}
    assert set(lines) == set(CASES)
    assert lines[pythonpeers.PICKED_UP]["p50_ms"]["median"] > 0
    assert lines[pythonpeers.PICKED_UP]["cpu_us_all"]["median"] > 0
    assert all(count["by_server"] == count["by_callers"] > 0 for count in report["counts"])
    assert "| **Holdfast** | fsync each (disk, replicas 0) |" in page


def test_the_peers_have_an_environment_of_their_own():
    listed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "list", "--format", "json"], capture_output=True, check=True, cwd=ROOT
    )
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    both = {package["name"] for package in json.loads(listed.stdout)} & set(peersenv.PACKAGES)
    assert both <= set(extras), "Holdfast's own environment has only those that it has a broker or a backend for"
    assert not Path(sys.prefix).is_relative_to(peersenv.FOLDER)


@pytest.mark.parametrize(
    "peer", [peer for peer in pythonpeers.PEERS if "everysec" not in peer.name], ids=lambda peer: peer.name
)
def test_a_peer_does_the_same_with_its_durability_named_or_is_skipped_with_the_reason(run, peer):
    said, page, report = run
    if skipped := next((name for name in report["skipped"] if name.startswith(f"{peer.name} (")), None):
        assert f"SKIPPED: {skipped}" in said
        assert f"Skipped: {skipped}" in page
        pytest.skip(skipped)
    lines = {line["name"]: line for line in report["lines"] if line["subject"] == peer.name}
    assert set(lines) == set(CASES)
    assert [line for line in lines.values() if line["failed_calls"] or not line["rate"]["median"]] == []
    assert f"| {peer.name} | {peer.durability} | {peer.way} |" in page


def test_the_page_says_who_is_better_and_never_that_holdfast_beats_itself(run):
    said = losses(msgspec.json.decode(json.dumps(run[2]), type=Report))
    assert said.count("\n- ") == 5
    assert "holdfast (" not in said


def test_a_peer_without_its_server_is_skipped_and_the_others_are_not(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(peersenv, "python", lambda: "python")
    able, skipped, _ = pythonpeers.choose("default")
    on_redis = [peer.name for peer in pythonpeers.PEERS if peer.needs == "redis-server"]
    assert skipped[-len(on_redis) :] == [
        f"{name} (redis-server is not installed: apt-get install -y redis-server)" for name in on_redis
    ]
    assert "Huey on SQLite" in [peer.name for peer in able]


def test_packages_that_cannot_be_installed_skip_every_peer_with_the_reason(monkeypatch, tmp_path):
    lock = tmp_path / "peers.txt"
    lock.write_text("huey==3.5.4 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setattr(peersenv, "ROOT", tmp_path)
    monkeypatch.setattr(peersenv, "LOCK", lock)
    monkeypatch.setattr(peersenv, "FOLDER", tmp_path / "build" / "peers")
    able, skipped, _ = pythonpeers.choose("smoke")
    assert able == []
    assert len(skipped) == len([peer for peer in pythonpeers.PEERS if "everysec" not in peer.name])
    assert all("the packages of peers.txt can't be installed" in why for why in skipped if "is not installed" not in why)
