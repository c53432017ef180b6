"""Suites of others, run against our backend with a real server: Django's own tests of tasks, and those of django-tasks-db.

Their code is not ours and not kept here: it comes from the package index when the tests run, checked by its hash.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.system.django import reasons
from tests.system.whole.servers import Server

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
HARNESS = HERE / "harness"


_PATIENCE = {  # a worker starts in a second where nothing else runs, and tests do not run alone
    "time.sleep(self.WORKER_STARTUP_TIME)": "__import__('holdfast_suite.backends').backends.wait_for_workers(self.processes)",
    "sleep_for.enqueue(2)": "sleep_for.enqueue(5)",
    "timeout=0.5)": "timeout=30)",
    "timeout=2)": "timeout=30)",
    "timeout=5)": "timeout=60)",
}
_NAMES = {"django_tasks_db.utils": "django_tasks_db.locks"}


class Unavailable(Exception):
    """The package index can't be reached, or there is no such Python here."""


@dataclass(frozen=True)
class Suite:
    """`prepare` puts its test modules into a folder; `labels` are what is run there."""

    package: str
    requirement: str
    labels: tuple[str, ...]
    reasons: dict[str, str]
    backend: str
    apps: str = ""


DJANGO = Suite(
    "django-6.1.3",
    "django==6.1.3 --hash=sha256:b5d2d9e35295065d13b1927b3f19a59bd119f737aa6299def14ccca1ae3c8c0d",
    ("tasks",),
    reasons.DJANGO,
    "holdfast_suite.backends.Suite",
)
DJANGO_6_0 = replace(
    DJANGO,
    package="django-6.0.10",
    requirement="django==6.0.10 --hash=sha256:6005d030df924f85088454c18bd35dcf082b058aa355ad3df520d8de9aef9f41",
)
DJANGO_TASKS_DB = Suite(
    "django_tasks_db-0.13.0",
    "django-tasks-db==0.13.0 --hash=sha256:09630d417cf722b07e1439b837403e18e86455908ba532fa6795b0d23dc3ff23",
    ("tests.tests",),
    reasons.DJANGO_TASKS_DB,
    "django_tasks_db.DatabaseBackend",
    "django_tasks_db",
)


@dataclass
class Report:
    """How many tests passed, which failed, and which were left out or skipped by themselves, with the reasons."""

    passed: int
    failed: list[str]
    skipped: dict[str, str]
    left_out: dict[str, str]
    output: str = field(repr=False, default="")


def run(suite: Suite, python: str, folder: Path, labels: Sequence[str] = ()) -> Report:
    """Run a suite, or these tests of it, with this interpreter, which has Django and what Holdfast's client needs. Raises `Unavailable`."""
    source = sources(suite, python, folder / "sdist")
    tests = folder / suite.package
    shutil.rmtree(tests, ignore_errors=True)
    tests.mkdir(parents=True)
    (_django_tasks_db if suite is DJANGO_TASKS_DB else _django)(source, tests)
    server = Server(folder / "server", "--log-level", "warning").start()
    try:
        done = subprocess.run(
            [python, "-m", "holdfast_suite", *(labels or suite.labels)],
            cwd=tests,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(tests), str(HARNESS), str(ROOT / "src")]),
                "DJANGO_SETTINGS_MODULE": "holdfast_suite.settings",
                "HOLDFAST_URL": server.url,
                "SUITE_BACKEND": suite.backend,
                "SUITE_APPS": suite.apps,
                "SUITE_DATABASE": str(folder / "db.sqlite3"),
                "SUITE_REASONS": json.dumps(suite.reasons),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        server.destroy()
    said = done.stdout.strip().rpartition("\n")[2]
    try:
        return Report(**json.loads(said), output=done.stderr)
    except (ValueError, TypeError):
        raise AssertionError(f"{suite.package} did not run:\n{done.stdout}\n{done.stderr}") from None


