"""The test suite of another project, run in a folder of its own with a server."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.once import FOLDER
from tests.system.whole.servers import Server

FEW, TIMES = 3, 3  # tests that may fail beside others, and how often they are run again
INI = """[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
timeout = 60
"""


def run_in(
    folder: Path, left_out: Mapping[str, str], *arguments: str, capture: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the tests of `folder/tests`, or those that the arguments name, but for those that are left out, each with its reason."""
    (folder / "pytest.ini").write_text(INI)
    plugins = ["no:randomly", "no:cacheprovider", "no:xdist"]
    server = Server(folder / "server", "--log-level", "warning").start()
    try:
        return subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-c", "pytest.ini", "--rootdir", "."),
                *(part for plugin in plugins for part in ("-p", plugin)),
                *(part for test in left_out for part in ("--deselect", f"tests/{test}")),
                *(arguments or ["tests"]),
            ],
            cwd=folder,
            env=os.environ | {"HOLDFAST_URL": server.url, "PYTHONPATH": str(folder)},
            check=False,
            text=True,
            stdout=subprocess.PIPE if capture else None,
            stderr=subprocess.STDOUT if capture else None,
        )
    finally:
        server.destroy()


def passed(run: Callable[..., subprocess.CompletedProcess[str]], folder: Path) -> int:
    """How many tests of a suite pass, which all must.

    Tests of others look at the clock, and have 0.1 s for what takes longer on a busy machine: a few that fail are run again, without the others.
    """
    done = run(folder / "all", capture=True)
    count = sum(map(int, re.findall(r"(\d+) passed.* in \d", done.stdout)))
    for time in range(TIMES):
        failed = re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
        if not 0 < len(failed) <= FEW:
            break
        done = run(folder / f"again {time}", *failed, capture=True)
    assert done.returncode == 0, done.stdout[-8_000:]
    return count


def main(run: Callable[..., subprocess.CompletedProcess[str]]) -> int:
    """A suite as a command."""
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault(FOLDER, name)
        home = Path(name, "suite")
        home.mkdir()
        return run(home, *sys.argv[1:]).returncode
