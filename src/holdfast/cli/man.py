"""`holdfast man`: the manual pages, to read or to install. A wheel brings them along, in `share/man/man1`."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from holdfast import __version__
from holdfast.cli import entry
from holdfast.cli.context import EXIT_CODES, REFUSED, examples, refusals, refuse
from holdfast.cli.output import say, tell
from holdfast.cli.roff import page_of
from holdfast.units import counted

_OF_A_STORE = {code: EXIT_CODES[code] for code in (0, 2)} | {1: "It failed, or was refused. The message says why."}


def pages(root: click.Context) -> Iterator[tuple[str, str]]:
    """The name and the text of each page; of the commands of a server only where that is installed."""
    places = entry.TALKING | entry.SERVER
    commands = [(name, places[name].summary) for name in sorted(places)]
    yield "holdfast", page_of(root, "a work queue server that never lets go of a job", __version__, EXIT_CODES, commands)
    for name in sorted(places):
        text = page(root, name)
        if text is not None:
            yield f"holdfast-{name}", text


def page(root: click.Context, name: str) -> str | None:
    """The page of one command; None if the server would have to be installed for it."""
    assert isinstance(root.command, click.Group), "holdfast has commands"
    try:
        command = root.command.get_command(root, name)
    except SystemExit:
        return None
    assert command is not None, "it is listed"
    summary = (entry.TALKING | entry.SERVER)[name].summary
    codes = EXIT_CODES if name in entry.TALKING else dict(sorted(_OF_A_STORE.items()))
    return page_of(click.Context(command, root, name), summary[:1].lower() + summary[1:], __version__, codes)


@click.command("man", epilog=examples("holdfast man", "holdfast man job", "holdfast man --to /usr/local/share/man/man1"))
@click.argument("command", required=False, type=click.Choice(sorted(entry.TALKING | entry.SERVER)), metavar="[COMMAND]")
@click.option("--to", type=click.Path(file_okay=False, path_type=Path), help="Write all pages into this folder.")
@click.pass_context
def manual(ctx: click.Context, command: str | None, to: Path | None) -> None:
    """Read the manual pages, or write them into a folder: that of holdfast, or of one of its commands.

    On a terminal it is shown by man(1); elsewhere it is printed as it is, in roff.
    """
    root = click.Context(ctx.find_root().command, info_name="holdfast")
    with refusals():
        if to is not None:
            if command is not None:
                raise click.UsageError("--to writes all pages: give it without a COMMAND")
            _write(root, to)
            return
        text = page(root, command) if command else dict([next(pages(root))])["holdfast"]
        if text is None:
            refuse(f"the page of {command} comes with the server: pip install 'PATH[server]'", REFUSED)
        if not (sys.stdout.isatty() and _shown(text, command)):
            say(text.rstrip("\n"))


def _write(root: click.Context, to: Path) -> None:
    written = 0
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, text in pages(root):
            (to / f"{name}.1").write_text(text, encoding="ascii")
            written += 1
    except OSError as error:
        refuse(f"{to} can't be written: {error.strerror}; {counted(written, 'page')} written", REFUSED)
    tell(f"holdfast: {counted(written, 'page')} written into {to}")


def _shown(text: str, command: str | None) -> bool:
    """By the program that shows manual pages; False if there is none."""
    program = shutil.which("man")
    if program is None:
        return False
    with tempfile.NamedTemporaryFile("w", prefix=f"holdfast-{command or ''}", suffix=".1", encoding="ascii") as file:
        file.write(text)
        file.flush()
        shown = subprocess.run([program, file.name], check=False)  # noqa: S603  (what the user has as man: with a slash it is a file to all)
        return shown.returncode == 0