def contract(python: str) -> Report:
    """Our own tests of the backend, but for those that need PostgreSQL, with the Django of this interpreter."""
    files = sorted(
        str(path) for path in (ROOT / "tests" / "contract" / "django").glob("test_*.py") if path.stem != "test_transaction"
    )
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", done.stdout)}
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode and not failed:
        failed = ["pytest itself"]
    return Report(counts.get("passed", 0), failed, {}, {}, done.stdout + done.stderr)


def sources(suite: Suite, python: str, folder: Path) -> Path:
    """The unpacked source distribution."""
    place = folder / suite.package
    if not place.exists():
        folder.mkdir(parents=True, exist_ok=True)
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{suite.requirement}\n")
        pip(python, "download", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(wanted), "-d", str(folder))
        with tarfile.open(folder / f"{suite.package}.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    return place


def environment(python: str, folder: Path, suite: Suite = DJANGO) -> str:
    """The interpreter of an environment with the Django of a suite and what Holdfast needs, by their hashes."""
    made = folder / "bin" / "python"
    if not (folder / "made").exists():
        subprocess.run([python, "-m", "venv", str(folder)], check=True)
        pip(str(made), "install", "--require-hashes", "-r", str(ROOT / "requirements" / "serve.txt"))
        pip(str(made), "install", "--require-hashes", "-r", str(HERE / "requirements.txt"))
        if suite is not DJANGO:
            wanted = folder / "wanted.txt"
            wanted.write_text(f"{suite.requirement}\n")
            pip(str(made), "install", "--no-deps", "--no-binary", ":all:", "--require-hashes", "-r", str(wanted))
        (folder / "made").touch()
    return str(made)


def pip(python: str, *arguments: str) -> None:
    """Raises `Unavailable`."""
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(done.stderr.strip() or f"pip ended with {done.returncode}")


def django_of(python: str) -> str:
    """The version of Django that an interpreter has."""
    asked = [python, "-c", "import django; print(django.__version__)"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def interpreters() -> list[str]:
    """Those of 3.12 and later that are here."""
    found: dict[str, str] = {}
    for version in ("3.12", "3.13", "3.14"):
        listed = sorted(Path("~/.pyenv/versions").expanduser().glob(f"{version}.*/bin/python"))
        place = shutil.which(f"python{version}")
        for candidate in [*([place] if place else []), *map(str, listed)]:
            done = subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False)
            if done.returncode == 0:
                found.setdefault(version, candidate)
    return list(found.values())


def _django(source: Path, tests: Path) -> None:
    """Its dummy and immediate backends become ours."""
    changes = {
        "django.tasks.backends.dummy": "holdfast_suite.backends",
        "django.tasks.backends.immediate": "holdfast_suite.backends",
    }
    (tests / "tasks").mkdir()
    for path in (source / "tests" / "tasks").glob("*.py"):
        text = path.read_text()
        for old, new in changes.items():
            text = text.replace(old, new)
        (tests / "tasks" / path.name).write_text(text)


def _django_tasks_db(source: Path, tests: Path) -> None:
    """`django_tasks_db` itself is the harness's."""
    (tests / "tests").mkdir()
    (tests / "tests" / "__init__.py").touch()
    text = (source / "tests" / "tests.py").read_text()
    for old, new in {**_PATIENCE, **_NAMES}.items():
        assert old in text, old
        text = text.replace(old, new)
    (tests / "tests" / "tests.py").write_text(text)
    shutil.copy(HARNESS / "db_tests" / "tasks.py", tests / "tests" / "tasks.py")
    shutil.copy(HARNESS / "db_tests" / "manage.py", tests / "manage.py")
    (tests / "tests" / "db_worker_test_settings.py").write_text("from holdfast_suite.settings import *\n")


def shown(report: Report) -> dict[str, Any]:
    """What is said of a run."""
    return {
        "passed": report.passed,
        "failed": len(report.failed),
        "skipped": len(report.skipped),
        "left out": len(report.left_out),
    }


if __name__ == "__main__":
    sys.exit("python -m tests.system.django")
