"""Dramatiq's own tests on a real server."""

import pytest

from tests.contract.dramatiq.suite import run
from tests.contract.foreign import passed

pytestmark = [pytest.mark.long(100), pytest.mark.timeout(900)]


def test_dramatiq_s_own_tests_pass_with_our_broker_and_our_results(tmp_path):
    assert passed(run, tmp_path) >= 100
