"""The manual pages: each is what `--help` says, and is read without complaint by those who read such pages."""

import re
import subprocess

import click
import pytest
from click.testing import CliRunner

from holdfast.cli.context import EXIT_CODES
from holdfast.cli.entry import SERVER, TALKING, main
from holdfast.cli.man import _shown
from tests.contract.cli.shell import Terminal
from tests.system.docs.pages import read
from tests.system.whole.machine import need

COMMANDS = sorted(TALKING | SERVER)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All of them, in a folder."""
    folder = tmp_path_factory.mktemp("man") / "man1"
    done = CliRunner().invoke(main, ["man", "--to", str(folder)])
    assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    return folder


def plain(text: str) -> str:
    """Without what differs by where a line is broken."""
    return " ".join(text.replace("…", "...").split()).replace("- ", "")


def rendered(page) -> str:
    """As somebody reads it where there is nothing but ASCII, on one line."""
    done = subprocess.run(
        ["man", "-l", page], capture_output=True, text=True, check=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}
    )
    assert done.stderr == ""
    return plain(re.sub(r".\x08", "", done.stdout))


def leaves(command: click.Command):
    """The commands at the ends of the tree."""
    if not isinstance(command, click.Group):
        return [command]
    return [leaf for name in command.list_commands(None) for leaf in leaves(command.get_command(None, name))]


def test_there_is_one_for_holdfast_and_one_for_each_of_its_commands(pages):
    assert {page.name for page in pages.iterdir()} == {"holdfast.1", *(f"holdfast-{name}.1" for name in COMMANDS)}


@pytest.mark.parametrize("name", ["job", "serve", "worker", "check", "queue"])
def test_a_page_has_every_option_with_its_words_the_examples_and_the_exit_codes(pages, name):
    need("man")
    words = rendered(pages / f"holdfast-{name}.1")
    command = main.get_command(click.Context(main), name)
    for leaf in leaves(command):
        for param in leaf.params:
            if isinstance(param, click.Option):
                assert param.opts[0] in words, param.opts
                assert plain(param.help) in words, param.help
        for line in (leaf.epilog or "").splitlines()[2:]:
            assert plain(line) in words, line
    for code in EXIT_CODES if name in TALKING else (0, 1, 2):
        assert f" {code} " in words.partition("EXIT STATUS")[2]


def test_a_strict_reader_finds_nothing_but_that_they_have_no_date(pages):
    need("mandoc")
    done = subprocess.run(["mandoc", "-T", "lint", *pages.iterdir()], capture_output=True, text=True, check=False)
    complaints = [
        line for line in done.stdout.splitlines() if "missing date" not in line and "longer than 80 bytes" not in line
    ]
    assert complaints == []
    assert "ERROR" not in done.stderr


def test_a_line_that_begins_like_a_request_is_text(pages):
    for page in pages.iterdir():
        for line in page.read_text(encoding="ascii").splitlines():
            assert not line.startswith("'"), (page, line)
            assert line[:1] != "." or re.match(r"\.(TH|SH|SS|PP|TP|nf|fi)\b", line), (page, line)


def test_a_page_is_printed_where_there_is_no_terminal_and_shown_where_there_is_one(holdfast, pages):
    said = holdfast("man", "job")
    assert (said.returncode, said.stdout) == (0, (pages / "holdfast-job.1").read_text())
    assert holdfast("man").stdout == (pages / "holdfast.1").read_text()
    assert holdfast("man", "jobs").returncode == 2
    assert holdfast("man", "--to", "/proc/here").returncode == 1


def test_on_a_terminal_man_shows_it(shared):
    need("man")
    terminal = Terminal(shared.url, "man", "job")
    try:
        terminal.read_until("HOLDFAST-JOB(1)")
        terminal.press("q")
        assert terminal.end() == 0
    finally:
        terminal.destroy()


def test_a_man_that_knows_no_option_shows_it(monkeypatch, tmp_path, capfd):
    program = tmp_path / "man"
    program.write_text('#!/bin/sh\ncase "$1" in -*) exit 1;; */*) exec cat "$1";; *) exit 16;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert _shown("the page", "job")
    assert capfd.readouterr().out == "the page"


def test_the_documentation_has_the_same_exit_codes():
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", read("docs/shell.md").partition("| exit code | it means |")[2], re.MULTILINE)
    told = {int(code): re.sub(r"\[(\w+)\]\([^)]*\)", r"\1", words).replace("`", "") for code, words in rows}
    assert told == EXIT_CODES
