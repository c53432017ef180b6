"""What `make dist` builds: the same from the same tree, all that it must have and nothing else, and said of it what is true."""

import email
import re
import shutil
import tarfile
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from holdfast import __version__
from holdfast.cli.entry import SERVER, TALKING
from tests.system.docs.pages import ROOT, read
from tests.system.packages.packing import Built, built_into, copied_into, ran, same, tracked

PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
PAGES = ("holdfast", *(f"holdfast-{name}" for name in TALKING | SERVER))
REPOSITORY = "https://forge.example/mail/holdfast"


def said(wheel: Path) -> Message:
    """The metadata of a wheel."""
    with zipfile.ZipFile(wheel) as packed:
        (name,) = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(packed.read(name))


def addresses(readme: str) -> list[str]:
    """Where the links and pictures of a page lead."""
    tokens = [child for token in MarkdownIt().parse(readme) for child in token.children or ()]
    return [str(token.attrs.get("href") or token.attrs["src"]) for token in tokens if token.type in ("link_open", "image")]


@pytest.fixture(scope="module")
def for_release(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What is built where the repository is known."""
    return built_into(tmp_path_factory.mktemp("release"), ROOT, f"REPOSITORY={REPOSITORY}")


def test_the_same_tree_makes_the_same_files_wherever_and_whenever(for_release: Built, tmp_path: Path):
    again = built_into(tmp_path / "dist", copied_into(tmp_path), f"REPOSITORY={REPOSITORY}")
    assert again.wheel.name == for_release.wheel.name
    same(again.wheel, for_release.wheel)
    same(again.archive, for_release.archive)


def test_builds_of_one_tree_at_once_make_the_same_files(built: Built, tmp_path: Path):
    with ThreadPoolExecutor() as at_once:
        for one in at_once.map(built_into, [tmp_path / "first", tmp_path / "second"]):
            same(one.wheel, built.wheel)
            same(one.archive, built.archive)


def test_what_differs_is_told_by_its_name(built: Built, tmp_path: Path):
    other = tmp_path / built.wheel.name
    with zipfile.ZipFile(shutil.copyfile(built.wheel, other), "a") as wheel:
        wheel.writestr("holdfast/more.py", "")
    with pytest.raises(AssertionError, match=r"differ in \['holdfast/more.py'\]"):
        same(built.wheel, other)


@pytest.mark.parametrize("which", ["built", "for_release"])
def test_the_source_archive_makes_the_same_wheel(which: str, request: pytest.FixtureRequest, tmp_path: Path):
    one: Built = request.getfixturevalue(which)
    with tarfile.open(one.archive) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    same(built_into(tmp_path / "dist", tree).wheel, one.wheel)


def test_a_wheel_has_the_package_its_licence_its_manual_pages_and_nothing_else(built: Built):
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
        executable = [each.filename for each in wheel.infolist() if each.external_attr >> 16 & 0o111]
    about = f"holdfast_queue-{__version__}.dist-info"
    assert names == {name.removeprefix("src/") for name in tracked("src/holdfast")} | {
        f"{about}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")
    } | {f"holdfast_queue-{__version__}.data/data/share/man/man1/{page}.1" for page in PAGES}
    assert {"holdfast/py.typed", "holdfast/doors/web/templates/overview.html", "holdfast/doors/web/static/page.css"} <= names
    assert executable == []


def test_a_source_archive_has_what_a_checkout_needs_to_be_run_and_tested(built: Built):
    names = {name.partition("/")[2] for name in ran("tar", "--list", "--gzip", "--file", built.archive).splitlines()}
    assert set(tracked()) - names <= {".editorconfig"}
    assert names - set(tracked()) == {"PKG-INFO"}


def test_a_wheel_says_its_name_what_it_needs_and_what_it_brings(built: Built):
    told = said(built.wheel)
    assert (told["Name"], told["Version"], told["License-Expression"]) == ("holdfast-queue", __version__, "Apache-2.0")
    assert told["Requires-Python"] == PROJECT["requires-python"]
    needed = [need for need in told.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert {re.split(r"[<>=~!]", need)[0] for need in needed} == {
        re.split(r"[<>=~!]", need)[0] for need in PROJECT["dependencies"]
    }
    assert set(told.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_the_readme_of_a_release_leads_to_the_files_of_its_version(for_release: Built):
    told = said(for_release.wheel)
    assert told["Description-Content-Type"] == "text/markdown"
    there = [each for each in addresses(told.get_payload()) if not each.startswith("#")]
    assert [each for each in there if not each.startswith("https://")] == []
    ours = [each.removeprefix(f"{REPOSITORY}/") for each in there if each.startswith(REPOSITORY)]
    pictures = [each for each in ours if each.startswith(f"raw/v{__version__}/docs/images/")]
    assert len(ours) > 40
    assert pictures
    places = [each.partition("#")[0].split("/", 2) for each in ours]
    assert {(kind, tag) for kind, tag, _ in places} == {("blob", f"v{__version__}"), ("raw", f"v{__version__}")}
    assert [path for *_, path in places if not (ROOT / path).exists()] == []
    assert f"Source, {REPOSITORY}" in told.get_all("Project-URL", [])


def test_where_no_repository_is_known_the_readme_has_no_link_that_leads_nowhere(built: Built):
    told = said(built.wheel)
    there = addresses(told.get_payload())
    assert [each for each in there if not each.startswith(("https://", "#"))] == []
    assert len(there) > 10
    assert "(docs/" not in told.get_payload()
