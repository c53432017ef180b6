"""The test suites of kombu, Celery, Dramatiq and taskiq as they were released: their source archives, by hash, kept in the cache of this machine."""

import importlib.util
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

from tests.missing import missing
from tests.once import once

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "holdfast-tests" / "sources"
ARCHIVES = {
    "kombu-5.7.0": "31e62fdfd2381caa3422f8e02b84a491d9a2180ddda74507b57f4cb1e1c2c2c9",
    "celery-5.7.0": "6a5dfcf6662287204f009a02002b9e66c83d4105e47ebabdc7079108772fc6f0",
    "dramatiq-2.2.1": "f9fbbd2feea27b3fa4085446242a24d86f78288b20c78a93f9f0bdbd7d908cd5",
    "taskiq-0.13.0": "7d56609a6c5a20b0c9da67e9f310ec9640266f620b8f81880bccd5f16913e687",
}


def source(name: str) -> Path:
    """The folder of an unpacked archive; the test is skipped if it can't be had."""
    folder = once(f"source of {name}", lambda folder: _unpack(name, folder)) / name
    if not folder.is_dir():
        missing(f"the source archive of {name}", "pip has to reach a package index")
    return folder


def _unpack(name: str, folder: Path) -> None:
    archive, wanted = CACHE / f"{name}.tar.gz", CACHE / f"{name}.txt"
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted.write_text(f"{name.replace('-', '==')} --hash=sha256:{ARCHIVES[name]}\n")
    how = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--require-hashes"]
    where = ["--find-links", str(CACHE), "--no-index"] if archive.exists() else []
    command = [sys.executable, "-m", "pip", "download", "--quiet", *how, *where, "--dest", str(CACHE), "-r", str(wanted)]
    if subprocess.run(command, check=False, capture_output=True, timeout=240).returncode == 0:
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")


def module(path: Path) -> ModuleType:
    """A file of a suite, imported."""
    spec = importlib.util.spec_from_file_location(f"suite_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found
