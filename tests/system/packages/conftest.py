"""What `make dist` builds; or what lies in the folder that BUILT names, as the release does it: built once, then tested."""

import os
from pathlib import Path

import pytest

from tests.once import once
from tests.system.packages.packing import Built, built_into, found_in


@pytest.fixture(scope="session")
def built() -> Built:
    """The wheel and the source archive, built once for all workers."""
    return found_in(Path(os.environ.get("BUILT") or once("dist", built_into)))
