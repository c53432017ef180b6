"""Taskiq's own tests on a real server."""

import pytest

from tests.contract.foreign import passed
from tests.contract.taskiq.suite import run

pytestmark = [pytest.mark.long(100), pytest.mark.timeout(900)]


def test_taskiq_s_own_tests_pass_with_our_broker_and_our_results(tmp_path):
    assert passed(run, tmp_path) >= 70
