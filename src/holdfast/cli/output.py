r"""Output of commands: safe for terminals, and never lost silently.

Payloads, types, tags, reasons and names come from others. None of their characters may control a terminal (ESC, C1, a change of
direction): they are printed as `\x1b`, and in JSON as `\u001b`, which is equivalent. In a table they can't begin a line either.

A standard output that can't be written (a full disk, a pipe that is not read, closed) is not a refusal by the server. A command
that changes something continues, and says at its end that it was done; one that only reads ends. Both have an exit code of
their own.
"""

import contextlib
import os
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import click
import msgspec

from holdfast.cli.sent import as_sent

UNWRITTEN = 6
_ON_ONE_LINE = -1
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"  # directions, other line ends, half a character
)
_BREAKING = re.compile("[\t\n]")
_LOOKING = frozenset(
    {"get", "ls", "list", "why", "wait", "info", "show", "test", "tail", "events", "stats", "top", "failures", "audit"}
)


class Unwritten(Exception):
    """Standard output can't be written, and there is nothing else to do."""


class _Lost:
    """What could not be written: why, and the first line of it."""

    why = ""
    words = ""


def harmless(text: str) -> str:
    """A text of several lines in which nothing steers a terminal."""
    return _STEERING.sub(_shown, text)


def one_line(text: str) -> str:
    """A text that stays on its line, and in its column."""
    return _BREAKING.sub(_shown, harmless(text))


def json_text(thing: Any, indent: bool = False) -> str:
    """JSON without terminal control characters. The contents of jobs stay as received, even if invalid."""
    encoded = msgspec.json.encode(_as_of_api(thing))
    with contextlib.suppress(msgspec.DecodeError, RecursionError):  # it contains invalid JSON: as it is, then
        encoded = msgspec.json.format(encoded, indent=2 if indent else _ON_ONE_LINE)
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode(errors="backslashreplace"))


def moment(at: datetime) -> str:
    """An instant as the API writes it: RFC 3339 in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(text: str) -> None:
    """A line, or several, to standard output, as they are."""
    if _Lost.why:
        return
    try:
        click.echo(text)
    except (OSError, ValueError) as error:
        _Lost.why, _Lost.words = (getattr(error, "strerror", None) or str(error)), text.partition("\n")[0]
        mute(sys.stdout, 1)
        context = click.get_current_context(silent=True)
        if context is None or context.info_name in _LOOKING:
            raise Unwritten from error


def tell(text: str, newline: bool = True) -> None:
    """A message to standard error; dropped if it can't be written."""
    try:
        click.echo(harmless(text), err=True, nl=newline)
    except (OSError, ValueError):
        mute(sys.stderr, 2)


def lost() -> str:
    """What became of the output, for a message; empty where all of it was written."""
    if not _Lost.why:
        return ""
    done = f"; it was done: {one_line(_Lost.words)}" if _Lost.words else ""
    return f"standard output can't be written ({_Lost.why}){done}"


def open_streams() -> None:
    """Open all three streams, even if the caller has closed some: else the next connection would be standard output."""
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest free number; a write to it fails, as to a closed one
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115  (for as long as the program runs)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that can't show a character is no reason to end


def mute(stream: TextIO, number: int) -> None:
    """Drop buffered output, so that the end of the program does not fail on it again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
        stream.flush()


def _as_of_api(thing: Any) -> Any:
    """The same as the API has it: what the server sent, or with instants as texts, where the encoder would write microseconds."""
    if (sent := as_sent(thing)) is not None:
        return sent
    match thing:
        case datetime():
            return moment(thing)
        case msgspec.Struct():
            values = [(field, getattr(thing, field.name)) for field in msgspec.structs.fields(thing)]
            short = thing.__struct_config__.omit_defaults
            return {field.encode_name: _as_of_api(value) for field, value in values if not (short and value == field.default)}
        case dict():
            return {name: _as_of_api(value) for name, value in thing.items()}
        case list() | tuple():
            return [_as_of_api(value) for value in thing]
    return thing


def _shown(found: re.Match[str]) -> str:
    code = ord(found[0])
    return {"\t": "\\t", "\n": "\\n", "\r": "\\r"}.get(found[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")
