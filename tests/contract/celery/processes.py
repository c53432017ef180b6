"""Programs of Celery as processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.contract.client.clients import PATIENCE_S
from tests.system.whole.servers import Output

HERE = Path(__file__).parent


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (it := found()) and time.monotonic() < end:
        time.sleep(0.02)
    return it


class Program:
    """`celery -A shop …`, whose lines are read as they come."""

    def __init__(self, *arguments: str, app: str = "shop", **environment: str) -> None:
        command = [sys.executable, "-m", "celery", "-A", app, *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=HERE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.said = Output(self.process.stdout)

    def kill(self) -> None:
        """All its processes at once, as by the end of a machine."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it did not end; it said:\n{self.said.text}") from error


@contextmanager
def worker(*options: str, **environment: str) -> Iterator[Program]:
    program = Program("worker", "-c", "1", "-l", "info", *options, **environment)
    try:
        program.said.wait_for(" ready.")
        yield program
        if program.process.poll() is None:
            program.stop()
    finally:
        program.kill()
