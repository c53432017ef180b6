"""Several worker processes: this process only starts them, passes signals on, and starts another for one that ends by itself."""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

log = logging.getLogger("holdfast.worker")
_SPAWN = multiprocessing.get_context("spawn")
_PAUSE_S = 1.0  # before another process is started for one that ended


def run_many(count: int, run: Callable[..., Any], *arguments: Any) -> int:
    """Run this many processes of a function of a module; the exit code."""
    signals: list[int] = []
    running: list[BaseProcess] = []

    def pass_on(number: int, _: Any) -> None:
        signals.append(number)
        for process in running:
            _send(process, number)

    def start() -> None:
        process = _SPAWN.Process(target=_run_alone, args=(run, *arguments), name="holdfast-worker")
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


def _run_alone(run: Callable[..., Any], *arguments: Any) -> None:
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
