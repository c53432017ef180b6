"""Style as a test: what a reader may rely on everywhere in this repository.

Each test gathers every place that breaks its rule and shows them all at once. Nothing is skipped where something is
missing: a module or page that a rule needs and does not find fails the rule.

The limits on length keep a habit: a file that grows past them is looked at, and a class is not cut in two to satisfy a
count. What has to be longer is named in `LONGER` with its own limit and a reason, and leaves that table when it gets shorter.
"""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

from holdfast.config import Config
from holdfast.doors.rest.app import ROUTES
from holdfast.doors.rest.docs import document

ROOT = Path(__file__).resolve().parents[3]
PRODUCT = "src/holdfast"
CODE = (PRODUCT, "bench", "torture", "fuzz", "cluster", "examples")

VENDORED = {  # kept as their makers published them
    ROOT / PRODUCT / "doors/rest/static/swagger-ui",
    ROOT / PRODUCT / "doors/web/static/vendor",
    ROOT / "tests/system/browser/axe",
}

FILE_LINES = 480
FUNCTION_LINES = 60
# "path" or "path::Class.function" → (its own limit in lines, why it may be so long)
LONGER: dict[str, tuple[int, str]] = {}

NAMED_BY_OTHERS = {Path("tests/system/django/harness/django_tasks_db/utils.py")}  # django-tasks-db's own suite imports it
VAGUE_NAMES = {"utils", "helpers", "common", "base", "manager", "service"}
UNFINISHED = re.compile(r"\b(?:TO[D]O|FIX[M]E|X{3})\b")
MODULE = re.compile(r"(?<![\w/.%-])(?:\w+/)*\w+\.py\b")
MACHINE_PATH = re.compile(r"(?<![\w.-])/(?:work|root|home)/")

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


# ------------------------------------------------------------------------------------------------ what is looked at


@cache
def repository_files() -> list[Path]:
    """Every file that is, or is about to be, under version control."""
    listing = subprocess.run(
        # A checkout that belongs to somebody else, as in many containers, may be listed too.
        [
            "git",
            "-c",
            f"safe.directory={ROOT}",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for name in sorted(filter(None, listing.stdout.split("\0"))) if (path := ROOT / name).is_file()]


def text_files() -> Iterator[tuple[str, list[str]]]:
    for path in repository_files():
        content = path.read_bytes()
        if b"\0" not in content and not VENDORED & set(path.parents):
            yield shown(path), content.decode("utf-8").splitlines()


def python_files(*folders: str) -> list[Path]:
    found = [
        path
        for path in repository_files()
        if path.suffix == ".py" and any(path.is_relative_to(ROOT / folder) for folder in folders)
    ]
    assert found, f"no Python file under {folders}"
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def definitions(inside: ast.AST, name: str = "") -> Iterator[tuple[str, Definition]]:
    """Classes, functions and methods with their dotted names; what a function defines for itself stays its own."""
    for node in ast.iter_child_nodes(inside):
        if isinstance(node, Definition):
            yield name + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node, f"{name}{node.name}.")
        elif not isinstance(node, Definition):
            yield from definitions(node, name)


