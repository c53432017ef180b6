"""What was raised, as text for the server."""

import traceback
from types import TracebackType

from holdfast import error_text
from holdfast.client.types import Raised

_OURS = ("holdfast.client.worker", "holdfast.tasks", "holdfast.django", "dramatiq.")  # the caller's frames say nothing


def raised(error: BaseException) -> Raised:
    """An exception as class, message and traceback, within their bounds."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
    parts = error_text.bounded(*map(written, (name, words(error), story(error))))
    return Raised(kind=parts[0], message=parts[1], traceback=parts[2])


def words(error: BaseException) -> str:
    """The exception's text; its type if it can't be converted."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  (an exception of somebody else's class may do anything)
        return f"{type(error).__name__} (its text can't be read)"


def story(error: BaseException) -> str:
    """The error with its traceback, from the handler on."""
    return "".join(traceback.format_exception(type(error), error, trace(error))).rstrip()


def trace(error: BaseException) -> TracebackType | None:
    """The traceback of an error, from the handler on."""
    found = error.__traceback__
    while found is not None and found.tb_frame.f_globals.get("__name__", "").startswith(_OURS):
        found = found.tb_next
    return found


def written(text: str) -> str:
    r"""A text as valid UTF-8. A lone surrogate is in it wherever a file name is not UTF-8; it becomes `\udcff`, as Python writes it."""
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()
