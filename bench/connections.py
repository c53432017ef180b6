"""Connections opened, scripts played over them, and the clock and CPU meters around it."""

import asyncio
import os
from collections.abc import Callable, Sequence

from bench.figures import Latency
from bench.openloop import Pace
from bench.orders import Outcome
from bench.processes import cpu_ns, machine_busy_ns
from bench.scripts import Tally, clock
from bench.wire import Connection, HttpReader, Reader, Script

CONNECTS_AT_ONCE = 200  # below the listen backlog of any server measured here


async def open_connections(port: int, number: int, reader: Callable[[], Reader] = HttpReader) -> list[Connection]:
    """Open keep-alive connections to a server on this machine."""
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    while len(opened) < number:
        wanted = min(CONNECTS_AT_ONCE, number - len(opened))
        pairs = await asyncio.gather(
            *(loop.create_connection(lambda: Connection(reader()), "127.0.0.1", port) for _ in range(wanted))
        )
        opened.extend(connection for _, connection in pairs)
    return opened


async def play_all(
    connections: Sequence[Connection],
    scripts: Sequence[Script],
    tally: Tally,
    patience_s: float,
    idle: list[Connection] | None = None,
) -> None:
    """Play one script per connection until all have ended; those still open after `patience_s` seconds count as unanswered."""
    ended = asyncio.Event()
    left = len(scripts)

    def one_ended(why: str) -> None:
        nonlocal left
        left -= 1
        if why:
            cut_short(tally, why)
        if not left:
            ended.set()

    for connection, script in zip(connections, scripts, strict=True):
        connection.play(script, one_ended, idle)
    if not await in_time(ended.wait(), patience_s):
        tally.failures["unanswered"] += left


def cut_short(tally: Tally, why: str) -> None:
    """Count a script that did not finish."""
    if why:
        tally.failures[why.partition(":")[0]] += 1
        tally.first_failure = tally.first_failure or why


async def in_time(awaitable: "asyncio.Future[object] | object", patience_s: float) -> bool:
    """Wait for something; False when it took too long."""
    try:
        await asyncio.wait_for(awaitable, patience_s)  # type: ignore[arg-type]
    except TimeoutError:
        return False
    return True


def close_all(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()


class Meter:
    """The clock, and the CPU of the watched processes and of this one, from its making to the outcome."""

    def __init__(self, watch: Sequence[int]) -> None:
        self._before = {pid: cpu_ns(pid) for pid in (*watch, os.getpid())}
        self._busy = machine_busy_ns()
        self._began = clock()

    def outcome(self, tally: Tally, pace: Pace | None = None) -> Outcome:
        seconds = clock() - self._began
        used = {pid: max(0, cpu_ns(pid) - before) for pid, before in self._before.items()}  # one that has ended counts as idle
        return Outcome(
            operations=tally.done,
            concluded=tally.concluded,
            seconds=seconds,
            latency=Latency.of(tally.samples),
            lateness=Latency.of(pace.lateness) if pace else None,
            failures=dict(tally.failures),
            first_failure=tally.first_failure,
            client_cpu_ns=used.pop(os.getpid()),
            cpu_ns=used,
            machine_busy_ns=machine_busy_ns() - self._busy,
        )