def shown(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def listed(offences: list[str]) -> str:
    return "\n  ".join(["", *offences])


# ------------------------------------------------------------------------------------------------------- docstrings


def test_every_module_opens_with_why_it_exists():
    offences = [shown(path) for path in python_files(*CODE) if not ast.get_docstring(tree(path))]
    assert not offences, listed(offences)


def test_every_public_name_is_described():
    offences = [
        f"{shown(path)}:{node.lineno} {name}"
        for path in python_files(PRODUCT)
        if not is_private_module(path)
        for name, node in definitions(tree(path))
        if needs_docstring(name, node) and not ast.get_docstring(node)
    ]
    assert not offences, listed(offences)


def is_private_module(path: Path) -> bool:
    names = path.relative_to(ROOT / PRODUCT).with_suffix("").parts
    return any(name.startswith("_") for name in names if name != "__init__")


def needs_docstring(name: str, node: Definition) -> bool:
    """Private and dunder names need none, nor do the further faces of what one docstring covers."""
    further_faces = {ast.unparse(decorator).split(".")[-1] for decorator in node.decorator_list} & {
        "overload",
        "setter",
    }
    return not further_faces and not any(part.startswith("_") for part in name.split("."))


# ----------------------------------------------------------------------------------------------------------- length


def lengths() -> Iterator[tuple[str, int, int]]:
    """Each file and function of the product: what it is called, its lines, and the usual limit."""
    for path in python_files(PRODUCT):
        yield shown(path), len(path.read_text(encoding="utf-8").splitlines()), FILE_LINES
        for name, node in definitions(tree(path)):
            if isinstance(node, Function):
                yield f"{shown(path)}::{name}", (node.end_lineno or 0) - node.lineno + 1, FUNCTION_LINES


def test_files_and_functions_stay_small_enough_to_hold_in_mind():
    offences = [
        f"{name}: {lines} lines, at most {LONGER.get(name, (limit, ''))[0]}"
        for name, lines, limit in lengths()
        if lines > LONGER.get(name, (limit, ""))[0]
    ]
    assert not offences, listed(offences)


def test_every_longer_piece_is_still_there_is_still_longer_and_has_a_reason():
    needed = {name for name, lines, limit in lengths() if lines > limit}
    stale = [name for name, (_, reason) in LONGER.items() if name not in needed or not reason]
    assert not stale, listed(stale)


# ------------------------------------------------------------------------------------------------- words and names


def test_nothing_is_left_unfinished():
    offences = lines_with(UNFINISHED)
    assert not offences, listed(offences)


def test_no_file_names_a_path_of_somebodys_machine():
    offences = lines_with(MACHINE_PATH)
    assert not offences, listed(offences)


def test_every_module_that_code_speaks_of_is_there():
    """Files are renamed; what a docstring or a comment says of them does not follow by itself."""
    there = [f"/{shown(path)}" for path in repository_files()]
    offences = [
        f"{shown(path)}:{number} {named}"
        for path in python_files(*CODE)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for named in MODULE.findall(line)
        if not any(one.endswith(f"/{named}") for one in there)
    ]
    assert not offences, listed(offences)


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number} {line.strip()[:80]}"
        for name, lines in text_files()
        for number, line in enumerate(lines, 1)
        if pattern.search(line)
    ]


def test_folders_and_files_are_called_after_what_they_are_about():
    offences = [
        shown(path)
        for path in repository_files()
        if VAGUE_NAMES & {part.split(".")[0] for part in path.relative_to(ROOT).parts}
        and path.relative_to(ROOT) not in NAMED_BY_OTHERS
    ]
    assert not offences, listed(offences)


# ------------------------------------------------------------------------------------------------ who imports whom


def test_the_rooms_import_one_another_only_in_the_agreed_direction():
    command = [Path(sys.executable).with_name("lint-imports"), "--no-logo", "--no-cache"]
    verdict = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


# ---------------------------------------------------------------------------------------------------- documentation


def protocol() -> str:
    return (ROOT / "docs/protocol.md").read_text(encoding="utf-8")


def test_every_error_code_is_in_the_protocol():
    errors = importlib.import_module("holdfast.errors")
    codes = {
        thing.code for thing in vars(errors).values() if isinstance(thing, type) and errors.HoldfastError in thing.__mro__[1:]
    }
    assert codes
    unknown = sorted(code for code in codes if f"`{code}`" not in protocol())
    assert not unknown, listed(unknown)


def test_every_route_is_in_the_protocol():
    """The document is the one that the server answers at /openapi.json."""
    paths = document(ROUTES, "")["paths"]
    assert paths
    unknown = sorted(path for path in paths if not re.search(re.escape(path) + r"(?![\w/{])", protocol()))
    assert not unknown, listed(unknown)


def test_every_setting_is_documented():
    """A setting is a field of `holdfast.config.Config`; its option or its name is in some page."""
    settings = {setting.name for setting in fields(Config)}
    assert settings
    pages = "".join(page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
    unknown = sorted(name for name in settings if not {f"--{name.replace('_', '-')}", f"`{name}`"} & words(pages))
    assert not unknown, listed(unknown)


def words(pages: str) -> set[str]:
    """Options and code spans, whole: `--lease` is not documented by `--lease-ms`."""
    return set(re.findall(r"--[a-z0-9]+(?:-[a-z0-9]+)*|`[^`\n]+`", pages))
