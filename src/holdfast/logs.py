"""Logging: structured lines on standard error, for people (console) or for machines (JSON).

Payloads, results and lease tokens are never logged, and tracebacks carry no values of variables.
"""

import contextlib
import logging
import os
import sys

import structlog

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("auto", "console", "json")


class Unfailing:
    """Standard error, one write for each line, because several processes share it. What can't be written is lost: a reader that has
    gone, or a full disk, must not stop a server that says that the disk is full.
    """

    def write(self, text: str) -> None:
        """Write, or don't."""
        with contextlib.suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Nothing is held back."""


def configure(level: str, style: str) -> None:
    """Set up logging for this process; `auto` is console on a terminal and JSON elsewhere."""
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    number = logging.getLevelNamesMapping()[level.upper()]
    first: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor]
    if style == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
    structlog.configure(
        processors=[*first, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(Unfailing()),  # type: ignore[arg-type]  # all that it uses of a file
        cache_logger_on_first_use=True,
    )
    _libraries(max(number, logging.WARNING), [*first, structlog.stdlib.add_logger_name], last)


def _libraries(level: int, first: list[structlog.typing.Processor], last: list[structlog.typing.Processor]) -> None:
    """What uvicorn, asyncio and others log is written as our own lines are, so that a reader of JSON can read all of it."""
    lines = logging.StreamHandler(Unfailing())
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(level=level, handlers=[lines], force=True)
