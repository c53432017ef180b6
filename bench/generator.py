"""The harness's end of the load generator: starts its process, sends orders, receives outcomes."""

import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import msgspec

from bench.orders import Order, Outcome

ROOT = Path(__file__).parent.parent
LONGEST_S = 1_800.0  # for one order; a generator that is silent for longer hangs


class Broken(Exception):
    """The generator could not carry out an order."""


class LoadGenerator:
    """One load generator process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )

    def __enter__(self) -> "LoadGenerator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def perform(self, order: Order) -> Outcome:
        """Have one phase played; blocks until it is over."""
        assert self._process.stdin is not None, "opened as a pipe"
        assert self._process.stdout is not None, "opened as a pipe"
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], LONGEST_S)[0]:
            raise Broken(f"the load generator did not answer to: {order.phase}")
        line = self._process.stdout.readline()
        if not line:
            raise Broken(f"the load generator ended during: {order.phase}")
        answer = msgspec.json.decode(line)
        if "broken" in answer:
            raise Broken(f"{order.phase}: {answer['broken']}")
        return msgspec.convert(answer, Outcome, strict=False)
