"""A short run of the suites of others: that of django-tasks-db, on this Python and its Django. All of them: `python -m tests.system.django`."""

import sys

import pytest

from tests.missing import missing
from tests.system.django.suites import DJANGO_TASKS_DB, Unavailable, run

pytestmark = pytest.mark.long(30)


def test_the_suite_of_django_tasks_db_passes(tmp_path):
    quick = [f"tests.tests.Database{name}TestCase" for name in ("Backend", "BackendWorker")]  # those that start no processes
    try:
        report = run(DJANGO_TASKS_DB, sys.executable, tmp_path, labels=quick)
    except Unavailable as error:
        missing("the source of django-tasks-db", str(error))
    assert report.failed == [], report.output
    assert report.passed >= 24
