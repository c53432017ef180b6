"""A short run of the suites of others: Django's own on the oldest Python that it runs on, and that of django-tasks-db on this Python and its Django.
All of them: `python -m tests.system.django`.
"""

import sys

import pytest

from tests.every_case import EVERY_CASE
from tests.missing import missing
from tests.system.django.suites import (
    DJANGO,
    DJANGO_6_0,
    DJANGO_TASKS_DB,
    Unavailable,
    contract,
    environment,
    interpreters,
    run,
)

pytestmark = pytest.mark.long(100)


def test_the_suite_of_django_tasks_db_passes(tmp_path):
    quick = [f"tests.tests.Database{name}TestCase" for name in ("Backend", "BackendWorker")]  # those that start no processes
    try:
        report = run(DJANGO_TASKS_DB, sys.executable, tmp_path, labels=quick)
    except Unavailable as error:
        missing("the source of django-tasks-db", str(error))
    assert report.failed == [], report.output
    assert report.passed >= 24


@pytest.mark.skipif(not EVERY_CASE, reason="another Python and Django are installed for it: make test-django, or EVERY_CASE=1")
def test_django_s_own_suite_of_tasks_passes(tmp_path):
    pythons = interpreters()
    if not pythons:
        missing("a Python from 3.12 on", "apt install python3.12, or pyenv install 3.12")
    try:
        report = run(DJANGO, environment(pythons[0], tmp_path / "environment"), tmp_path)
    except Unavailable as error:
        missing("the source of Django", str(error))
    assert report.failed == [], report.output
    assert report.passed >= 69


@pytest.mark.skipif(not EVERY_CASE, reason="another Python and Django are installed for it: make test-django, or EVERY_CASE=1")
def test_our_own_tests_of_the_backend_pass_with_django_6_0(tmp_path):
    pythons = interpreters()
    if not pythons:
        missing("a Python from 3.12 on", "apt install python3.12, or pyenv install 3.12")
    try:
        report = contract(environment(pythons[0], tmp_path / "environment", DJANGO_6_0))
    except Unavailable as error:
        missing("Django 6.0", str(error))
    assert report.failed == [], report.output
    assert report.passed >= 60
