"""`make check` finds a locked release that an advisory is about, and says so where it could not look."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ADVISORY = """
id: PYSEC-2026-{number}
aliases: [CVE-2026-{number}]
{more}
affected:
- package: {{name: {name}, ecosystem: PyPI}}
  versions: {versions}
  ranges:
  - {{type: GIT, repo: https://example.org/x, events: [{{introduced: '0'}}]}}
  - {{type: ECOSYSTEM, events: [{events}]}}
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """An empty clone of the database."""
    folder = tmp_path / "advisories"
    (folder / "vulns").mkdir(parents=True)
    git = ["git", "-C", str(folder), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message", "today"], check=True)
    return folder


def audit(database: Path, lock: str, *options: str) -> tuple[int, str]:
    path = database.parent / "lock.txt"
    path.write_text(lock)
    command = [sys.executable, ROOT / "requirements/audit.py", "--advisories", database, *options, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def advise(database: Path, number: int, name: str, events: str, versions: str = "[]", more: str = "") -> None:
    folder = database / "vulns" / name.lower()
    folder.mkdir(exist_ok=True)
    text = ADVISORY.format(number=number, name=name, events=events, versions=versions, more=more)
    (folder / f"PYSEC-2026-{number}.yaml").write_text(text)


LOCK = """# made by hand
jinja2==3.1.6 \\
    --hash=sha256:00
    # via litestar
ruamel-yaml==0.18.1 ; python_version < '3.12' \\
    --hash=sha256:00
"""


@pytest.mark.parametrize(
    ("events", "versions"),
    [
        ("{introduced: '0'}, {fixed: '3.1.7'}", "[]"),
        ("{introduced: '4.0'}, {fixed: '4.2'}, {introduced: '3.0'}, {last_affected: '3.1.6'}", "[]"),
        ("{introduced: '0'}, {fixed: '2.0'}, {introduced: '3.1.6'}", "[]"),
        ("{introduced: '9'}", "['3.1.6']"),
    ],
    ids=["before the fix", "up to the last", "introduced again", "by name"],
)
def test_a_locked_release_that_is_affected_fails_and_is_named(database: Path, events: str, versions: str):
    advise(database, 7, "Jinja2", events, versions)
    code, said = audit(database, LOCK)
    assert (code, "AFFECTED: jinja2 3.1.6: PYSEC-2026-7 (CVE-2026-7)" in said) == (1, True), said
    assert audit(database, LOCK, "--accept", "PYSEC-2026-7")[0] == 0


@pytest.mark.parametrize(
    "events",
    ["{introduced: '0'}, {fixed: '3.1.6'}", "{introduced: '3.2'}", "{introduced: '3.0'}, {last_affected: '3.1.5'}"],
    ids=["fixed in it", "introduced later", "up to the one before"],
)
def test_a_locked_release_that_is_not_affected_passes(database: Path, events: str):
    advise(database, 7, "Jinja2", events, "['3.1.5']")
    advise(database, 8, "jinja2", "{introduced: '0'}", more="withdrawn: '2026-11-01T00:00:00Z'")
    advise(database, 9, "another", "{introduced: '0'}")
    code, said = audit(database, LOCK)
    assert (code, "audited 2 locked packages" in said, "OLD" in said) == (0, True, False), said


def test_a_name_is_found_however_it_is_written(database: Path):
    advise(database, 7, "Ruamel.YAML", "{introduced: '0'}")
    assert audit(database, LOCK)[0] == 1


def test_without_advisories_it_says_loudly_that_nobody_looked_and_fails_nothing(database: Path):
    code, said = audit(database.parent / "none", LOCK)
    assert (code, said.startswith("NOT AUDITED")) == (0, True), said


def test_a_folder_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    code, said = audit(tmp_path / "empty", LOCK)
    assert (code, "no clone of pypa/advisory-database" in said) == (2, True), said
