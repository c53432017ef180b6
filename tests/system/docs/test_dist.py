"""What `make dist` builds can be installed somewhere else, and works there. Nothing is downloaded for it.

The wheel goes into an environment of its own. The packages that it needs are those of this environment, put behind it on the path: a checkout
that is installed here for development can't be found that way, only what the wheel brought.
"""

import email
import re
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.system.docs.examples import environment
from tests.system.docs.pages import ROOT, read

PROJECT = tomllib.loads(read("pyproject.toml"))["project"]


def ran(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the source archive, by the command of `make dist`."""
    folder = tmp_path_factory.mktemp("dist")
    (command,) = re.findall(r"^\t@\$\(BIN\)/(python -m hatchling build) --directory dist$", read("Makefile"), re.MULTILINE)
    ran(sys.executable, *command.split()[1:], "--directory", folder)
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, archive


def test_a_wheel_is_installed_elsewhere_and_brings_the_command_and_the_client(built: tuple[Path, Path], tmp_path: Path):
    wheel, _ = built
    ran(sys.executable, "-m", "venv", "--without-pip", tmp_path / "env")
    python = tmp_path / "env/bin/python"
    ran(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    (packages,) = (tmp_path / "env/lib").glob("python*/site-packages")
    (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    assert ran(tmp_path / "env/bin/holdfast", "--version", cwd=tmp_path).strip().endswith(read_version())
    there = "import holdfast; print(holdfast.__file__, holdfast.Client.__name__, holdfast.Worker('mail').queues)"
    found, *names = ran(python, "-c", there, cwd=tmp_path).split()
    assert Path(found).is_relative_to(packages)
    assert names == ["Client", "['mail']"]


def test_a_wheel_says_its_name_what_it_needs_and_what_it_brings(built: tuple[Path, Path]):
    with zipfile.ZipFile(built[0]) as wheel:
        names = wheel.namelist()
        (name,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        told = email.message_from_bytes(wheel.read(name))
    assert (told["Name"], told["Version"]) == ("holdfast-queue", read_version())
    needed = [need for need in told.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert {re.split(r"[<>=~!]", need)[0] for need in needed} == {
        re.split(r"[<>=~!]", need)[0] for need in PROJECT["dependencies"]
    }
    assert set(told.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])
    packed = {name for name in names if name.startswith("holdfast/")}
    tracked = ran("git", "-c", f"safe.directory={ROOT}", "ls-files", "src/holdfast").split()
    assert {name.removeprefix("src/") for name in tracked if (ROOT / name).exists()} <= packed


def test_a_source_archive_has_what_a_checkout_needs_to_be_run_and_tested(built: tuple[Path, Path]):
    names = {name.partition("/")[2] for name in ran("tar", "--list", "--gzip", "--file", built[1]).splitlines()}
    assert {"Makefile", "pyproject.toml", "README.md", "CONTRIBUTING.md", "LICENSE", "requirements/serve.txt"} <= names
    assert {"src/holdfast/__init__.py", "tests/system/docs/test_dist.py", "docs/ARCHITECTURE.md"} <= names


def read_version() -> str:
    found = re.search(r'^__version__ = "(.+)"$', read("src/holdfast/__init__.py"), re.MULTILINE)
    assert found
    return found[1]
