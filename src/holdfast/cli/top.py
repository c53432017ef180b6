"""`holdfast top`: the live page, until it is closed.

    a thread that asks ──▶ the newest numbers ──▶ the page, drawn anew on each key and all news

A thread fetches, so that keys work while a server does not answer. The page is drawn by rich, on the terminal's alternate
screen; if standard output is not a terminal, or rich is not installed, one plain page is printed, and a message says so.
"""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from holdfast.cli.context import Duration, addressed, examples, refusals, show
from holdfast.cli.events import page
from holdfast.cli.numbers import backlog, filled, queue_rate
from holdfast.cli.output import tell
from holdfast.cli.profiles import Profile
from holdfast.client import Client
from holdfast.client.worker_types import RegisteredWorker
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from holdfast.cli.screen import Screen

Queue = dict[str, Any]
SORTS: dict[str, Callable[[Queue], Any]] = {
    "backlog": lambda queue: -backlog(queue),
    "full": lambda queue: -filled(queue),
    "oldest": lambda queue: -(queue["oldest_ready_ms"] or 0),
    "in": lambda queue: -queue_rate(queue, "enqueued"),
    "out": lambda queue: -queue_rate(queue, "concluded"),
    "name": lambda queue: queue["name"],
}
_DEADLINE_S = 5.0


@dataclass
class News:
    """The newest numbers; `error` says why they are not newer."""

    stats: dict[str, Any] | None = None
    workers: list[RegisteredWorker] = field(default_factory=list)
    at: float = 0.0
    error: str = ""


@dataclass
class View:
    """What the user has chosen to see."""

    sort: str = "backlog"
    paused: bool = False
    over: bool = False
    first: int = 0

    def key(self, key: str) -> None:
        """Heed a key."""
        if key in ("q", "Q", "\x03", "\x1b"):
            self.over = True
        elif key in ("p", " "):
            self.paused = not self.paused
        elif key == "s":
            names = list(SORTS)
            self.sort = names[(names.index(self.sort) + 1) % len(names)]
        elif key in ("j", "k"):
            self.first = max(0, self.first + (1 if key == "j" else -1))

    def queues(self, news: News) -> list[Queue]:
        """The queues in the chosen order."""
        every = sorted(news.stats["queues"] if news.stats else [], key=lambda queue: (SORTS[self.sort](queue), queue["name"]))
        self.first = min(self.first, max(0, len(every) - 1))
        return every[self.first :]


class Prompt:
    """A thread that fetches the numbers."""

    def __init__(self, client: Client, every_s: float) -> None:
        self.news = News()
        self._client = client
        self._every_s = every_s
        threading.Thread(target=self._run, name="holdfast-top", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.news = News(self._client.stats(), self._client.workers(), time.time())
            except HoldfastError as error:
                old = self.news
                self.news = News(old.stats, old.workers, old.at, f"{error} [{error.code}]")
            time.sleep(self._every_s)


@click.command(epilog=examples("holdfast top", "holdfast top --every 500ms --sort oldest"))
@click.option("--every", "every_ms", type=Duration(), default="1s", help="Refresh interval.  [default: 1s]")
@click.option("--sort", type=click.Choice(list(SORTS)), default="backlog", show_default=True, help="Order of the queues.")
@click.option("--json", "as_json", is_flag=True, help="Print the statistics once, as JSON.")
@addressed
def top(place: Profile, every_ms: int, sort: str, as_json: bool) -> None:
    """Watch queues and workers on a live screen: job counts, capacity used, oldest job and rates.

    Keys: q quits, p pauses, s sorts by the next column, j and k scroll.
    """
    with refusals(), Client(**place._asdict(), deadline_s=_DEADLINE_S) as client:
        missing = "" if as_json else _missing()
        if as_json or missing:
            said = client.stats()
            if missing:
                tell(f"holdfast: {missing}: this is one plain page; see also `holdfast stats --watch`")
            show(said, as_json, "\n".join(page(said)))
            return
        client.stats()  # a refusal is printed on the main screen
        _live(Prompt(client, max(0.1, every_ms / 1_000)), View(sort), client.nodes.current)


def _missing() -> str:
    """Why there can be no live page."""
    if not (sys.stdout.isatty() and sys.stdin.isatty()):
        return "standard output is no terminal"
    try:
        import rich  # noqa: F401, PLC0415  (it may be missing)
    except ModuleNotFoundError:
        return "the live page needs rich (pip install 'PATH[top]', where PATH is a checkout or a wheel)"
    return ""


def _live(asking: Prompt, view: View, url: str) -> None:
    from holdfast.cli.screen import Screen  # noqa: PLC0415  (rich takes its time)

    with Screen(url) as screen:
        news = asking.news
        while not view.over:
            news = news if view.paused else asking.news
            screen.draw(news, view)
            _heed(screen, view, asking, news)


def _heed(screen: "Screen", view: View, asking: Prompt, shown: News) -> None:
    """Wait for keys or news."""
    while not view.over:
        key = screen.key(0.2)
        if key:
            view.key(key)
            return
        if asking.news is not shown and not view.paused:
            return
        if screen.resized():
            return
