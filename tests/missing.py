"""What a test needs and this machine does not have: said loudly, and a failure where CI=true, so that no such skip goes unseen there."""

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """End the test."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not there: {remedy}")
    pytest.skip(f"NOT TESTED: {what} is not there: {remedy}")
