"""The changelog: fragments become the section of the new version, above those before."""

import re
from pathlib import Path

import pytest

from holdfast import __version__
from tests.system.docs.pages import ROOT, read
from tests.system.packages.packing import as_released, copied_into, make, ran

FILES = ("Makefile", "pyproject.toml", "hatch_build.py", "README.md", "CHANGELOG.md", "changelog.d", "src/holdfast/__init__.py")
FIRST = "<!-- make changelog: the newest version comes below -->\n\n"
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the changelog is made from, without the fragments of today."""
    there = copied_into(tmp_path, *FILES)
    for fragment in (there / "changelog.d").glob("+*"):
        fragment.unlink()
    return there


def test_fragments_become_the_section_of_the_next_version(tree: Path):
    changes, home = tree / "CHANGELOG.md", tree / "src/holdfast/__init__.py"
    as_released(changes)
    before = changes.read_text().partition(FIRST)[2]
    home.write_text(home.read_text().replace(f'"{__version__}"', '"77.1.0"'))
    (tree / "changelog.d/+pause-until.added.md").write_text("`queue pause --for 10m` pauses a queue for a time.\n")
    (tree / "changelog.d/+late.fixed.md").write_text("A late job is not late:\n- on disk\n- in memory\n")
    make("changelog", tree=tree)
    made, _, rest = changes.read_text().partition(FIRST)[2].partition(f"## [{__version__}]")
    heading, *lines = made.splitlines()
    assert heading.startswith("## [77.1.0] - 20")
    assert [line for line in lines if line] == [
        "### Added",
        "- `queue pause --for 10m` pauses a queue for a time.",
        "### Fixed",
        "- A late job is not late:",
        "  - on disk",
        "  - in memory",
    ]
    assert f"## [{__version__}]{rest}" == before
    assert [path.name for path in (tree / "changelog.d").iterdir()] == ["README.md"]
    assert make("release-notes", tree=tree).strip() == "\n".join(lines).strip()
    make("release-check", "TAG=v77.1.0", tree=tree)


def test_what_is_unreleased_today_becomes_the_section_of_its_version_as_it_stands(tree: Path):
    before = (tree / "CHANGELOG.md").read_text()
    if "## [Unreleased]" not in before:
        pytest.skip("nothing is unreleased there: it is in fragments")
    make("changelog", tree=tree)
    heading, _, after = (tree / "CHANGELOG.md").read_text().partition(FIRST)[2].partition("\n")
    assert heading.startswith(f"## [{__version__}] - 20")
    assert after == before.partition(f"{FIRST}## [Unreleased]\n")[2]
    make("release-check", f"TAG=v{__version__}", tree=tree)


def test_the_fragments_of_today_can_be_read():
    """Each has a kind that is known, and a text; a draft of the section has all of them."""
    found = [path for path in (ROOT / "changelog.d").iterdir() if path.name != "README.md"]
    assert [path.name for path in found if not path.name.startswith("+") or path.name.split(".")[-2:-1][0] not in KINDS] == []
    draft = ran("towncrier", "build", "--draft", "--version", "77.1.0")
    assert [path.name for path in found if path.read_text().split("\n")[0] not in draft] == []
    assert all(f"`{kind}`" in read("changelog.d/README.md") for kind in KINDS)


def test_a_link_of_a_fragment_leads_somewhere_from_the_changelog():
    links = [link for path in (ROOT / "changelog.d").glob("+*") for link in re.findall(r"\]\(([^)#:]+)[#)]", path.read_text())]
    assert links
    assert [link for link in links if link.startswith("..") or not (ROOT / link).exists()] == []
