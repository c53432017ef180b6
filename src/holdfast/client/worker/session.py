"""One run of a worker: takes jobs while there is room, runs their handlers, ends their leases, and winds down in good order.

    take ──▶ waiting ──▶ running ──▶ endings ──▶ answered: room for another
               (at most `prefetch`)   (at most `concurrency`)

Winding down: no more jobs are taken; those that have not begun are released; those that run may finish within the grace time,
and are then cancelled and released. A release counts no attempt.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

from holdfast.client import traces
from holdfast.client.types import Fail, Job, Release
from holdfast.client.worker.conclusions import Conclusions, Verdict
from holdfast.client.worker.connectivity import Reach, about, attempt_over, log
from holdfast.client.worker.held_job import HeldJob
from holdfast.client.worker.job_source import JobSource
from holdfast.client.worker.lease_extender import LeaseExtender
from holdfast.client.worker.outcomes import as_reason, told
from holdfast.client.worker.runner import Handler, Runner
from holdfast.errors import Forbidden, HoldfastError, InvalidRequest

_PAUSE_S = 1.0  # after a poll that failed for good, before the next; twice as long each time
_PAUSE_MAX_S = 30.0
_CUT_OFF_S = 2.0  # for handlers that were cut off to notice it
_LAST_WORDS_S = 10.0  # for the last batches to be answered


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much at once, and how long at the end."""

    concurrency: int
    prefetch: int
    grace_s: float


