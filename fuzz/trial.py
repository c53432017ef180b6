"""One run: a server, honest callers, and cases at the chosen doors, until the time is up. Then it checks what was left behind."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from urllib.parse import unquote_to_bytes

from fuzz import beanstalkd, dialects, honest, http, page, websocket
from fuzz.case import Case
from fuzz.play import play
from fuzz.server import Attacked, made
from fuzz.stock import Stock
from fuzz.verdict import wrong

Grammar = Callable[[int, Random, Stock], Case]
DOORS: dict[str, Grammar] = {
    "http": http.case,
    "page": page.case,
    "dialects": dialects.case,
    "websocket": websocket.case,
    "beanstalkd": beanstalkd.case,
}
CALLERS = 6  # concurrent connections for each door
WARM_CASES = (
    6_000  # for each door and front, before memory is measured: by then lazy imports are done and bounded caches are full
)
RENEW_S = 5.0
LOOK_S = 0.5
SHARE = 1.10  # the bound of memory afterwards, relative to memory before
REST_S = 20.0  # before each measurement: an idle server returns freed memory to the system within some seconds
GIVEN_BACK_S = 30.0  # until memory is returned, if there was no rest before
MOST_FOUND = 20
OF_A_KIND = 2
_NAMED = re.compile(rb"(?:jobs?/|delete |release |bury |touch |kick-job |reserve-job |conclude/|Id\W+|job\W+)(\d+)")


@dataclass(slots=True)
class Finding:
    """What was wrong, and the case; None if it is not known which."""

    what: str
    case: Case | None = None
    suspects: list[Case] = field(default_factory=list)


@dataclass(slots=True)
class Figures:
    """The results of a run."""

    seconds: float = 0.0
    cases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    sent_bytes: int = 0
    before_bytes: int = 0
    peak_bytes: int = 0
    after_bytes: int = 0
    levels: list[int] = field(default_factory=list)  # bytes after each of several attacks
    of_each: list[tuple[str, int, int]] = field(default_factory=list)  # process, bytes before, bytes after
    honest_calls: int = 0
    honest_jobs: int = 0
    honest_p99_ms: float = 0.0
    refused: int = 0
    findings: list[Finding] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)  # of all findings


class Trial:
    """A run with one server, which it starts."""

    def __init__(
        self, server: Attacked, seed: str, doors: list[str], warm_cases: int = WARM_CASES, rest_s: float = REST_S
    ) -> None:
        self.server, self.seed, self.doors = server, seed, doors
        self._numbers: dict[str, Iterator[int]] = {door: iter(range(1 << 40)) for door in doors}
        self.warm_cases, self.rest_s = warm_cases, rest_s
        self.figures = Figures()
        self.ledger = honest.Ledger()
        self.meddled: set[int] = set()
        self._recent: deque[Case] = deque(maxlen=64)
        self._stock = Stock(0)
        self._ends = asyncio.Event()
        self._looked = 0  # bytes of the log that were read

    async def run(self, seconds: float, times: int = 1) -> Figures:
        """Run it, from the start of the server to its end: several attacks, one after the other, if asked to."""
        if not await self.server.start():
            self._found(f"the server did not start: {self.server.last_words()}")
            return self.figures
        self._stock.port = self.server.port
        await self._stock.open()
        try:
            await self._warm()
            for left in reversed(range(times)):
                await self._attack(seconds)
                if left and self.server.running:
                    self.figures.levels.append(await self._rested())
            await self._look_back()
        finally:
            await self._stop()
        return self.figures

    async def _warm(self) -> None:
        """Use every door, with honest callers beside, so that lazy imports are done before memory is measured."""
        cases = self.warm_cases * self.server.fronts
        await self._play({door: iter(range(-cases, 0)) for door in DOORS})
        if not self.server.running:
            return
        await self._rested()
        self.ledger.waits_s.clear()
        self.figures.cases.clear()
        self.figures.statuses.clear()
        self.figures.sent_bytes = 0
        self._before = self.server.memory()
        self.figures.before_bytes = self.figures.peak_bytes = sum(self._before.values())
        self._descriptors = self.server.descriptors()

    async def _attack(self, seconds: float) -> None:
        began = time.monotonic()
        await self._play(self._numbers, seconds)
        self.figures.seconds += time.monotonic() - began

    async def _rested(self) -> int:
        """Bytes of memory when nothing is in progress, what the cases have put is deleted, and freed memory is given back."""
        await self.server.idle()
        await self.server.clear()
        await asyncio.sleep(self.rest_s)
        return self.server.memory_bytes()

    async def _play(self, numbers: dict[str, Iterator[int]], seconds: float | None = None) -> None:
        """Play the cases with these numbers at each door beside honest callers, until there are no more or the time is up."""
        if not self.server.running:
            return
        ends = self._ends = asyncio.Event()
        others = [honest.over_http(self.server.port, queue, self.ledger, ends) for queue in honest.QUEUES]
        others += [honest.over_tubes(self.server.tubes, self.ledger, ends), self._watch()]
        beside = [asyncio.ensure_future(one) for one in others]
        attackers = [asyncio.ensure_future(self._some(door, some)) for door, some in numbers.items() for _ in range(CALLERS)]
        await asyncio.wait(attackers, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
        ends.set()
        await asyncio.gather(*attackers, *beside)

    async def _some(self, door: str, numbers: Iterator[int]) -> None:
        """Play cases of one door, one after the other."""
        port = self.server.tubes if door == "beanstalkd" else self.server.port
        for number in numbers:
            if self._ends.is_set() or len(self.figures.findings) >= MOST_FOUND:
                return
            case = DOORS[door](number, Random(f"{self.seed}:{door}:{number}"), self._stock)
            self._recent.append(case)
            self._note_named(case)
            heard = await play(case, port)
            self._count(case, heard.data)
            if said := wrong(case, heard):
                self._found(said, case)
                if heard.refused:
                    return

    def _count(self, case: Case, data: bytes) -> None:
        self.figures.cases[case.door] += 1
        self.figures.sent_bytes += len(case.sent)
        if case.door != "beanstalkd":
            self.figures.statuses.update(status.decode() for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data))

    def _note_named(self, case: Case) -> None:
        for text in (case.sent, unquote_to_bytes(case.sent)):
            self.meddled.update(int(number) for number in _NAMED.findall(text) if len(number) < 19)

    async def _watch(self) -> None:
        """Watch memory, processes and the log during the run."""
        renewed = time.monotonic()
        processes = len(self.server.pids())
        while not self._ends.is_set():
            await asyncio.sleep(LOOK_S)
            self.figures.peak_bytes = max(self.figures.peak_bytes, await asyncio.to_thread(self.server.memory_bytes))
            if len(self.server.pids()) != processes or not self.server.running:
                self._found("a process has ended", suspects=list(self._recent))
                self._ends.set()
            self._look_at_log()
            if len(self.figures.findings) >= MOST_FOUND:
                self._ends.set()
            if time.monotonic() > renewed + RENEW_S and not self._ends.is_set():
                await self._stock.renew()
                renewed = time.monotonic()

    def _look_at_log(self) -> None:
        bad = self.server.bad_lines(self._looked)
        self._looked = self.server.log.stat().st_size
        for line in dict.fromkeys(bad):
            self._found(f"the log: {line}", suspects=list(self._recent))

    async def _look_back(self) -> None:
        """Check that nothing is in progress, nothing is held, and nothing is lost."""
        figures = self.figures
        figures.honest_calls, figures.honest_jobs = len(self.ledger.waits_s), len(self.ledger.jobs)
        figures.honest_p99_ms, figures.refused = self.ledger.p99_ms(), self.ledger.refused
        if not self.server.running:
            return
        if left := await self.server.idle():
            self._found(f"still held after all clients have left: {left}")
        for said in [*self.ledger.wrong, *await honest.missing(self.server.port, self.ledger, self.meddled)]:
            self._found(said)
        await self.server.clear()
        await asyncio.sleep(self.rest_s)
        allowed = figures.before_bytes * SHARE
        deadline = time.monotonic() + GIVEN_BACK_S
        while (after := self.server.memory_bytes()) > allowed and time.monotonic() < deadline:  # noqa: ASYNC110  (as above)
            await asyncio.sleep(1.0)
        figures.after_bytes = after
        figures.levels.append(after)
        keeper = 0 if self.server.store.startswith("postgresql") else self.server.keeper
        for pid, size in self.server.memory().items():
            figures.of_each.append(("keeper" if pid == keeper else "front", self._before.get(pid, 0), size))
        if after > allowed:
            self._found(f"memory: {figures.before_bytes >> 20} MiB before, {after >> 20} MiB afterwards")
        if (more := self.server.descriptors()) > self._descriptors + 8:
            self._found(f"descriptors: {self._descriptors} before, {more} afterwards")
        self._look_at_log()

    async def _stop(self) -> None:
        if self.server.running:
            self.server.signal(signal.SIGTERM, self.server.front)
            if code := await self.server.ended(45.0):
                self._found(f"ended with {code}: {self.server.last_words()}")
        await self.server.kill_all()
        self._look_at_log()

    def _found(self, what: str, case: Case | None = None, suspects: list[Case] | None = None) -> None:
        kind = re.sub(r"\d{4,}", "…", what)[:120]
        self.figures.kinds[kind] += 1
        if self.figures.kinds[kind] <= OF_A_KIND and len(self.figures.findings) < MOST_FOUND:
            self.figures.findings.append(Finding(what, case, suspects or []))


async def attack(
    home: Path,
    seed: str,
    doors: list[str],
    seconds: float,
    store: str = "",
    fronts: int = 1,
    warm_cases: int = WARM_CASES,
    rest_s: float = REST_S,
    times: int = 1,
) -> Figures:
    """Run an attack in a folder of its own, or several on the same server."""
    server = Attacked(made(home), home / "server.log", store=store, fronts=fronts)
    return await Trial(server, seed, doors, warm_cases, rest_s).run(seconds, times)
