"""`python -m holdfast_suite MODULE…`: run these test modules, without those that can't apply; their reasons are a JSON file.

The last line is a JSON object of how many passed, failed, and were left out.
"""

import itertools
import json
import os
import sys
import unittest
import warnings
from contextlib import nullcontext
from typing import ClassVar

import django
from django.test import SimpleTestCase, TransactionTestCase
from django.test.runner import DiscoverRunner

_numbers = itertools.count(1)
REASONS = json.loads(os.environ["SUITE_REASONS"])


def reason_for(test: unittest.TestCase) -> str | None:
    """Why a test is left out: by the name of its class, or of the class and the test."""
    kind = type(test).__name__
    return REASONS.get(kind) or REASONS.get(f"{kind}.{test._testMethodName}")


class Runner(DiscoverRunner):
    def build_suite(self, *args, **kwargs):
        suite = super().build_suite(*args, **kwargs)
        self.left_out = {}
        wanted = []
        for test in suite:
            if (reason := reason_for(test)) is None:
                wanted.append(test)
            else:
                self.left_out[f"{type(test).__name__}.{test._testMethodName}"] = reason
        return self.test_suite(wanted)

    def suite_result(self, suite, result, **kwargs):
        self.result = result
        return super().suite_result(suite, result, **kwargs)


def main() -> int:
    warnings.simplefilter("ignore")
    django.setup()
    before = SimpleTestCase.__call__

    def call(self, result=None):
        os.environ["PREFIX"] = f"s{os.getpid()}-{next(_numbers)}-"
        return before(self, result)

    SimpleTestCase.__call__ = call
    TransactionTestCase.assertNumQueries = lambda self, *args, **kwargs: nullcontext(_Queries())  # theirs are SQL
    runner = Runner(verbosity=int(os.environ.get("SUITE_VERBOSITY", "1")), interactive=False)
    runner.run_tests(sys.argv[1:])
    done = runner.result
    failed = sorted(
        {test.id() for test, _ in (*done.failures, *done.errors)} | {test.id() for test in done.unexpectedSuccesses}
    )
    passed = done.testsRun - len(failed) - len(done.skipped)
    skipped = {test.id(): why for test, why in done.skipped}
    print(json.dumps({"passed": passed, "failed": failed, "skipped": skipped, "left_out": runner.left_out}))
    return 1 if failed else 0


class _Queries:
    captured_queries: ClassVar[list[dict[str, str]]] = []


if __name__ == "__main__":
    sys.exit(main())
