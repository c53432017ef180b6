"""The test suite of another project, run in a folder of its own with a server."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.once import FOLDER
from tests.system.whole.servers import Server

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


def main(run: Callable[..., subprocess.CompletedProcess[str]]) -> int:
    """A suite as a command."""
    with tempfile.TemporaryDirectory() as name:
        os.environ.setdefault(FOLDER, name)
        home = Path(name, "suite")
        home.mkdir()
        return run(home, *sys.argv[1:]).returncode
