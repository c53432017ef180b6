"""Manual pages in the language of `man`, made of the commands that `--help` is made of.

There is one for `holdfast` and one for each of its commands, with all that are below it: options that all of them have come once.
"""

import inspect
import textwrap
from collections.abc import Callable, Iterator, Sequence

import click

_SPECIAL = str.maketrans(
    {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", '"': r"\(dq", "^": r"\(ha", "~": r"\(ti", "…": "..."}
)  # as they were typed, where a terminal would show dashes and curved quotation marks
_WIDTH = 64  # so that a line with what stands for special characters is not long
Record = tuple[str, str]


def page_of(ctx: click.Context, summary: str, version: str, exit_codes: dict[int, str], commands: Sequence[Record] = ()) -> str:
    """The page of a command. `commands` of its have pages of their own."""
    name = ctx.command_path.replace(" ", "-")
    lines = [f'.TH "{_plain(name.upper())}" 1 "" "Holdfast {_plain(version)}" "Holdfast"', ".SH NAME"]
    lines.append(rf"{_plain(name)} \- {_plain(summary.rstrip('.'))}")
    command = ctx.command
    lines += [".SH SYNOPSIS", _usage(ctx), ".SH DESCRIPTION", *_description(command)]
    leaves = [] if commands else list(_below(ctx))
    shared = _shared([_options(leaf) for leaf in leaves])
    own = shared if leaves else _options(ctx)
    if leaves:
        lines.append(".SH COMMANDS")
        for leaf in leaves:
            lines += [f'.SS "{_plain(leaf.command_path)}"', _usage(leaf), ".PP", *_description(leaf.command)]
            lines += _listed([record for record in _options(leaf) if record not in shared])
            lines += _examples(leaf.command, lambda _: [".PP", "Examples:", ".PP"])
    if own:
        lines += [f".SH {'OPTIONS OF ALL OF THEM' if leaves else 'OPTIONS'}", *_listed(own)]
    if commands:
        lines += [".SH COMMANDS", *_listed([(f"{name}-{each}(1)", said) for each, said in commands])]
    lines += _examples(command, lambda words: [f".SH {words}"])
    lines.append(".SH EXIT STATUS")
    lines += _listed([(str(code), words) for code, words in exit_codes.items()])
    if ctx.parent is not None:
        lines += [".SH SEE ALSO", r"\fBholdfast\fP(1)"]
    return "\n".join(lines) + "\n"


def _below(ctx: click.Context) -> Iterator[click.Context]:
    """The commands that a group has, and those of the groups in it."""
    if isinstance(ctx.command, click.Group):
        for name in ctx.command.list_commands(ctx):
            command = ctx.command.get_command(ctx, name)
            assert command is not None, "it was listed"
            below = click.Context(command, ctx, name)
            if isinstance(command, click.Group):
                yield from _below(below)
            else:
                yield below


def _options(ctx: click.Context) -> list[Record]:
    records = [param.get_help_record(ctx) for param in ctx.command.get_params(ctx) if isinstance(param, click.Option)]
    return [record for record in records if record is not None]


def _shared(options: list[list[Record]]) -> list[Record]:
    return [record for record in options[0] if all(record in each for each in options)] if len(options) > 1 else []


def _usage(ctx: click.Context) -> str:
    words = " ".join(ctx.command.collect_usage_pieces(ctx))
    return rf"\fB{_plain(ctx.command_path)}\fP {_plain(words)}"


def _listed(records: list[Record]) -> list[str]:
    lines = []
    for names, words in records:
        lines += [".TP", rf"\fB{_plain(names)}\fP", *_filled(words)]
    return lines


def _description(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or "").partition("\f")[0]
    return [line for part in text.split("\n\n") for line in (".PP", *_paragraph(part))][1:]


def _paragraph(text: str) -> list[str]:
    if text.startswith("\b"):  # lines that stay as they are
        return [".nf", *(_line(line) for line in text.splitlines()[1:]), ".fi"]
    return _filled(text)


def _examples(command: click.Command, heading: Callable[[str], list[str]]) -> list[str]:
    """The end of a command's help: its examples, and whatever else is there."""
    lines = []
    for part in inspect.cleandoc(command.epilog or "").split("\n\n"):
        if part.startswith("\b\nExamples:"):
            lines += [*heading("EXAMPLES"), ".nf", *(_line(line) for line in part.splitlines()[2:]), ".fi"]
        elif part:
            lines += [".PP", *_paragraph(part)]
    return lines


def _filled(text: str) -> list[str]:
    """Lines that `man` breaks anew."""
    return [_line(line) for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _line(text: str) -> str:
    """A line of text, which is never taken for a request."""
    plain = _plain(text)
    return rf"\&{plain}" if plain[:1] in (".", "'") else plain


def _plain(text: str) -> str:
    written = text.translate(_SPECIAL)
    return "".join(each if each.isascii() else rf"\[u{ord(each):04X}]" for each in written)
