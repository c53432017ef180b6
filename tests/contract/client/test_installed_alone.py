"""Installed without the server: the client and the worker need none of the server's packages."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib

from tests.system.docs.pages import read

BLOCK = """
import sys
blocked = set({packages!r})
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
{program}
"""


def server_packages() -> set[str]:
    """What can be imported of the packages that only the server asks for."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    wanted = {re.match(r"[\w-]+", each)[0] for each in project["optional-dependencies"]["server"]} - {"tzdata"}
    found = importlib.metadata.packages_distributions()
    return {name for name, owners in found.items() if {owner.lower().replace("_", "-") for owner in owners} & wanted}


def without_the_server(program: str) -> "subprocess.CompletedProcess[str]":
    code = BLOCK.format(packages=sorted(server_packages()), program=program)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_client_and_worker_are_imported_without_the_packages_of_the_server():
    assert len(server_packages()) >= 8
    done = without_the_server(
        "import holdfast; print(holdfast.Client, holdfast.AsyncClient, holdfast.Worker('q'), holdfast.NewJob)"
    )
    assert done.returncode == 0, done.stderr
    assert "Worker" in done.stdout


def test_the_plugin_for_pytest_harms_nobody_who_has_no_server():
    done = without_the_server("import holdfast.testing.plugin")
    assert done.returncode == 0, done.stderr


def test_the_command_line_says_what_is_missing():
    done = without_the_server("import runpy; sys.argv = ['holdfast', 'serve']; runpy.run_module('holdfast')")
    assert done.returncode == 1
    assert "pip install 'PATH[server]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_its_own_packages_it_says_how_to_install_them():
    done = subprocess.run(
        [sys.executable, "-c", BLOCK.format(packages=["aiohttp"], program="import holdfast; holdfast.Worker")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "holdfast.Worker needs aiohttp" in done.stderr
