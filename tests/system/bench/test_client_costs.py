"""The measurement of the clients runs, and has a line for each kind of client and number of callers."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.long(20), pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[3]


def test_it_measures_each_client_beside_a_bare_socket(tmp_path):
    command = [sys.executable, "-m", "bench.clients", "--seconds", "0.05", "--rounds", "1", "--callers", "1", "--callers", "3"]
    run = subprocess.run([*command, "--disk", tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    _, *lines = [line.split() for line in run.stdout.splitlines()]
    kinds = [("Client",), ("AsyncClient", "asyncio"), ("AsyncClient", "uvloop")]
    assert [line[:-7] for line in lines] == [[*kind, many] for kind in kinds for many in ("1", "3")]
    assert all(float(number.replace(",", "")) > 0 for line in lines for number in line[-7:-5] + line[-4:])
    assert list(tmp_path.iterdir()) == []
