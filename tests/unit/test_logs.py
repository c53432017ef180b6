"""The log: every line in the form that was asked for, whoever wrote it."""

import json
import subprocess
import sys

import pytest

WRITERS = """
import logging, sys
import structlog
from holdfast.logs import configure

configure("info", sys.argv[1])
structlog.get_logger("ours").info("a word of ours", front=0)
logging.getLogger("asyncio").warning("a word of %s", "asyncio")
try:
    raise ValueError("a defect")
except ValueError:
    logging.getLogger("asyncio").exception("a word of asyncio")
"""


def written(style):
    """What those lines look like."""
    done = subprocess.run([sys.executable, "-c", WRITERS, style], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("style", ["json", "auto"])
def test_for_machines_every_line_is_json_the_lines_of_libraries_and_their_tracebacks_included(style):
    lines = [json.loads(line) for line in written(style).splitlines()]
    assert [(line["event"], line["level"], line.get("logger")) for line in lines] == [
        ("a word of ours", "info", None),
        ("a word of asyncio", "warning", "asyncio"),
        ("a word of asyncio", "error", "asyncio"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)
    assert lines[-1]["exception"].endswith("ValueError: a defect")


def test_for_people_it_is_plain_text_with_the_traceback_below():
    text = written("console")
    assert "[warning  ] a word of asyncio" in text
    assert text.rstrip().endswith("ValueError: a defect")


def test_a_server_starts_without_the_library_that_draws_on_terminals():
    """structlog would import it, and what it needs, into each process: a fifth of the time that a start takes."""
    program = "import sys, holdfast.cli.serve, holdfast.server; print({'rich', 'pygments'} & {*sys.modules}); import rich"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
