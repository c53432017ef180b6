"""`holdfast dev`: a server for development as a child of this process, the page in a browser, and a demo worker on request.

The store is that of `holdfast serve` without settings, which may go on with it.
"""

import logging
import os
import signal
import socket
import sys
import threading
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click

from holdfast.cli.output import say, tell
from holdfast.client.embedded import EmbeddedServer, embedded

_STORE = "holdfast-data/jobs.db"
_PORT = 4653
_SCREENS = ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")


@click.command("dev")
@click.option("--store", "store", default=_STORE, show_default=True, help="File with the jobs, or memory.")
@click.option("--port", type=click.IntRange(0, 65_535), help="TCP port; 0 takes a free one.  [default: 4653, or a free one]")
@click.option("--browser/--no-browser", default=True, help="Open the page, where there is a browser.")
@click.option("--demo", is_flag=True, help="Run a demo worker, and enqueue some jobs for it.")
def dev(store: str, port: int | None, browser: bool, demo: bool) -> None:
    """Run a server for development, with its page opened, until Ctrl-C."""
    if port is None:
        port = _PORT if _is_free(_PORT) else 0
    server = embedded(None if store == "memory" else Path(store), port=port, log_level="info")
    over = threading.Event()
    with _told_to_end(over) as told, _started(server):
        _announce(server, store)
        if browser and _has_browser():
            # A browser of a terminal returns when it is closed.
            threading.Thread(target=webbrowser.open, args=(f"{server.url}/web",), daemon=True).start()
        threading.Thread(target=_wait, args=(server, over), daemon=True).start()
        with _demo(server) if demo else nullcontext():
            over.wait()
    sys.exit(0 if told else 1)


@contextmanager
def _started(server: EmbeddedServer) -> Iterator[None]:
    try:
        server.start()
    except RuntimeError as error:
        sys.exit(f"holdfast: {error}")
    try:
        yield
    finally:
        server.stop()


def _announce(server: EmbeddedServer, store: str) -> None:
    kept = "in memory, until it ends" if store == "memory" else f"in {store}; `holdfast serve` goes on with them"
    say(f"Holdfast at {server.url}, with its page at {server.url}/web. Jobs are kept {kept}.")
    if not server.url.endswith(f":{_PORT}"):
        say(f"It is found by: export HOLDFAST_URL={server.url}")
    say("Ctrl-C ends it.")


def _wait(server: EmbeddedServer, over: threading.Event) -> None:
    """In a thread: until it ends by itself."""
    server.wait()
    over.set()


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _has_browser() -> bool:
    """Whether there is one with a window, or one that is wanted."""
    return sys.platform == "darwin" or any(os.environ.get(name) for name in _SCREENS)


@contextmanager
def _told_to_end(over: threading.Event) -> Iterator[list[int]]:
    """Until SIGTERM or SIGINT, which set this; which of them came."""
    told: list[int] = []

    def heard(number: int, _: Any) -> None:
        told.append(number)
        over.set()

    before = {number: signal.signal(number, heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _demo(server: EmbeddedServer) -> Iterator[None]:
    from holdfast.cli.demo import begin, tasks  # noqa: PLC0415  (asyncio)

    logging.getLogger("holdfast.worker").addHandler(logging.NullHandler())  # what fails there does so on purpose
    worker = tasks.worker(concurrency=4, name="demo")
    thread = threading.Thread(target=worker.run, name="holdfast-demo", daemon=True)
    thread.start()
    begin()
    tell(f"A demo worker runs the jobs of the queue demo: {server.url}/web/queues/demo")
    try:
        yield
    finally:
        worker.stop()
        thread.join(5)
