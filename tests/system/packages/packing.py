"""Runs the targets of the Makefile that build, in the environment of the tests: nothing is installed for them anew."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.system.docs.examples import environment
from tests.system.docs.pages import ROOT

HERE = Path(sys.prefix)  # the environment of the tests


class Built(NamedTuple):
    """What is handed out."""

    wheel: Path
    archive: Path


def ran(*command: str | Path, cwd: Path = ROOT) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make(target: str, *variables: str, tree: Path = ROOT) -> str:
    """Make a target in a tree, with the environment of the tests as it is, whatever that tree says of it."""
    kept = [option for stamp in (".made", ".serve", ".dev") for option in ("-o", str(HERE / stamp))]
    return ran("make", "--no-print-directory", *kept, target, f"VENV={HERE}", *variables, cwd=tree)


def found_in(folder: Path) -> Built:
    """The wheel and the archive of a folder that has one of each."""
    (wheel,), (archive,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Built(wheel.resolve(), archive.resolve())


def built_into(folder: Path, tree: Path = ROOT, *variables: str) -> Built:
    """What `make dist` builds of a tree."""
    make("dist", f"DIST={folder}", *variables, tree=tree)
    return found_in(folder)
