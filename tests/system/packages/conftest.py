"""What `make dist` builds; or what lies in the folder that BUILT names, as the release does it: built once, then tested."""

import os
from pathlib import Path

import pytest

from tests.system.packages.packing import Built, built_into, found_in


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel and the source archive."""
    if folder := os.environ.get("BUILT"):
        return found_in(Path(folder))
    return built_into(tmp_path_factory.mktemp("dist"))
