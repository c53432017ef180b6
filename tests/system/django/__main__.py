"""`python -m tests.system.django`: both suites, with Django 6.1 on each Python from 3.12 on; that of Django 6.0, with our own tests; and the second with the Django of this environment, too."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.system.django.suites import (
    DJANGO,
    DJANGO_6_0,
    DJANGO_TASKS_DB,
    Report,
    Suite,
    Unavailable,
    contract,
    django_of,
    environment,
    interpreters,
    run,
)


def main() -> int:
    """The exit code: 1 where a test has failed, and under CI where a suite could not be had."""
    reader = argparse.ArgumentParser(prog="python -m tests.system.django", description=__doc__)
    reader.add_argument("--python", action="append", help="an interpreter of 3.12 or later; may be repeated")
    reader.add_argument("--folder", type=Path, help="where environments and sources are kept for the next time")
    reader.add_argument("--verbose", action="store_true", help="show what the suites say")
    given = reader.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-django-") as scratch:
        folder = (given.folder or Path(scratch)).absolute()
        try:
            reports = list(_all(given.python or interpreters(), folder, Path(scratch)))
        except Unavailable as error:
            print(f"The suites can't be had: {error}")
            return 1 if os.environ.get("CI") == "true" else 0
    for name, report in reports:
        print(
            f"{name}: {report.passed} passed, {len(report.failed)} failed, {len(report.left_out)} can't apply, {len(report.skipped)} skipped"
        )
        for test in report.failed:
            print(f"    FAILED {test}")
        if given.verbose or report.failed:
            print(report.output)
        if given.verbose:
            for test, reason in {**report.left_out, **report.skipped}.items():
                print(f"    {test}: {reason}")
    return 1 if any(report.failed for _, report in reports) else 0


def _all(pythons: list[str], folder: Path, scratch: Path) -> "list[tuple[str, Report]]":
    if not pythons:
        raise Unavailable("there is no Python from 3.12 on")
    found: list[tuple[str, Report]] = []

    def one(suite: Suite, name: str, python: str) -> None:
        place = scratch / f"{len(found)}"
        place.mkdir()
        (place / "sdist").symlink_to(folder / "sdist")
        (folder / "sdist").mkdir(parents=True, exist_ok=True)
        found.append((f"{suite.package}, {name}", run(suite, python, place)))

    for number, python in enumerate(pythons):
        made = environment(python, folder / f"env{number}-{Path(python).parts[-3]}")
        one(DJANGO, python, made)
        one(DJANGO_TASKS_DB, f"Django {django_of(made)}, {python}", made)
        found.append((f"tests/contract/django, Django {django_of(made)}, {python}", contract(made)))
    made = environment(pythons[0], folder / f"env-6.0-{Path(pythons[0]).parts[-3]}", DJANGO_6_0)
    one(DJANGO_6_0, pythons[0], made)
    found.append((f"tests/contract/django, Django {django_of(made)}, {pythons[0]}", contract(made)))
    one(DJANGO_TASKS_DB, f"Django {django_of(sys.executable)}, {sys.executable}", sys.executable)
    return found


if __name__ == "__main__":
    sys.exit(main())
