"""What all worker processes of a run can share is made once, by whoever comes first, and lasts as long as the run."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

FOLDER = "SHARED_BY_TESTS"
"""The variable that names the folder of the run; `tests/conftest.py` makes it."""


def once(name: str, make: Callable[[Path], object]) -> Path:
    """A folder that was filled by `make`, which is given its path: here and now, or by another process before."""
    folder = Path(os.environ[FOLDER], name)
    finished = folder.with_name(f"{name} is finished")
    with folder.with_name(f"{name} is being made").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            folder.mkdir(exist_ok=True)  # another may have tried in vain
            make(folder)
            finished.touch()
    return folder
