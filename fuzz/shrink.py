"""Minimizes a finding: the case is cut as long as the defect remains, on a server of its own. Of many suspects it finds the one
that is wrong.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fuzz.case import Case
from fuzz.play import play
from fuzz.server import Attacked, made
from fuzz.trial import Finding
from fuzz.verdict import wrong

TRIES = 250
SHRINK_S = 60.0  # for one finding


@asynccontextmanager
async def served(home: Path) -> AsyncIterator[Attacked]:
    """A server with its store in memory."""
    server = Attacked(made(home), home / "server.log", store="memory")
    await server.start()
    try:
        yield server
    finally:
        await server.kill_all()


async def replayed(case: Case, server: Attacked) -> str | None:
    """What is wrong when the case is played again: with the answer, the log or the processes."""
    if not server.running:
        await server.start()
    behind, processes = server.log.stat().st_size, len(server.pids())
    heard = await play(case, server.tubes if case.door == "beanstalkd" else server.port)
    said = wrong(case, heard)
    await server.answers()  # by then its log lines are written
    if len(server.pids()) != processes:
        await server.kill_all()
        return "a process has ended"
    bad = server.bad_lines(behind)
    return said or (f"the log: {bad[0]}" if bad else None)


async def shrunk(finding: Finding, home: Path) -> tuple[Case, str] | None:
    """The smallest case that is wrong alone, and how; None if no case is."""
    async with served(home) as server:
        for case in [finding.case] if finding.case else reversed(finding.suspects):
            if said := await replayed(case, server):  # of several suspects, the first that is wrong
                return await _smaller(case, said, server)
    return None


async def _smaller(case: Case, said: str, server: Attacked) -> tuple[Case, str]:
    tries, ends = 0, time.monotonic() + SHRINK_S
    size = len(case.sent)
    while size >= 1 and tries < TRIES:
        for smaller in _candidates(case, size):
            tries += 1
            if tries >= TRIES or time.monotonic() > ends:
                return case, said
            if now := await replayed(smaller, server):
                case, said = smaller, now
                break
        else:
            size //= 2
    return case, said


def _candidates(case: Case, size: int) -> Iterator[Case]:
    """The case without parts of so many bytes; first the whole case in one segment."""
    data = case.sent
    if len(case.steps) > 1:
        yield replace(case, steps=[("send", data)])
    elif case.answers is None:  # else leaving a part out would change the number of answers
        yield from (replace(case, steps=[("send", data[:at] + data[at + size :])]) for at in range(0, len(data), size))
