"""Several worker processes that are kept running: this one only starts them, passes signals on, and replaces one that dies."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

log = logging.getLogger("holdfast.worker")
_SPAWN = multiprocessing.get_context("spawn")
_LIVED_S = 10.0  # a process that dies sooner has died at once
_PAUSE_S = 0.5  # before another process is started for one that died at once; twice as long each time in a row
_PAUSE_MAX_S = 30.0
_LOOK_S = 0.1  # how often to look for a signal while a process is due later
CHANGED = 77  # the exit code of a process whose program has changed


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
        if code != CHANGED and (self._signals or code == 0):
            self._places.remove(place)
            return 0 if -code in self._signals else abs(code)  # it may not have begun to listen
        now = time.monotonic()
        place.process, pause_s = None, 0.0
        if code == CHANGED or now - place.since >= _LIVED_S:
            place.died = 0
        else:
            place.died += 1
            pause_s = min(_PAUSE_MAX_S, _PAUSE_S * 2.0 ** min(place.died - 1, 10))
        place.due = now + pause_s
        if code != CHANGED:
            log.error("a worker process %s; another one is started%s", _end(code), f" in {pause_s:g} s" if pause_s else "")
        return 0

    def _pass_on(self, number: int, _: Any) -> None:
        self._signals.append(number)
        for place in self._places:
            if place.process is not None:
                place.told = True
                _send(place.process, number)


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
