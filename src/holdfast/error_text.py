"""What an attempt raised, as text: how it is bounded, and the place in the code by which failures are grouped.

    a traceback of Python       the frames come in the order of the calls: the last one is where it was raised
    of JavaScript, Java, C#     "at …" lines: the first one is

The place is the innermost frame of the user's own code (not of an installed package, nor of the language itself), or the innermost one if there
is none. It is a file and a function, without the line, which moves with every edit.
"""

import re

from holdfast.limits import ERROR_BYTES, ERROR_CLASS_CHARS, PLACE_CHARS

_PYTHON = re.compile(r'^[ \t|+]*File "([^"\n]+)", line [0-9]+(?:, in ([^\n]+))?$', re.MULTILINE)
_AT = re.compile(r"^[ \t]*at ([^\n]+)$", re.MULTILINE)
_LINE = re.compile(r"(?::[0-9]+){1,2}(?=\)?$)|:line [0-9]+$")
_FOREIGN = re.compile(
    r"[/\\](?:site-packages|dist-packages|node_modules)[/\\]|[/\\]lib(?:64)?[/\\]python[0-9]|^<frozen |^<__array_function__|"
    r"\(node:|\(internal/|^node:|^(?:java|javax|jdk|sun|System|Microsoft)\."
)
_MESSAGE_BYTES = ERROR_BYTES // 4
"""What a message may take of the whole where the traceback needs the rest."""


def bounded(kind: str, message: str, traceback: str) -> tuple[str, str, str]:
    """Class, message and traceback within their bounds: what is too long is cut from its middle, with a note of how much."""
    kind = cut_middle(kind, ERROR_CLASS_CHARS)
    left = ERROR_BYTES - _size(kind)
    if _size(message) + _size(traceback) > left:
        message = cut_middle(message, max(_MESSAGE_BYTES, left - _size(traceback)))
        traceback = cut_middle(traceback, left - _size(message))
    return kind, message, traceback


def cut_middle(text: str, most: int) -> str:
    """A text of at most that many bytes in UTF-8: its beginning and its end, and between them how many bytes were cut."""
    if len(text) * 4 <= most or _size(text) <= most:
        return text
    whole = text.encode()
    note = f" … [{len(whole)} bytes, cut] … "
    room = max(0, most - _size(note))
    head, tail = whole[: room // 2], whole[len(whole) - (room - room // 2) :]
    return head.decode(errors="ignore") + note + tail.decode(errors="ignore")


def place_of(traceback: str) -> str:
    """Where it was raised: file and function; "" if no frame is known in this text."""
    frames = [f"{file} in {function}" if function else file for file, function in _PYTHON.findall(traceback)]
    if frames:
        frames.reverse()
    else:
        frames = [_LINE.sub("", found) for found in _AT.findall(traceback)]
    own = (frame for frame in frames if _FOREIGN.search(frame) is None)
    return next(own, frames[0] if frames else "")[-PLACE_CHARS:]


def sentence(kind: str, message: str) -> str:
    """The error in one text: its class, and its message if it has one."""
    return f"{kind}: {message}" if kind and message else kind or message


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
