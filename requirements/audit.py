"""Looks for the packages of the lock files in the Python Packaging Advisory Database, as it lies on this machine: `make check`, `make advisories`.

The database has one folder for each package, `vulns/NAME/*.yaml`, in the format of OSV. Only those of locked packages are read, so this takes a moment and
asks no network. Exit code 0: no locked release is affected, or there is no database, which is said; 1: one is affected; 2: this is no such database.
"""

import datetime as dt
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

OLD_DAYS = 30


def locked(files: tuple[Path, ...]) -> set[tuple[str, str]]:
    """The names and versions in lock files."""
    found = {pair for path in files for pair in re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.MULTILINE)}
    return {(canonicalize_name(name), version) for name, version in found}


def is_affected(version: str, affected: dict[str, Any]) -> bool:
    """Whether one `affected` of an advisory means this release: it is named, or is in one of the ranges."""
    ranges = [one["events"] for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM"]
    return version in affected.get("versions", ()) or any(_is_within(Version(version), events) for events in ranges)


def _is_within(version: Version, events: list[dict[str, str]]) -> bool:
    """Whether the last event up to this release, in the order of releases, is one that introduced the weakness."""
    inside = False
    for kind, text in sorted((next(iter(event.items())) for event in events), key=lambda event: (_bound(event[1]), event[0])):
        bound = _bound(text)
        if kind == "introduced" and version >= bound:
            inside = True
        elif (kind == "fixed" and version >= bound) or (kind == "last_affected" and version > bound):
            inside = False
    return inside


def _bound(text: str) -> Version:
    """A release in a range; what is no version, as some old releases are not, stands before all others."""
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0.dev0")


def findings(folder: Path, packages: set[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The id of each advisory that affects a locked release, with a sentence about it."""
    folders = {canonicalize_name(path.name): path for path in folder.iterdir()}
    for name, version in sorted(packages):
        for path in sorted(folders[name].glob("*.yaml")) if name in folders else ():
            advisory = yaml.safe_load(path.read_bytes())
            if "withdrawn" in advisory:
                continue
            mine = [one for one in advisory["affected"] if canonicalize_name(one["package"]["name"]) == name]
            if any(is_affected(version, one) for one in mine):
                also = ", ".join(advisory.get("aliases", ()))
                yield advisory["id"], f"{name} {version}: {advisory['id']}{f' ({also})' if also else ''}"


@click.command(help=__doc__)
@click.option("--advisories", type=click.Path(path_type=Path), required=True, help="A clone of pypa/advisory-database.")
@click.option("--accept", multiple=True, metavar="ID", help="An advisory that was looked at, and does not matter here.")
@click.argument("locks", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def main(advisories: Path, accept: tuple[str, ...], locks: tuple[Path, ...]) -> None:
    """Audit lock files."""
    if not advisories.exists():
        print(
            f"NOT AUDITED: there are no advisories in {advisories}, so nobody looked for known weaknesses in the locked",
            file=sys.stderr,
        )
        print("packages. `make advisories` gets them, where there is a network.", file=sys.stderr)
        return
    if not (advisories / "vulns").is_dir():
        raise click.UsageError(f"{advisories} is no clone of pypa/advisory-database: it has no folder vulns")
    packages = locked(locks)
    command = ["git", "-C", str(advisories), "log", "-1", "--format=%ct"]
    when = dt.datetime.fromtimestamp(int(subprocess.check_output(command)), dt.UTC)
    found = [sentence for name, sentence in findings(advisories / "vulns", packages) if name not in accept]
    for sentence in found:
        print(f"AFFECTED: {sentence}")
    print(f"audited {len(packages)} locked packages by the advisories of {when:%Y-%m-%d}: {len(found) or 'none'} affected")
    if (days := (dt.datetime.now(dt.UTC) - when).days) > OLD_DAYS:
        print(f"THE ADVISORIES ARE {days} DAYS OLD: `make advisories` gets newer ones.", file=sys.stderr)
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
