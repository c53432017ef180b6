"""The measure of the committer alone runs, and has a line for each variant and way."""

import subprocess
import sys

from bench.lives import VARIANTS, WAYS


def test_every_variant_is_measured_in_every_way(tmp_path):
    command = [sys.executable, "-m", "bench.lives", "--runs", "1", "--disk", str(tmp_path), "--profile", "rate"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert [line.split()[:2] for line in printed.splitlines() if line.startswith(tuple(WAYS))] == [
        [way, variant] for way in WAYS for variant in VARIANTS
    ]
    assert "function calls" in printed
