"""A part of Celery's own integration tests; `python -m tests.contract.celery.suite` runs them all."""

import pytest

from tests.contract.celery.suite import run

pytestmark = pytest.mark.long(60)

SOME = (
    "test_simple_call",
    "test_basic_task",
    "test_expired",
    "test_retry",
    "test_reject_with_requeue_redelivers_and_succeeds",
    "test_unicode_task",
)


def test_celery_s_tests_of_tasks_and_of_inspection_pass(tmp_path):
    tasks = [f"test_tasks.py::test_tasks::{name}" for name in SOME]
    inspect = [
        f"test_inspect.py::test_Inspect::test_{name}" for name in ("ping", "active", "active_queues", "revoked", "stats")
    ]
    for done, count in zip(run(tmp_path, *tasks, *inspect, capture=True), (len(tasks), len(inspect)), strict=True):
        assert done.returncode == 0, done.stdout[-8_000:]
        assert f"{count} passed" in done.stdout