class Session:
    """Runs until it is stopped; with `until_empty`, until nothing is ready and nothing is held."""

    def __init__(
        self,
        channel: JobSource,
        holder: LeaseExtender,
        reach: Reach,
        find: Callable[[str], Handler | None],
        bounds: Bounds,
        until_empty: bool = False,
    ) -> None:
        self._channel = channel
        self._holder = holder
        self._reach = reach
        self._find = find
        self._bounds = bounds
        self._until_empty = until_empty
        self._held: set[HeldJob] = set()
        self._waiting: deque[HeldJob] = deque()
        self._running: set[HeldJob] = set()
        self._changed = asyncio.Event()
        self.stopped = asyncio.Event()
        self._runner = Runner(self._changed.set)
        self.endings = Conclusions(channel, holder, reach, self._ended)
        self.quiet = False
        self.taken = 0  # jobs so far
        self._failures = 0
        self._main: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """Take nothing more, and wind down."""
        self.stopped.set()
        self._changed.set()

    def heed(self, held: HeldJob) -> None:
        """Something about a held job has changed: it is lost, or is to be cancelled."""
        if held not in self._held:
            return
        if held.lost:
            about(logging.WARNING, held, "its lease was lost; its outcome will be dropped")
        elif held.cancel_requested:
            about(logging.INFO, held, "its cancellation was requested")
        if not held.in_thread:  # a thread can't be stopped from outside: it sees `should_stop`
            held.cut()

    async def run(self) -> None:
        """Work. Raises errors that can't pass, such as a token that is not allowed to lease."""
        self._main = asyncio.current_task()
        try:
            await self._take()
        finally:
            await self._wind_down()

    async def _take(self) -> None:
        stopped = asyncio.create_task(self.stopped.wait())
        try:
            while not self.stopped.is_set():
                room = self._room()
                if room <= 0 or self.quiet:
                    await self._change()
                    continue
                idle = not self._held
                poll = asyncio.create_task(self._poll(room))
                try:
                    await asyncio.wait({poll, stopped}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not poll.done():
                        poll.cancel()  # `JobSource.stop` asks again
                        await asyncio.gather(poll, return_exceptions=True)
                    elif not poll.cancelled():
                        poll.exception()  # it is known, also where this task is cancelled just now
                if poll.cancelled():
                    return
                self._begin(poll.result())
                if self._until_empty and not poll.result():
                    if idle:
                        return
                    if self._held:  # their outcomes may enqueue more; others did so during the poll, and it is repeated
                        await self._change()
        finally:
            stopped.cancel()

    async def _poll(self, room: int) -> list[Job]:
        try:
            jobs = await self._channel.take(room)
        except (Forbidden, InvalidRequest):
            raise
        except HoldfastError as error:
            if error.status in (401, 403):
                raise
            self._reach.hindered("no jobs could be taken", error)
            self._failures += 1
            await asyncio.sleep(min(_PAUSE_MAX_S, _PAUSE_S * 2.0 ** min(self._failures - 1, 10)))
            return []
        self._failures = 0
        return jobs

    async def _change(self) -> None:
        self._changed.clear()
        if not self.stopped.is_set():
            await self._changed.wait()

    def _room(self) -> int:
        stuck = self._runner.threads.stuck
        return self._bounds.concurrency + self._bounds.prefetch - len(self._held) - stuck

    def _begin(self, jobs: list[Job]) -> None:
        self.taken += len(jobs)
        for job in jobs:
            held = HeldJob(job, self._holder.note)
            self._held.add(held)
            self._holder.hold(held)
            self._waiting.append(held)
        self._fill()

    def _fill(self) -> None:
        while self._waiting and len(self._running) + self._runner.threads.stuck < self._bounds.concurrency:
            held = self._waiting.popleft()
            self._running.add(held)
            held.task = asyncio.create_task(self._work_on(held))
            about(logging.DEBUG, held, "begins")

    async def _work_on(self, held: HeldJob) -> None:
        """Run one job to its end. If cancelled from outside, the job is released, and cancelled if that was requested."""
        verdict: Verdict
        try:
            if held.cut_off:
                raise asyncio.CancelledError
            handler = self._find(held.type)
            with nullcontext() if handler is not None and handler.makes_spans else traces.processing(held.job) as span:
                verdict = await self._runner.run(handler, held)
                if isinstance(verdict, Fail):
                    traces.failed(span, as_reason(verdict).reason)
        except asyncio.CancelledError as error:
            verdict = Release(token=held.token) if held.cut_off or self._cancelled() else told(error, held.token)
            if not held.lost:
                attempt_over(held, verdict, error)
        except Exception as error:  # noqa: BLE001  (whatever it is, the job gets an outcome and its place is free again)
            log.exception("job %d: its outcome could not be reported", held.id)
            verdict = told(error, held.token)
        self._running.discard(held)
        held.task = None
        if held.lost:
            about(logging.INFO, held, "dropped, another worker has it by now")
            self.endings.tally["lost"] += 1
            self._ended(held)
        else:
            self.endings.put(held, verdict)

    def _cancelled(self) -> bool:
        """Whether the whole session is being cancelled, with all tasks of its event loop perhaps: no handler has failed by that."""
        return self._main is not None and (self._main.done() or self._main.cancelling() > 0)

    def _ended(self, held: HeldJob) -> None:
        self._held.discard(held)
        self._fill()
        self._changed.set()

    async def _wind_down(self) -> None:
        for held in self._held:
            held.stopping = True
        for held in self._waiting:
            self.endings.put(held, Release(token=held.token))
        self._waiting.clear()
        late = asyncio.create_task(self._give_back_late())
        await self._finish(self._bounds.grace_s)
        if self._running:
            log.warning("%d jobs did not finish in time and are released", len(self._running))
        for held in list(self._running):
            held.must_end = True
            held.cut()
        await self._finish(_CUT_OFF_S)
        for held in self._running:  # handlers that will not be cut off
            self.endings.put(held, Release(token=held.token))
        try:
            await asyncio.wait_for(self._last_words(late), _LAST_WORDS_S)
        except TimeoutError:
            log.warning("%d outcomes could not be reported; their leases will expire", len(self._held))
        self._runner.close()
        await self._channel.close()

    async def _give_back_late(self) -> None:
        for job in await self._channel.stop():
            held = HeldJob(job)
            self._held.add(held)
            self.endings.put(held, Release(token=held.token))

    async def _last_words(self, late: "asyncio.Task[None]") -> None:
        await late
        await self.endings.settled()

    async def _finish(self, within_s: float) -> None:
        until = time.monotonic() + within_s
        while self._running and (left := until - time.monotonic()) > 0:
            await asyncio.wait([held.task for held in self._running if held.task is not None], timeout=left)
