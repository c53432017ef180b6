"""The workflows: read by two linters, and what those can't know of them."""

import re
from typing import Any

import pytest
import yaml

from tests.system.docs.pages import ROOT, read
from tests.system.packages.packing import HERE, ran

FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob(".github/workflows/*.yml"))
RELEASE = ".github/workflows/release.yml"
TRUSTED = {"attest", "publish", "image"}  # a token of this run proves there who asks


def jobs(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(read(name))["jobs"]
    return found


def test_actionlint_and_zizmor_find_nothing():
    ran(HERE / "bin/actionlint", "-shellcheck=", "-pyflakes=", *FILES)
    ran(HERE / "bin/zizmor", "--offline", "--quiet", "--no-progress", *FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_action_is_a_commit_whose_version_is_said(name: str):
    used = re.findall(r"uses: (.*)", read(name))
    assert used
    assert [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", each)] == []


@pytest.mark.parametrize("name", FILES)
def test_every_target_that_is_made_is_in_the_makefile(name: str):
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    made = set(
        re.findall(r"\bmake ([a-z-]+)", " ".join(step.get("run", "") for job in jobs(name).values() for step in job["steps"]))
    )
    assert made
    assert made <= targets


def test_what_is_released_was_built_once_and_tested():
    """All that leaves comes from the one build, after its test; who may speak for the project runs nothing of the tree."""
    of = jobs(RELEASE)
    assert of["test"]["needs"] == "build"
    assert {name for name, job in of.items() if "id-token" in job["permissions"]} == TRUSTED
    assert {name for name, job in of.items() if job["needs" if name != "build" else "runs-on"] == "test"} == TRUSTED
    assert set(of["release"]["needs"]) == TRUSTED
    for name in ("attest", "publish"):
        assert [step for step in of[name]["steps"] if "run" in step or "checkout" in step["uses"]] == []
    assert of["publish"]["environment"]["name"] == "pypi"
