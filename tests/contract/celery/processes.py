"""Programs of Celery as processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.system.whole.servers import Output

HERE = Path(__file__).parent


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
        self.process.wait(30)


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
