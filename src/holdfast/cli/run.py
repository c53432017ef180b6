"""`holdfast worker run APP`: runs the tasks of a program, in this process or in several of their own.

With several, this process only starts them: it passes signals on, and starts another for one that ends by itself.
"""

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import click

from holdfast.cli.context import REFUSED, refuse, words_of
from holdfast.errors import HoldfastError
from holdfast.tasks import Tasks
from holdfast.tasks.worker import TaskWorker

log = logging.getLogger("holdfast.worker")
_SPAWN = multiprocessing.get_context("spawn")
_PAUSE_S = 1.0  # before another process is started for one that ended


def find(place: str) -> Tasks:
    """`MODULE:NAME`, imported from the working directory, too. Raises `click.UsageError` if there are no tasks."""
    module, _, name = place.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise click.UsageError(f"there is no module {error.name!r} here") from None
    for part in (name or "tasks").split("."):
        found = getattr(found, part, None)
    if not isinstance(found, Tasks):
        raise click.UsageError(f"{place} names no Tasks(…): write MODULE:NAME, such as app:tasks")
    return found


def worker_of(place: str, given: dict[str, Any]) -> TaskWorker:
    """A worker for the tasks that are there. Raises `click.UsageError`; what the program itself raises comes with its traceback."""
    tasks = find(place)
    try:
        return tasks.worker(**given)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def begin_log(level: str) -> None:
    """Log to standard error, unless the program has its own ways."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S%z")


def run(place: str, level: str, given: dict[str, Any], until_empty: bool) -> None:
    """Run one worker, until it is told to stop."""
    begin_log(level)
    try:
        worker_of(place, given).run(until_empty=until_empty)
    except HoldfastError as error:
        refuse(words_of(error), REFUSED)


def run_many(count: int, *arguments: Any) -> int:
    """Run this many workers; the exit code."""
    begin_log("INFO")
    signals: list[int] = []
    running: list[BaseProcess] = []

    def pass_on(number: int, _: Any) -> None:
        signals.append(number)
        for process in running:
            _send(process, number)

    def start() -> None:
        process = _SPAWN.Process(target=_run_alone, args=arguments, name="holdfast-worker")
        process.start()
        running.append(process)
        for number in signals:  # that came meanwhile
            _send(process, number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    for _ in range(count):
        start()
    code = 0
    while running:
        wait([process.sentinel for process in running])
        for process in [each for each in running if each.exitcode is not None]:
            running.remove(process)
            if signals or not process.exitcode:
                code = max(code, process.exitcode or 0)
                continue
            log.error("a worker process ended with exit code %d; another one is started", process.exitcode)
            time.sleep(_PAUSE_S)
            start()
    return code


def _run_alone(*arguments: Any) -> None:
    """One of several. Signals come from the process that started it, not from a terminal; and without that one it ends, too."""
    os.setsid()
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was started by another process"

    def follow() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
    run(*arguments)


def _send(process: BaseProcess, number: int) -> None:
    if process.pid is not None and process.exitcode is None:
        os.kill(process.pid, number)
