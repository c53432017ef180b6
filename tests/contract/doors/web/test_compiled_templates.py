"""Templates that were compiled are kept from one start to the next, and what is kept, or can't be kept, stops no page."""

import sys
from pathlib import Path

import jinja2
import pytest

from holdfast.doors.web.compiled import templates

NAME = "problem.html"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the code, with the one in which Python keeps what it compiles."""
    (tmp_path / "__pycache__").mkdir()
    monkeypatch.setattr("holdfast.doors.web.compiled.__file__", str(tmp_path / "compiled.py"))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    return tmp_path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of templates, as they are compiled."""
    names: list[str] = []
    compiling = jinja2.Environment.compile

    def compile_(environment: jinja2.Environment, source: str, name: str, *rest: str) -> object:
        names.append(name)
        return compiling(environment, source, name, *rest)

    monkeypatch.setattr(jinja2.Environment, "compile", compile_)
    return names


def start() -> None:
    """Get a template as a server does that has just started."""
    assert templates.__wrapped__().get_template(NAME).name == NAME


def test_the_next_start_compiles_nothing(folder: Path, compiled: list[str]):
    start()
    assert compiled == [NAME]
    start()
    assert compiled == [NAME]


@pytest.mark.parametrize("left", [0, 7, 40, -20])
def test_what_is_damaged_is_compiled_again(folder: Path, compiled: list[str], left: int):
    start()
    (kept,) = (folder / "__pycache__").iterdir()
    kept.write_bytes(kept.read_bytes()[:left])
    start()
    start()
    assert compiled == [NAME, NAME]


def test_where_nothing_can_be_kept_each_start_compiles(folder: Path, compiled: list[str]):
    (folder / "__pycache__").rmdir()
    start()
    start()
    assert compiled == [NAME, NAME]
    assert list(folder.iterdir()) == []


def test_who_tells_python_to_keep_nothing_finds_nothing(folder: Path, compiled: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    start()
    assert list((folder / "__pycache__").iterdir()) == []
