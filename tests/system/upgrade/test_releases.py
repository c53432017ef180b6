"""The file of releases, and what is kept of each of them."""

import io
import lzma
import re
import subprocess
import tarfile

import pytest
from packaging.version import Version

from holdfast import __version__
from holdfast.stores.postgres import migrate
from holdfast.stores.releases import releases
from holdfast.stores.sqlite.connect import migrations
from tests.contract.stores.upgrade.make import FIXTURES
from tests.system.upgrade.freeze import next_of, row
from tests.system.upgrade.released import HOME, LAST, PATHS, archive_of
from tests.unit.tidy.test_tidy import ROOT


def contents(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {one.name: file.read() for one in opened if (file := opened.extractfile(one)) is not None}


def test_each_row_comes_after_the_one_before_it_and_this_version_after_all():
    versions = [Version(release.version) for release in releases()]
    assert versions == sorted(set(versions))
    assert all(Version(__version__) > version for version in versions)
    for release in releases():
        assert re.fullmatch(r"\d+\.\d+\.\d+", release.version)
        assert re.fullmatch(r"[0-9a-f]{40}", release.commit)
        assert row(release) in (ROOT / "src/holdfast/stores/releases.toml").read_text()
    for steps in ([(one.sqlite, one.postgresql) for one in releases()] + [(migrations()[-1][0], migrate.NEWEST)],):
        assert steps == sorted(steps), "a step that was released is gone"


def test_of_each_release_its_stores_are_kept_and_of_the_last_its_source():
    kept = {path.name for path in FIXTURES.iterdir() if not path.name.startswith("positional.")}
    endings = ("db", "sqlite.json", "sql", "postgres.json", "ndjson")
    assert kept == {f"{release.version}.{ending}.gz" for release in releases() for ending in endings}
    sources = {path.name for path in HOME.iterdir()} if HOME.exists() else set()
    assert sources == ({archive_of(LAST).name} if LAST else set())


@pytest.mark.skipif(LAST is None, reason="nothing was released before this version")
def test_the_source_that_is_kept_is_that_version_with_the_steps_of_its_row():
    files = contents(lzma.decompress(archive_of(LAST).read_bytes()))
    assert f'__version__ = "{LAST.version}"' in files["src/holdfast/__init__.py"].decode()
    for store, ending, newest in (("sqlite", ".sql", LAST.sqlite), ("postgres", ".pre.sql", LAST.postgresql)):
        folder = f"src/holdfast/stores/{store}/migrations/"
        names = [name for name in files if name.startswith(folder) and name.endswith(ending)]
        assert max(int(name.removeprefix(folder)[:3]) for name in names) == newest
        for name in names:  # what was released is never changed
            assert (ROOT / name).read_bytes() == files[name], name


@pytest.mark.skipif(LAST is None, reason="nothing was released before this version")
def test_the_source_that_is_kept_is_that_of_the_commit():
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT)]
    known = subprocess.run([*git, "cat-file", "-e", f"{LAST.commit}^{{commit}}"], capture_output=True, check=False)
    if known.returncode:
        pytest.skip(f"NOT COMPARED: this checkout does not have the commit {LAST.commit} of {LAST.version} in its history")
    archived = subprocess.run([*git, "archive", "--format=tar", LAST.commit, *PATHS], capture_output=True, check=True).stdout
    assert contents(lzma.decompress(archive_of(LAST).read_bytes())) == contents(archived)


def test_after_a_release_comes_the_next_minor_version():
    assert next_of("77.1.3") == "77.2.0.dev0"
