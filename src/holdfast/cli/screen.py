"""The page of `holdfast top` on a terminal: drawn by rich on the other screen, and keys as they are pressed.

The terminal is restored, however the page ends.
"""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from holdfast.cli.events import heading
from holdfast.cli.numbers import age, amount, filled, queue_rate, share
from holdfast.cli.output import one_line

if TYPE_CHECKING:
    from holdfast.cli.top import News, Queue, View
    from holdfast.client.worker_types import RegisteredWorker

_WORKERS_SHOWN = 8
_NEARLY_FULL, _HALF_FULL = 0.9, 0.5
_NAME_WIDTH = 20  # of a queue, before a column is left out for it
_CELL_WIDTH = 6
Cell = Callable[["Queue"], str | Text]


class Screen:
    """The terminal, for as long as the page is shown."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._console = Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._size = self._console.size
        self._before: Any = None

    def __enter__(self) -> Self:
        self._before = termios.tcgetattr(sys.stdin)
        tty.setcbreak(sys.stdin)
        self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.__exit__(kind, error, trace)
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def key(self, within_s: float) -> str:
        """The pressed key, if any."""
        ready, _, _ = select.select([sys.stdin], [], [], within_s)
        if not ready:
            return ""
        pressed = os.read(sys.stdin.fileno(), 16).decode(errors="ignore")
        return {"\x1b[A": "k", "\x1b[B": "j", "": "q"}.get(pressed, pressed[:1] if pressed[:2] != "\x1b[" else "?")

    def resized(self) -> bool:
        """Whether the terminal's size has changed since the last call."""
        before, self._size = self._size, self._console.size
        return before != self._size

    def draw(self, news: "News", view: "View") -> None:
        """Show these numbers."""
        height = self._console.size.height
        head = self._head(news, view)
        workers = _workers(news, min(_WORKERS_SHOWN, max(1, height // 4)))
        room = height - len(head) - workers.row_count - 6
        self._live.update(
            Group(*head, _queues(news, view, max(1, room), self._console.size.width), Text(), workers), refresh=True
        )

    def _head(self, news: "News", view: "View") -> list[Text]:
        keys = f"sorted by {view.sort} · q quit · p {'resume' if view.paused else 'pause'} · s sort · j k scroll"
        lines = [Text(one_line(line), no_wrap=True) for line in heading(news.stats)] if news.stats else [Text("loading …")]
        lines[0].append(
            f"  {self._url}  {time.strftime('%H:%M:%S %Z', time.localtime(news.at)) if news.at else ''}", style="dim"
        )
        if view.paused:
            lines[0].append("  PAUSED", style="bold yellow")
        lines.append(Text(keys, style="dim", no_wrap=True))
        if news.error:
            lines.append(Text(one_line(f"out of date: {news.error}"), style="bold red", no_wrap=True))
        return lines


def _queues(news: "News", view: "View", room: int, width: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="bold reverse")
    table.add_column("QUEUE", ratio=1, no_wrap=True, overflow="ellipsis")
    columns = _fitting(width - _NAME_WIDTH)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    every = view.queues(news)
    for queue in every[:room]:
        shown = Text(
            one_line(queue["name"]) + (" (paused)" if queue["paused"] else ""), style="yellow" if queue["paused"] else ""
        )
        table.add_row(shown, *(cell(queue) for cell in columns.values()))
    if len(every) > room:
        table.add_row(Text(f"… {len(every) - room:,} more", style="dim"))
    return table


def _fitting(width: int) -> dict[str, Cell]:
    """The columns for which there is room; the last of `_FIRST_OUT` stay longest."""
    columns = dict(_COLUMNS)
    for name in _FIRST_OUT:
        if sum(max(len(column), _CELL_WIDTH) + 1 for column in columns) <= width:
            break
        del columns[name]
    return columns


def _dead(queue: "Queue") -> Text:
    dead = queue["jobs"]["dead"]
    return Text(amount(dead), style="red" if dead else "")


def _full(queue: "Queue") -> Text:
    used = filled(queue)
    return Text(share(queue), style="red" if used >= _NEARLY_FULL else "yellow" if used >= _HALF_FULL else "")


_COLUMNS: dict[str, Cell] = {
    "SCHEDULED": lambda queue: amount(queue["jobs"]["scheduled"]),
    "READY": lambda queue: amount(queue["jobs"]["ready"]),
    "LEASED": lambda queue: amount(queue["jobs"]["leased"]),
    "DEAD": _dead,
    "USED": _full,
    "OLDEST": lambda queue: age(queue["oldest_ready_ms"]),
    "ENQUEUED/S": lambda queue: f"{queue_rate(queue, 'enqueued'):.1f}",
    "COMPLETED/S": lambda queue: f"{queue_rate(queue, 'concluded'):.1f}",
    "FAILED/S": lambda queue: f"{queue_rate(queue, 'failed'):.1f}",
}
_FIRST_OUT = ("SCHEDULED", "FAILED/S", "ENQUEUED/S", "OLDEST", "COMPLETED/S", "USED", "LEASED", "DEAD")


def _workers(news: "News", room: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="bold reverse")
    table.add_column(_workers_heading(news), ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("STATE", no_wrap=True)
    table.add_column("JOBS", justify="right", no_wrap=True)
    table.add_column("QUEUES", ratio=1, no_wrap=True, overflow="ellipsis")
    for worker in sorted(news.workers, key=lambda each: -len(each.jobs))[:room]:
        table.add_row(
            Text(one_line(worker.name or worker.id)),
            _state(worker),
            amount(len(worker.jobs)),
            Text(one_line(", ".join(worker.queues))),
        )
    return table


def _workers_heading(news: "News") -> str:
    silent = sum(worker.silent for worker in news.workers)
    return f"WORKERS ({len(news.workers) - silent:,}{f', {silent:,} silent' if silent else ''})"


def _state(worker: "RegisteredWorker") -> Text:
    words = one_line(worker.state)
    return Text(f"{words}, silent", style="red") if worker.silent else Text(words)
