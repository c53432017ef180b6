"""The version stands in `src/holdfast/__init__.py` alone: a release changes it there, and nothing else is left behind with the old one."""

import re

from holdfast import __version__
from tests.unit.tidy.test_tidy import ROOT, repository_files

HOME = "src/holdfast/__init__.py"
# What was measured, and what changed, is of the version that it names for ever.
RECORDS = {
    "CHANGELOG.md",
    "bench/results/latest.json",
    "bench/results/latest.md",
    "bench/results/postgresql.json",
    "bench/results/postgresql.md",
    "bench/results/flow.json",
    "bench/results/flow.md",
    "bench/results/lone.json",
    "bench/results/lone.md",
    "bench/results/python-peers.json",
    "bench/results/python-peers.md",
}
OURS = re.compile(rf"(?i)(?:holdfast|version).*(?<![\d.]){re.escape(__version__)}(?![\d.]*\d)")


def test_the_version_stands_in_one_place():
    found = []
    for path in repository_files():
        name = path.relative_to(ROOT).as_posix()
        if name in RECORDS or name.startswith("requirements/"):  # what is locked has versions of its own
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue
        found += [f"{name}: {line.strip()[:120]}" for line in lines if OURS.search(line)]
    assert found == [f'{HOME}: __version__ = "{__version__}"']
