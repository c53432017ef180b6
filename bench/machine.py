"""What a run ran on: without it no figure means anything a month later."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import apsw
import msgspec

from bench.disk import filesystem_of
from bench.files import files_allowed

PACKAGES = ("holdfast-queue", "uvloop", "httptools", "msgspec", "apsw")


class Machine(msgspec.Struct, frozen=True):
    """The machine and the software of a run."""

    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    system: str
    filesystem: str
    python: str
    packages: dict[str, str]
    sqlite: str
    open_files: int
    load_before: float


def describe(directory: Path, load_before: float) -> Machine:
    """The machine as it is now; `directory` is where the stores will be."""
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_after("/proc/cpuinfo", "model name"),
        memory_gib=round(int(_after("/proc/meminfo", "MemTotal").split()[0]) / 2**20, 1),
        kernel=platform.release(),
        system=platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        filesystem=filesystem_of(directory),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        packages={name: _version(name) for name in PACKAGES},
        sqlite=apsw.sqlite_lib_version(),
        open_files=files_allowed(),
        load_before=load_before,
    )


def _after(file: str, label: str) -> str:
    """The value of a label in one of the kernel's tables."""
    for line in Path(file).read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == label:
            return value.strip()
    return "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed as a package"
