"""Logging: structured lines on standard error, for people (console) or for machines (JSON).

Payloads, results and lease tokens are never logged, and tracebacks carry no values of variables.
"""

import atexit
import contextlib
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Iterator

from holdfast.limits import LOG_LAST_S, LOG_WAITING_BYTES
from holdfast.trace_context import trace_id


@contextlib.contextmanager
def _without(package: str) -> Iterator[None]:
    """Hide a package from what is imported meanwhile, unless it is loaded already."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # Python's own way to say: not to be imported
    try:
        yield
    finally:
        del sys.modules[package]


# structlog draws tracebacks with it, and ours are plain: a fifth of what a process of the server takes to start.
with _without("rich"):
    import structlog

__all__ = ["ERR", "FORMATS", "LEVELS", "OUT", "Lines", "configure", "settle", "structlog"]

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("auto", "console", "json")


class Lines:
    """Writes lines to a descriptor, one write for each, because several processes share it. A thread writes them: the reader
    may be stopped or gone, or the disk full, and a server must neither wait for that nor end because of it. Lines without room
    are dropped and counted, and the count is written once the reader continues.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._untold = 0
        self._changed = threading.Condition()
        self._writer: threading.Thread | None = None
        self.dropped = 0

    def write(self, text: str) -> None:
        """Have it written, or drop it; never wait."""
        line = text.encode(errors="backslashreplace")
        with self._changed:
            if self._waiting and self._bytes + len(line) > LOG_WAITING_BYTES:
                self.dropped += 1
                self._untold += 1
                return
            self._waiting.append(line)
            self._bytes += len(line)
            self._changed.notify_all()
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name=f"lines-{self._descriptor}", daemon=True)
                self._writer.start()

    def flush(self) -> None:
        """For users of the file interface; does not wait."""

    def settle(self, within_s: float) -> None:
        """Before the process ends: wait until all is written, up to a timeout."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting, within_s)

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting[0]
            self._write(line)
            with self._changed:
                self._waiting.popleft()
                self._bytes -= len(line)
                untold, self._untold = self._untold, 0
                self._changed.notify_all()
            if untold:
                structlog.get_logger(__name__).warning("lines were dropped, because they were not read", lines=untold)

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, line)


OUT = Lines(1)
ERR = Lines(2)


def settle(within_s: float = LOG_LAST_S) -> None:
    """Wait for the last lines, but not for a stopped reader."""
    for lines in (OUT, ERR):
        lines.settle(within_s)


atexit.register(settle)


def _with_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """A line of a request that is recorded has the id of its trace."""
    if (trace := trace_id()) is not None:
        event["trace_id"] = trace
    return event


def configure(level: str, style: str) -> None:
    """Set up logging for this process; `auto` is console on a terminal and JSON elsewhere."""
    if style == "auto":
        style = "console" if sys.stderr.isatty() else "json"
    number = logging.getLevelNamesMapping()[level.upper()]
    first: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        _with_trace,
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
        logger_factory=structlog.WriteLoggerFactory(ERR),  # type: ignore[arg-type]  # all that it uses of a file
        cache_logger_on_first_use=True,
    )
    _libraries(max(number, logging.WARNING), [*first, structlog.stdlib.add_logger_name], last)


def _libraries(level: int, first: list[structlog.typing.Processor], last: list[structlog.typing.Processor]) -> None:
    """What asyncio and others log is written as our own lines are, so that a reader of JSON can read all of it."""
    lines = logging.StreamHandler(ERR)
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    logging.basicConfig(level=level, handlers=[lines], force=True)
