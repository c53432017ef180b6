"""Taskiq's own tests on a real server."""

import re

import pytest

from tests.contract.taskiq.suite import run

pytestmark = [pytest.mark.long(100), pytest.mark.timeout(900)]


def test_taskiq_s_own_tests_pass_with_our_broker_and_our_results(tmp_path):
    done = run(tmp_path, capture=True)
    assert done.returncode == 0, done.stdout[-8_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 70
