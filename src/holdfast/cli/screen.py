"""The page of `holdfast top` on a terminal: drawn by rich on the other screen, and keys as they are pressed.

The terminal is given back as it was, however the page ends.
"""

import os
import select
import sys
import termios
import time
import tty
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from holdfast.cli.numbers import age, amount, filled, queue_rate, share
from holdfast.cli.watching import heading

if TYPE_CHECKING:
    from holdfast.cli.top import News, View

_WORKERS_SHOWN = 8
_NEARLY_FULL, _HALF_FULL = 0.9, 0.5


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
        """A key that is pressed; none."""
        ready, _, _ = select.select([sys.stdin], [], [], within_s)
        if not ready:
            return ""
        pressed = os.read(sys.stdin.fileno(), 16).decode(errors="ignore")
        return {"\x1b[A": "k", "\x1b[B": "j", "": "q"}.get(pressed, pressed[:1] if pressed[:2] != "\x1b[" else "?")

    def resized(self) -> bool:
        """Whether the terminal has another size than when this was asked last."""
        before, self._size = self._size, self._console.size
        return before != self._size

    def draw(self, news: "News", view: "View") -> None:
        """Show these numbers."""
        height = self._console.size.height
        head = self._head(news, view)
        workers = _workers(news, min(_WORKERS_SHOWN, max(1, height // 4)))
        room = height - len(head) - workers.row_count - 6
        self._live.update(Group(*head, _queues(news, view, max(1, room)), Text(), workers), refresh=True)

    def _head(self, news: "News", view: "View") -> list[Text]:
        keys = f"sorted by {view.sort} · q end · p {'go on' if view.paused else 'pause'} · s sort · j k scroll"
        lines = [Text(line, no_wrap=True) for line in heading(news.stats)] if news.stats else [Text("asking …")]
        lines[0].append(f"  {self._url}  {time.strftime('%H:%M:%S', time.localtime(news.at)) if news.at else ''}", style="dim")
        if view.paused:
            lines[0].append("  PAUSED", style="bold yellow")
        lines.append(Text(keys, style="dim", no_wrap=True))
        if news.error:
            lines.append(Text(f"the numbers are old: {news.error}", style="bold red", no_wrap=True))
        return lines


def _queues(news: "News", view: "View", room: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="bold reverse")
    table.add_column("QUEUE", ratio=1, no_wrap=True, overflow="ellipsis")
    for name in ("SCHEDULED", "READY", "LEASED", "DEAD", "FULL", "OLDEST", "IN/S", "OUT/S", "FAILED/S"):
        table.add_column(name, justify="right", no_wrap=True)
    every = view.queues(news)
    for queue in every[:room]:
        jobs = queue["jobs"]
        used = filled(queue)
        colour = "red" if used >= _NEARLY_FULL else "yellow" if used >= _HALF_FULL else ""
        table.add_row(
            Text(queue["name"] + (" (paused)" if queue["paused"] else ""), style="yellow" if queue["paused"] else ""),
            *(amount(jobs[state]) for state in ("scheduled", "ready", "leased")),
            Text(amount(jobs["dead"]), style="red" if jobs["dead"] else ""),
            Text(share(queue), style=colour),
            age(queue["oldest_ready_ms"]),
            *(f"{queue_rate(queue, event):.1f}" for event in ("enqueued", "concluded", "failed")),
        )
    if len(every) > room:
        table.add_row(Text(f"… {len(every) - room:,} more", style="dim"))
    return table


def _workers(news: "News", room: int) -> Table:
    table = Table(box=None, expand=True, pad_edge=False, header_style="bold reverse")
    table.add_column(f"WORKERS ({len(news.workers):,})", ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_column("STATE", no_wrap=True)
    table.add_column("JOBS", justify="right", no_wrap=True)
    table.add_column("QUEUES", ratio=1, no_wrap=True, overflow="ellipsis")
    for worker in sorted(news.workers, key=lambda each: -len(each.jobs))[:room]:
        table.add_row(Text(worker.name or worker.id), worker.state, amount(len(worker.jobs)), Text(", ".join(worker.queues)))
    return table
