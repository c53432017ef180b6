"""A progress bar for lines that are read and enqueued: only on a terminal, and on standard error, so that a pipe stays clean.

For a file it knows the length, and shows how much of it is stored and how long the rest will take; for a pipe it shows a count.
"""

import os
import stat
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, BinaryIO, Self

import click

from holdfast.cli.output import tell
from holdfast.units import counted, is_or_are

_BAR_CHARS = 30


class Progress:
    """Iterate over it for the lines; call `kept` when those that were read are stored."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._read = self._shown = self._jobs = 0
        self._began = time.monotonic()
        self._seen = sys.stderr.isatty()
        self._bar: Any = None

    def __enter__(self) -> Self:
        bytes_left = _bytes_left(self._source) if self._seen else None
        if bytes_left:
            self._bar = click.progressbar(
                length=bytes_left, file=sys.stderr, width=_BAR_CHARS, item_show_func=lambda _: self._words(), label="putting"
            )
            self._bar.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
        elif self._seen:
            tell("")

    def __iter__(self) -> Iterator[bytes]:
        for line in self._source:
            self._read += len(line)
            yield line

    def kept(self, jobs: int) -> None:
        """So many more jobs are stored."""
        self._jobs += jobs
        if self._bar is not None:
            self._bar.update(self._read - self._shown, self._jobs)
            self._shown = self._read
        elif self._seen:
            print(f"\r{self._words()}", end="", file=sys.stderr, flush=True)

    def _words(self) -> str:
        per_second = self._jobs / max(0.001, time.monotonic() - self._began)
        return f"{counted(self._jobs, 'job')} {is_or_are(self._jobs)} put, {per_second:,.0f} per second"


def _bytes_left(source: BinaryIO) -> int | None:
    """How much there is to read; None if not known."""
    try:
        known = os.fstat(source.fileno())
        return known.st_size - source.tell() if stat.S_ISREG(known.st_mode) else None
    except (OSError, ValueError):
        return None
