"""Runs the targets of the Makefile that build, in the environment of the tests: nothing is installed for them anew."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from holdfast import __version__
from tests.system.docs.examples import environment
from tests.system.docs.pages import ROOT
from tests.system.whole.machine import cannot

HERE = Path(sys.prefix)  # the environment of the tests
UNREACHABLE = re.compile(r"error sending request|dns error|operation timed out")  # as uv says it


class Built(NamedTuple):
    """What is handed out."""

    wheel: Path
    archive: Path


def ran(*command: str | Path, cwd: Path = ROOT, **more: str) -> str:
    """What a command prints; it must succeed, where it finds the package index. `more` is added to its environment."""
    done = subprocess.run(command, cwd=cwd, env=environment() | more, capture_output=True, text=True, timeout=200, check=False)
    if done.returncode and UNREACHABLE.search(done.stderr):
        cannot(f"NOT TESTED: no package index can be reached: {done.stderr.strip()}")
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


def same(one: Path, other: Path) -> None:
    """Two archives are the same to the byte; where they aren't, the names of what differs are told, as a diff of all would take hours."""
    if one.read_bytes() != other.read_bytes():
        first, second = members(one), members(other)
        differ = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
        raise AssertionError(f"{one} and {other} differ in {differ or 'what is said of the files'}")


def members(archive: Path) -> dict[str, bytes]:
    """What is in a wheel, another zip, or a tar."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as packed:
            return {name: packed.read(name) for name in packed.namelist()}
    with tarfile.open(archive) as packed:
        return {each.name: file.read() for each in packed if (file := packed.extractfile(each))}


def tracked(*paths: str) -> list[str]:
    """The files under version control that are there, those to come among them."""
    listed = ran("git", "-c", f"safe.directory={ROOT}", "ls-files", "--cached", "--others", "--exclude-standard", *paths)
    return [name for name in listed.splitlines() if (ROOT / name).exists()]


def as_released(changes: Path) -> None:
    """Give a changelog the section of this version, whether it has been released before or not."""
    text, heading = changes.read_text(), f"## [{__version__}] - 2026-12-01"
    if "## [Unreleased]" in text:
        text = text.replace("## [Unreleased]", heading)
    elif f"## [{__version__}]" not in text:
        before, first, rest = text.partition("<!-- make changelog: the newest version comes below -->\n")
        text = f"{before}{first}\n{heading}\n\n### Added\n\n- What came.\n{rest}"
    changes.write_text(text)


def copied_into(folder: Path, *paths: str) -> Path:
    """The tree, or these paths of it, as somebody else checks it out: elsewhere, at another time, with other permissions."""
    tree = folder / "a checkout of theirs"
    for name in tracked(*paths):
        copy = tree / name
        copy.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        shutil.copyfile(ROOT / name, copy)
        copy.chmod(0o600 | ((ROOT / name).stat().st_mode & 0o100))
        os.utime(copy, (1e9, 1e9))
    return tree
