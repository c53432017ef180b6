"""The file of releases, and what is kept of each of them."""

import io
import json
import lzma
import re
import subprocess
import tarfile
from typing import Any

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


def schema_of(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference leads to."""
    while "$ref" in part:
        part = document["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return part


def lost(old: dict[str, Any], new: dict[str, Any], before: dict[str, Any], after: dict[str, Any], asked: bool) -> list[str]:
    """What an object of the API had and has no more. Of what is `asked`, what has to be given now and had not to be, too."""
    before, after = schema_of(old, before), schema_of(new, after)
    gone = [name for name in before.get("properties", {}) if name not in after.get("properties", {})]
    return gone + ([name for name in after.get("required", []) if name not in before.get("required", [])] if asked else [])


def test_what_an_object_lost_is_found_and_what_it_got_is_not():
    old = {"components": {"schemas": {"Job": {"properties": {"a": {}, "b": {}}, "required": ["a"]}}}}
    new = {"components": {"schemas": {"Job": {"properties": {"a": {}, "c": {}}, "required": ["a", "c"]}}}}
    job = {"$ref": "#/components/schemas/Job"}
    assert lost(old, new, job, job, False) == ["b"]
    assert lost(old, new, job, job, True) == ["b", "c"]
    assert lost(old, old, job, job, True) == []


@pytest.mark.skipif(LAST is None, reason="nothing was released before this version")
def test_every_route_of_the_release_is_there_with_all_that_it_takes_and_gives():
    name = "tests/contract/doors/rest/openapi.json"
    old = json.loads(contents(lzma.decompress(archive_of(LAST).read_bytes()))[name])
    new = json.loads((ROOT / name).read_text())
    count = 0
    for path, verbs in old["paths"].items():
        for verb, before in verbs.items():
            after, where = new["paths"].get(path, {}).get(verb), f"{verb} {path}"
            assert after is not None, where
            there = {(one["in"], one["name"]) for one in after.get("parameters", [])}
            assert {(one["in"], one["name"]) for one in before.get("parameters", [])} <= there, where
            for kind, one in before.get("requestBody", {}).get("content", {}).items():
                assert (
                    lost(old, new, one.get("schema", {}), after["requestBody"]["content"][kind].get("schema", {}), True) == []
                ), where
            for status, answer in before["responses"].items():
                assert status in after["responses"], f"{where} {status}"
                for kind, one in answer.get("content", {}).items():
                    now = after["responses"][status]["content"][kind]
                    assert lost(old, new, one.get("schema", {}), now.get("schema", {}), False) == [], f"{where} {status}"
            count += 1
    assert count > 50
