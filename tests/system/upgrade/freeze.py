"""Freezes what is checked out as a release: `make freeze`, once the commit is there that is to be released.

    python -m tests.system.upgrade.freeze [NEXT]

It adds the row to `releases.toml`; keeps the stores that this version writes, with what it tells of them, and an export, for the tests of all versions to
come (`tests/contract/stores/upgrade/fixtures`); keeps the source of the commit for the test of the next one (`releases/`, in place of the
release before); and sets the version to NEXT, by default the next minor one with `.dev0`. Commit that: the tag belongs on the commit before.
"""

import lzma
import re
import subprocess
import sys
from pathlib import Path

from holdfast import __version__
from holdfast.logs import configure
from holdfast.stores.postgres.migrate import NEWEST
from holdfast.stores.releases import Release, releases
from holdfast.stores.sqlite.connect import migrations
from tests.contract.stores.upgrade import make
from tests.system.upgrade.released import HOME, PATHS, archive_of
from tests.unit.tidy.test_tidy import ROOT

VERSION_FILE = ROOT / "src/holdfast/__init__.py"
ROWS = ROOT / "src/holdfast/stores/releases.toml"


def git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *words], check=True, capture_output=True, timeout=60).stdout


def row(release: Release) -> str:
    """As it stands in the file."""
    return (
        f'\n[[release]]\nversion = "{release.version}"\ncommit = "{release.commit}"\ndate = {release.date}\n'
        f"sqlite = {release.sqlite}\npostgresql = {release.postgresql}\n"
    )


def next_of(version: str) -> str:
    """The next minor version, in the making."""
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}.0.dev0"


def main(following: str | None = None) -> None:
    if not re.fullmatch(r"\d+\.\d+\.\d+", __version__):
        sys.exit(
            f"freeze: {__version__} is no version to release: set __version__ in {VERSION_FILE.relative_to(ROOT)}, and commit that."
        )
    if __version__ in {release.version for release in releases()}:
        sys.exit(f"freeze: {__version__} was released already.")
    if f"\n## [{__version__}] - " not in (ROOT / "CHANGELOG.md").read_text():
        sys.exit(f"freeze: CHANGELOG.md has no section of {__version__}: make changelog, and commit that")
    if changed := git("status", "--porcelain").decode().strip():
        sys.exit(f"freeze: the tree is not what is committed:\n{changed}")
    configure("error", "text")
    commit, day = git("show", "-s", "--format=%H %cs", "HEAD").decode().split()
    release = Release(__version__, commit, day, migrations()[-1][0], NEWEST)  # type: ignore[arg-type]  # it is only written
    make.main(__version__)
    HOME.mkdir(exist_ok=True)
    for older in HOME.glob("*.tar.xz"):
        older.unlink()
    archive_of(release).write_bytes(
        lzma.compress(git("archive", "--format=tar", commit, *PATHS), preset=9 | lzma.PRESET_EXTREME)
    )
    with ROWS.open("a") as file:
        file.write(row(release))
    text = VERSION_FILE.read_text()
    VERSION_FILE.write_text(
        text.replace(f'__version__ = "{__version__}"', f'__version__ = "{following or next_of(__version__)}"')
    )
    size = sum(path.stat().st_size for path in (archive_of(release), *Path(make.FIXTURES).glob(f"{__version__}.*")))
    said = f"{__version__} is frozen at {commit} ({size} bytes kept); the tree is {following or next_of(__version__)}. Commit it all.\n"
    sys.stdout.write(said)


if __name__ == "__main__":
    main(*sys.argv[1:])
