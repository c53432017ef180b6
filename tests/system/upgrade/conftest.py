"""Servers and callers that end with their test, and the last release."""

import pytest

from tests.system.upgrade.released import LAST, Released
from tests.system.whole.conftest import home, serve, serving

__all__ = ["home", "serve", "serving"]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """The last release."""
    if LAST is None:
        pytest.skip("NOT TESTED: nothing was released before this version: src/holdfast/stores/releases.toml is empty")
    return Released(LAST, tmp_path_factory.mktemp(f"holdfast-{LAST.version}"))
