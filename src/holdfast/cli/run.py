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
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import click

from holdfast.cli.context import REFUSED, refuse, words_of
from holdfast.cli.reload import Watch, files_of
from holdfast.errors import HoldfastError
from holdfast.tasks import Tasks
from holdfast.tasks.worker import TaskWorker

log = logging.getLogger("holdfast.worker")
_SPAWN = multiprocessing.get_context("spawn")
_LIVED_S = 10.0  # a process that dies sooner has died at once
_PAUSE_S = 0.5  # before another process is started for one that died at once; twice as long each time in a row
_PAUSE_MAX_S = 30.0
_LOOK_S = 0.1  # how often to look for a signal while a process is due later
_CHANGED = 77  # the exit code of a process whose program has changed


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


def run_reloading(place: str, level: str, given: dict[str, Any], until_empty: bool) -> None:
    """Run one worker, until it is told to stop or a file of its program changes; one that can't be imported, until it is mended."""
    begin_log(level)
    sys.dont_write_bytecode = True  # Python tells files that were changed within a second by their size
    changed: list[str] = []
    watch = Watch()
    try:
        worker = worker_of(place, given)
    except (Exception, SystemExit) as error:  # whatever it is, the next change may mend it  # noqa: BLE001
        report = error.format_message() if isinstance(error, click.UsageError) else "".join(traceback.format_exception(error))
        log.error("%s\nwaiting for a change", report.rstrip())  # noqa: TRY400  (it has the traceback already)
        watch.more = files_of(error)
        changed.append(watch.wait() or "")
    else:

        def restart(path: str) -> None:
            changed.append(path)
            worker.stop()

        watch.start(restart)
        try:
            worker.run(until_empty=until_empty)
        except HoldfastError as error:
            refuse(words_of(error), REFUSED)
        watch.end()
    if changed:
        log.info("%s has changed: starting again", os.path.relpath(changed[0]))
        sys.exit(_CHANGED)


@dataclass
class _Place:
    """A worker process: when it was started, how often in a row it has died at once, and when the next one is due."""

    process: BaseProcess | None = None
    since: float = 0.0
    died: int = 0
    due: float = 0.0
    told: bool = False  # that it is to end


class Workers:
    """Worker processes that are kept running: one that dies is replaced, at once if it had worked for a while, later and later if not."""

    def __init__(self, count: int, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._arguments = (target, *arguments)
        self._places = [_Place() for _ in range(count)]
        self._signals: list[int] = []

    def run(self) -> int:
        """Run them until all have ended; the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        code = 0
        while self._places:
            now = time.monotonic()
            for place in self._places if not self._signals else ():
                if place.process is None and place.due <= now:
                    self._start(place)
            sentinels = [place.process.sentinel for place in self._places if place.process is not None]
            waiting = len(sentinels) < len(self._places)
            wait(sentinels, _LOOK_S if waiting else None) if sentinels else time.sleep(_LOOK_S)
            for place in list(self._places):
                code = max(code, self._look(place))
        return code

    def _start(self, place: _Place) -> None:
        process = _SPAWN.Process(target=_run_alone, args=self._arguments, name="holdfast-worker")
        process.start()
        place.process, place.since = process, time.monotonic()
        if self._signals and not place.told:  # one came meanwhile
            _send(process, self._signals[0])

    def _look(self, place: _Place) -> int:
        """What became of one: the exit code, where it has ended for good."""
        if place.process is None:
            if self._signals:
                self._places.remove(place)
            return 0
        code = place.process.exitcode
        if code is None:
            return 0
        if code != _CHANGED and (self._signals or code == 0):
            self._places.remove(place)
            return 0 if -code in self._signals else abs(code)  # it may not have begun to listen
        now = time.monotonic()
        place.process, pause_s = None, 0.0
        if code == _CHANGED or now - place.since >= _LIVED_S:
            place.died = 0
        else:
            place.died += 1
            pause_s = min(_PAUSE_MAX_S, _PAUSE_S * 2.0 ** min(place.died - 1, 10))
        place.due = now + pause_s
        if code != _CHANGED:
            log.error("a worker process %s; another one is started%s", _end(code), f" in {pause_s:g} s" if pause_s else "")
        return 0

    def _pass_on(self, number: int, _: Any) -> None:
        self._signals.append(number)
        for place in self._places:
            if place.process is not None:
                place.told = True
                _send(place.process, number)


def run_many(count: int, reload: bool, *arguments: Any) -> int:
    """Run this many workers; the exit code."""
    begin_log("INFO")
    return Workers(count, run_reloading if reload else run, arguments).run()


def _run_alone(target: Callable[..., None], *arguments: Any) -> None:
    """One of several. Signals come from the process that started it, not from a terminal; and without that one it ends, too."""
    os.setsid()
    parent = multiprocessing.parent_process()
    assert parent is not None, "it was started by another process"

    def follow() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
    target(*arguments)


def _end(code: int) -> str:
    try:
        return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    except ValueError:
        return f"was killed by signal {-code}"


def _send(process: BaseProcess, number: int) -> None:
    if process.pid is not None and process.exitcode is None:
        os.kill(process.pid, number)
