"""A part of Celery's own integration tests; `python -m tests.contract.celery.suite` runs them all."""

import subprocess
from pathlib import Path

import pytest

from tests.contract.celery.suite import run
from tests.contract.foreign import passed

pytestmark = [pytest.mark.long(60), pytest.mark.timeout(900)]

HERE = "t/integration/"
TASKS = (
    "test_simple_call",
    "test_basic_task",
    "test_expired",
    "test_retry",
    "test_reject_with_requeue_redelivers_and_succeeds",
    "test_unicode_task",
)
INSPECTION = ("test_ping", "test_active", "test_active_queues", "test_revoked", "test_stats")
SOME = [f"test_tasks.py::test_tasks::{name}" for name in TASKS] + [
    f"test_inspect.py::test_Inspect::{name}" for name in INSPECTION
]


def run_some(folder: Path, *tests: str, capture: bool) -> subprocess.CompletedProcess[str]:
    """Those that failed, or all."""
    folder.mkdir()
    ended = run(folder, *([test.removeprefix(HERE) for test in tests] or SOME), capture=capture)
    return subprocess.CompletedProcess([], max(done.returncode for done in ended), "".join(done.stdout for done in ended))


def test_celery_s_tests_of_tasks_and_of_inspection_pass(tmp_path):
    assert passed(run_some, tmp_path) == len(SOME)
