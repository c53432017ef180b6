"""What the release workflow builds, by its own steps, and that `holdfast.pyz` is a server on a machine that has Python and nothing else."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from holdfast import Client, __version__
from tests.system.docs.examples import environment
from tests.system.docs.pages import read
from tests.system.packages.clean import interpreter, served
from tests.system.packages.packing import HERE, as_released, copied_into, make, same
from tests.system.packages.test_installed import VERSIONS

pytestmark = pytest.mark.long(40)

VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
ACTION = {
    "GITHUB_REF_NAME": f"v{__version__}",
    "GITHUB_SERVER_URL": "https://forge.example",
    "GITHUB_REPOSITORY": "mail/holdfast",
}


def steps(job: str) -> list[str]:
    """What a job of the release workflow runs in its shell."""
    return [
        step["run"] for step in yaml.safe_load(read(".github/workflows/release.yml"))["jobs"][job]["steps"] if "run" in step
    ]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what is released: that of BUILT, or what the steps build in a tree that is ready for it."""
    if folder := os.environ.get("BUILT"):
        return Path(folder)
    tree = copied_into(tmp_path_factory.mktemp("tree"))
    for fragment in (tree / "changelog.d").glob("+*"):
        fragment.unlink()
    as_released(tree / "CHANGELOG.md")
    # The environment of the tests is what `make` finds in its place, up to date: it has been installed from the same lock files.
    (tree / ".venv").mkdir()
    for entry in HERE.iterdir():
        (tree / ".venv" / entry.name).symlink_to(entry)
    for stamp in (".made", ".serve", ".dev"):
        (tree / ".venv" / stamp).unlink(missing_ok=True)
        (tree / ".venv" / stamp).touch()
    for step in steps("build"):
        done = subprocess.run(
            ["bash", "-e", "-c", step], cwd=tree, env=environment() | ACTION, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (step, done.stdout, done.stderr)
    return tree / "dist"


@pytest.fixture(scope="module")
def pyz(released: Path) -> Path:
    return released / "holdfast.pyz"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where it unpacks itself, once."""
    return str(tmp_path_factory.mktemp("home"))


def test_a_release_has_its_packages_its_bill_of_materials_their_sums_and_its_notes(released: Path):
    wheel, archive = f"holdfast_queue-{__version__}-py3-none-any.whl", f"holdfast_queue-{__version__}.tar.gz"
    summed = {wheel, archive, "holdfast.pyz", "holdfast-queue.cdx.json"}
    assert {path.name for path in released.iterdir()} == summed | {"SHA256SUMS", "notes.md"}
    sums = dict(reversed(line.split("  ")) for line in (released / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256((released / name).read_bytes()).hexdigest() for name in summed}
    notes = (released / "notes.md").read_text()
    assert "### Added" in notes
    assert "\n## " not in notes


def test_it_serves_and_its_jobs_are_there_after_a_restart(pyz: Path, home: str, tmp_path: Path):
    with served(pyz, tmp_path, HOME=home) as url, Client(url) as client:
        job = client.enqueue("mail", {"to": "ada@example.org"})
        assert job.durability.level == "disk"
    with served(pyz, tmp_path, HOME=home) as url, Client(url) as client:
        (leased,) = client.lease("mail")
        assert (leased.id, leased.payload) == (job.id, {"to": "ada@example.org"})
        client.conclude(leased.lease.token)
    assert (tmp_path / "holdfast-data/jobs.db").stat().st_size > 0


def test_it_says_for_which_python_it_was_made(pyz: Path, home: str):
    assert pyz.read_bytes().partition(b"\n")[0].decode() == f"#!/usr/bin/env python{VERSION}"
    done = subprocess.run([pyz, "--version"], env=environment() | {"HOME": home}, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"holdfast, version {__version__}"
    others = [python for version in VERSIONS if version != VERSION and (python := interpreter(version))]
    for other in others[:1]:
        alone = {"HOME": home, "PATH": "/nowhere"}
        refused = subprocess.run([other, pyz, "--version"], env=alone, capture_output=True, text=True, check=False)
        assert refused.returncode == 1
        theirs = next(version for version in VERSIONS if interpreter(version) == other)
        assert refused.stderr == f"holdfast: this file is for Python {VERSION}, and this is Python {theirs}\n"


@pytest.mark.skipif("BUILT" in os.environ, reason="the release workflow compares what two machines build")
def test_another_tree_elsewhere_makes_the_same_file(pyz: Path, tmp_path: Path):
    make("pyz", f"DIST={tmp_path}", f"PACKED={tmp_path / 'environment'}", "REPOSITORY=https://forge.example/mail/holdfast")
    same(tmp_path / "holdfast.pyz", pyz)


@pytest.mark.skipif("BUILT" in os.environ, reason="what was built has its version")
def test_a_version_in_the_making_is_built_too(tmp_path: Path):
    tree = copied_into(tmp_path)
    file = tree / "src/holdfast/__init__.py"
    file.write_text(file.read_text().replace(f'__version__ = "{__version__}"', '__version__ = "77.0.0.dev0"'))
    make("pyz", tree=tree)
    home = environment() | {"HOME": str(tmp_path / "home")}
    said = subprocess.run(
        [tree / "dist/holdfast.pyz", "--version"], env=home, capture_output=True, text=True, check=True
    ).stdout
    assert said.strip() == "holdfast, version 77.0.0.dev0"


def test_a_tag_that_says_something_else_than_the_tree_releases_nothing(tmp_path: Path):
    tree = copied_into(
        tmp_path,
        "Makefile",
        "pyproject.toml",
        "hatch_build.py",
        "README.md",
        "src/holdfast/__init__.py",
        "CHANGELOG.md",
        "changelog.d",
    )
    wrong = "The tag is 'v9.9.9'"
    with pytest.raises(AssertionError, match=wrong):
        make("release-check", "TAG=v9.9.9", tree=tree)
    changes = tree / "CHANGELOG.md"
    as_released(changes)
    released = changes.read_text()
    changes.write_text(released.replace(f"## [{__version__}]", "## [Unreleased]"))
    with pytest.raises(AssertionError, match="has no section of"):
        make("release-check", f"TAG=v{__version__}", tree=tree)
    (tree / "changelog.d/+forgotten.fixed.md").write_text("It was broken.\n")
    changes.write_text(released)
    with pytest.raises(AssertionError, match="fragments that are in no section"):
        make("release-check", f"TAG=v{__version__}", tree=tree)
