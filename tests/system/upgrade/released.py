"""The last release as it was: its source, out of `releases/`, on the path of an interpreter that has what it needs.

`freeze.py` kept it by `git archive` of the commit that `src/holdfast/stores/releases.toml` names. It is kept here, 0.9 MB, because a checkout need not
have the history: one without depth, a source archive. Where the history is there, a test compares. It runs on the packages of this environment, which must be
those that it asks for: once they are not, it needs an environment of its own, made by `uv` from the `requirements/serve.txt` of that commit.
"""

import io
import lzma
import os
import tarfile
import tomllib
from importlib.metadata import version as installed
from pathlib import Path

from packaging.requirements import Requirement

from holdfast.stores.releases import Release, releases
from tests.unit.tidy.test_tidy import ROOT

HOME = Path(__file__).parent / "releases"
PATHS = ("src", "pyproject.toml", "tests/contract/doors/rest/openapi.json")
LAST = releases()[-1] if releases() else None


def archive_of(release: Release) -> Path:
    """Where its source is kept."""
    return HOME / f"holdfast-{release.version}.tar.xz"


class Released:
    """The source of a release, unpacked."""

    def __init__(self, release: Release, folder: Path) -> None:
        self.release = release
        self.folder = folder
        with tarfile.open(fileobj=io.BytesIO(lzma.decompress(archive_of(release).read_bytes()))) as tar:
            tar.extractall(folder, filter="data")
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        wanted = [Requirement(line) for line in project["dependencies"] + project["optional-dependencies"]["server"]]
        unfit = [
            str(one)
            for one in wanted
            if (one.marker is None or one.marker.evaluate())
            and not one.specifier.contains(installed(one.name), prereleases=True)
        ]
        assert not unfit, f"Holdfast {release.version} needs {', '.join(unfit)}: make it an environment of its own"
        self.env = {"PYTHONPATH": str(folder / "src")}


def environment(env: dict[str, str]) -> dict[str, str]:
    """That of this process, without settings, and `env`."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")} | env


def next_version(folder: Path) -> dict[str, str]:
    """The environment of a version that is this tree with a step more in both schemas, such as the next release may have."""
    source = ROOT / "src/holdfast"
    for path in source.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            link = folder / "holdfast" / path.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    stores = folder / "holdfast/stores"
    for store, ending, script in STEPS:
        newest = max(int(path.name[:3]) for path in (stores / store / "migrations").glob("*.sql"))
        number = newest if ending == "post.sql" else newest + 1
        (stores / store / f"migrations/{number:03}_colours.{ending}").write_text(script)
    return {"PYTHONPATH": str(folder)}


_TABLES = ("queue", "job", "ready", "leased", "scheduled", "ended", "kept_answer", "worker", "schedule", "job_error")
STEPS = (
    (
        "postgres",
        "pre.sql",
        f"-- Colours. More of it.\n-- locks: {', '.join(_TABLES)}\n"
        + "".join(f"ALTER TABLE {table} ADD COLUMN colour text;\n" for table in _TABLES)
        + "CREATE TABLE for_the_older(n int);\n",
    ),
    ("postgres", "post.sql", "-- No table for the older.\n-- locks: for_the_older\nDROP TABLE for_the_older;\n"),
    (
        "sqlite",
        "sql",
        "-- Colours.\n-- rewrites: job\nALTER TABLE job ADD COLUMN colour TEXT; UPDATE job SET colour = 'red';\n",
    ),
)
"""What it does; of one number come `pre` and `post`."""
