"""The checklist of the page and of the command line: each row says how much of it is there, and names a test that there is."""

import ast
import re

import pytest

from tests.system.docs.pages import ROOT, read

PAGE = "docs/checklist.md"
_ROW = re.compile(r"^\| (?P<what>.+?) \| (?P<much>whole|in part: .+?|not) \| (?:`(?P<test>[^`]+)` )?\|$", re.MULTILINE)


def rows(heading):
    (part,) = [part for part in read(PAGE).split("\n## ") if part.startswith(heading)]
    lines = [line for line in part.splitlines() if line.startswith("| ") and line != "| what | | test |"]
    found = [_ROW.fullmatch(line) for line in lines]
    assert None not in found, lines[found.index(None)]
    return found


def test_the_page_has_thirty_points_and_the_command_line_eighteen():
    assert [int(row["what"].split()[0]) for row in rows("The page")] == list(range(1, 31))
    assert len(rows("The command line")) == 18


@pytest.mark.parametrize("heading", ["The page", "The command line"])
def test_a_row_names_a_test_that_there_is_unless_there_is_nothing(heading):
    for row in rows(heading):
        assert (row["test"] is None) is (row["much"] == "not"), row["what"]
        if row["test"] is None:
            continue
        path, _, name = row["test"].partition("::")
        assert path.startswith("tests/"), row["what"]
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in names if name else any(one.startswith("test_") for one in names), row["test"]
