"""Clean environments: what a user has after `pip install`, and nothing of this checkout. uv makes them from its cache, in moments."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

from tests.system.docs.examples import environment
from tests.system.docs.pages import ROOT
from tests.system.packages.packing import HERE, ran


@cache
def interpreter(version: str) -> Path | None:
    """A Python of this version, such as 3.13, on this machine; None if there is none."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return Path(sys.executable)
    homes = (Path.home() / ".pyenv/versions").glob(f"{version}.*"), Path("/opt/hostedtoolcache/Python").glob(f"{version}.*/x64")
    found = shutil.which(f"python{version}")
    for path in [
        *([Path(found)] if found else []),
        *(home / "bin" / f"python{version}" for each in homes for home in sorted(each)),
    ]:
        said = subprocess.run(
            [path, "-V"], capture_output=True, text=True, check=False
        )  # what is found may be a shim of nothing
        if said.returncode == 0 and said.stdout.startswith(f"Python {version}."):
            return path
    return None


def uv(*arguments: str | Path) -> str:
    """What uv prints; it uses the index that this machine is set up for."""
    return ran(HERE / "bin/uv", *arguments)


def can_be_had(folder: Path, version: str, machine: str) -> None:
    """All that a server needs is there for this Python on this kind of machine, by its hash, and nothing has to be compiled."""
    kind = ("--python-version", version, "--python-platform", f"{machine}-manylinux_2_36")  # Debian 12
    what = ("--require-hashes", "--only-binary", ":all:", "--requirement", ROOT / "requirements/serve.txt")
    uv("pip", "install", "--quiet", "--dry-run", "--target", folder, *kind, *what)


class Clean:
    """An environment of its own, with what was asked for and what that needs."""

    def __init__(self, folder: Path, python: Path, *wanted: str | Path) -> None:
        self.folder, self.bin = folder, folder / "env/bin"
        uv("venv", "--quiet", "--python", python, folder / "env")
        uv("pip", "install", "--quiet", "--python", self.bin / "python", *wanted)

    def packages(self) -> set[str]:
        """The names of what is installed."""
        listed = uv("pip", "freeze", "--python", self.bin / "python")
        return {re.split(r"==| @ ", line)[0].lower() for line in listed.splitlines()}

    def run(self, program: str, *arguments: str) -> str:
        """What a program of the environment prints."""
        return ran(self.bin / program, *arguments, cwd=self.folder)

    def server(self) -> AbstractContextManager[str]:
        """The URL of its server."""
        return served(self.bin / "holdfast", self.folder)


@contextmanager
def served(program: Path, folder: Path, **more: str) -> Iterator[str]:
    """The URL of a server that is started in a folder and keeps its jobs there; it must end in good order."""
    command = [program, "serve", "--port", "0", "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder, env=environment() | more, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        found = re.search(r"on (http://[\d.]+:\d+)", said)
        assert found, f"the server said {said!r}"
        yield found[1]
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
