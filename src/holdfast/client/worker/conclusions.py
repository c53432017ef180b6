"""Ends leases: outcomes of handlers, gathered into batches without a timer.

While one batch is being sent the next one gathers, so batches grow with the load; a single outcome is sent at once. A job
counts as held, and its lease is extended, until the server has answered.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UNSET, UnsetType

from holdfast.client.outcomes import Ended, portion
from holdfast.client.raised import words
from holdfast.client.types import Conclude, Extend, Extended, Fail, Outcome, Release
from holdfast.client.worker.connectivity import Reach, about, log
from holdfast.client.worker.held_job import HeldJob
from holdfast.client.worker.job_source import JobSource
from holdfast.client.worker.lease_extender import LeaseExtender
from holdfast.client.worker.outcomes import DONE, as_reason, cut
from holdfast.errors import HoldfastError, InvalidRequest, LeaseLost, QueueFull, StorageFull, Unavailable
from holdfast.limits import BATCH_VERBS

_LATER = (QueueFull, StorageFull, Unavailable)
_OPEN = frozenset({"outcome_unknown", "unreachable", "unexpected_answer"})
_PAUSE_S = 0.5
Verdict = Conclude | Fail | Release
_WORDS = {Conclude: "concluded", Fail: "failed", Release: "released"}


@dataclass(slots=True)
class Conclusion:
    """One lease to end, and how. `plain`: nothing that could be refused is left in it."""

    held: HeldJob
    verdict: Verdict
    plain: bool = False


class Conclusions:
    """Gathers and sends. `ended` is called with each job that is no longer held; `tally` counts the results."""

    def __init__(self, channel: JobSource, holder: LeaseExtender, reach: Reach, ended: Callable[[HeldJob], None]) -> None:
        self.tally: Counter[str] = Counter()
        self._channel = channel
        self._holder = holder
        self._reach = reach
        self._ended = ended
        self._waiting: list[Conclusion] = []
        self._sender: asyncio.Task[None] | None = None
        self._later: set[asyncio.Task[None]] = set()

    def put(self, held: HeldJob, verdict: Verdict) -> None:
        """End this lease with the next batch."""
        self._put(Conclusion(held, verdict))

    def _put(self, ending: Conclusion) -> None:
        self._waiting.append(ending)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="holdfast-endings")

    async def settled(self) -> None:
        """Return when nothing waits and nothing is being sent."""
        while self._sender is not None or self._later:
            await asyncio.wait([*([self._sender] if self._sender else []), *self._later])

    async def _send(self) -> None:
        try:
            while self._waiting:
                await self._send_batch(self._next())
        finally:
            self._sender = None

    def _next(self) -> list[Conclusion]:
        """As many outcomes as one body, and one message of a channel, can carry."""
        count = portion([ending.verdict for ending in self._waiting[:BATCH_VERBS]])
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch

    async def _send_batch(self, batch: list[Conclusion]) -> None:
        try:
            await self._send_progress(batch)
            outcomes = await self._channel.end([ending.verdict for ending in batch])
        except HoldfastError as error:
            if isinstance(error, InvalidRequest):  # one entry is to blame, and nothing was done
                return await self._one_by_one(batch, error)
            self._reach.hindered("outcomes could not be sent", error)
            outcomes = [error] * len(batch)
        except Exception as error:  # noqa: BLE001  (whatever it is, none of these jobs may be held for ever)
            log.exception("outcomes could not be sent")
            return await self._one_by_one(batch, InvalidRequest(f"It can't be sent: {type(error).__name__}: {words(error)}"))
        for ending, outcome in zip(batch, outcomes, strict=True):
            self._settle(ending, outcome)
        return None

    async def _one_by_one(self, batch: list[Conclusion], error: InvalidRequest) -> None:
        """Who is to blame is refused; the others have their outcomes."""
        if len(batch) == 1:
            self._settle(batch[0], error)
            return
        for ending in batch:
            await self._send_batch([ending])

    async def _send_progress(self, batch: list[Conclusion]) -> None:
        """Progress has to be sent before the end, or it is lost; the next attempt gets it."""
        noted = [(ending.held.token, self._holder.unsent(ending.held)) for ending in batch]
        notes = [Extend(token=token, progress=progress) for token, progress in noted if progress is not UNSET]
        while notes:
            count = portion(notes)
            try:
                await self._channel.end(notes[:count])
            except HoldfastError as error:
                log.warning("progress could not be reported: %s", error)
            notes = notes[count:]

    def _settle(self, ending: Conclusion, outcome: Ended) -> None:
        held, verdict = ending.held, ending.verdict
        if isinstance(outcome, Outcome):
            if outcome.state == "dead":
                about(logging.ERROR, held, "dead: it will not be tried again by itself")
            self._over(held, "cancelled" if outcome.state == "cancelled" else _WORDS[type(verdict)])
        elif isinstance(outcome, LeaseLost):
            if not held.lost:
                about(logging.WARNING, held, "its lease was lost; its outcome is dropped")
            self._over(held, "lost")
        elif held.lost:
            self._over(held, "lost")
        elif isinstance(outcome, (Extended, *_LATER)) or outcome.code in _OPEN:
            again = asyncio.create_task(self._put_later(ending), name="holdfast-later")
            self._later.add(again)
            again.add_done_callback(self._later.discard)
        elif isinstance(verdict, Conclude):
            about(logging.ERROR, held, "its outcome was refused: %s", outcome)
            reason = f"{DONE}the job could not be concluded: {outcome}"
            self.put(held, Fail(token=held.token, reason=cut(reason), retry=False))
        elif isinstance(verdict, Fail) and not isinstance(verdict.error, UnsetType):
            self._put(Conclusion(held, as_reason(verdict), ending.plain))  # a server of the release before does not take it
        elif not ending.plain:
            about(logging.ERROR, held, "how it ended is refused, so it counts as failed: %s", outcome)
            reason = verdict.reason if isinstance(verdict, Fail) else f"The job could not be released: {outcome}"
            self._put(Conclusion(held, Fail(token=held.token, reason=cut(reason)), plain=True))
        else:
            about(logging.ERROR, held, "its lease could not be ended: %s", outcome)
            self._over(held, "refused")

    async def _put_later(self, ending: Conclusion) -> None:
        await asyncio.sleep(_PAUSE_S)
        self._put(ending)

    def _over(self, held: HeldJob, word: str) -> None:
        self.tally[word] += 1
        self._holder.let_go(held)
        self._ended(held)
