"""Workers that run beside a test: in a thread of this process, or as a program of their own."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast import Worker
from tests.system.whole.servers import Output

PROGRAM = Path(__file__).with_name("program.py")


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """The worker works until the block ends; then it winds down, and what it raised is raised."""
    started, failed = threading.Event(), []

    async def work() -> None:
        worker.loop = asyncio.get_running_loop()  # type: ignore[attr-defined]
        started.set()
        await worker.work()

    def run() -> None:
        try:
            asyncio.run(work())
        except Exception as error:  # noqa: BLE001  (raised again below)
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield worker
    finally:
        if thread.is_alive():
            worker.loop.call_soon_threadsafe(worker.stop)  # type: ignore[attr-defined]
        thread.join(60)
        assert not thread.is_alive(), "the worker did not end"
    if failed:
        raise failed[0]


class Program:
    """`program.py` as a process: `python program.py URL QUEUE OPTIONS`, whose lines of output are read as they come."""

    def __init__(self, url: str, queue: str, **options: object) -> None:
        command = [sys.executable, str(PROGRAM), url, queue, *(f"{name}={value}" for name, value in options.items())]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment)
        assert self.process.stdout is not None
        self.said = Output(self.process.stdout)
        self.said.wait_for("taking jobs from")

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(40)

    def destroy(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(30)
        self.said.wait_for_end()
