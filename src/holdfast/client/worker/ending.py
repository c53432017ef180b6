"""Ends leases: what handlers came to, gathered into batches without a timer.

While one batch is on its way the next one gathers, so it grows by itself with the load; alone, an outcome leaves at once. A job is held,
and its lease kept, until the server has answered.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from msgspec import UNSET

from holdfast.client.aio.consuming import Ended
from holdfast.client.types import Conclude, Extend, Extended, Fail, Outcome, Release
from holdfast.client.worker.channel import Channel
from holdfast.client.worker.held import HeldJob
from holdfast.client.worker.holding import Holder
from holdfast.client.worker.outcomes import cut
from holdfast.client.worker.telling import Reach, about, log
from holdfast.errors import HoldfastError, InvalidRequest, LeaseLost, QueueFull, StorageFull, Unavailable
from holdfast.limits import BATCH_VERBS

_LATER = (QueueFull, StorageFull, Unavailable)
_OPEN = frozenset({"outcome_unknown", "unreachable", "unexpected_answer"})
_PAUSE_S = 0.5
Verdict = Conclude | Fail | Release
_WORDS = {Conclude: "concluded", Fail: "failed", Release: "released"}


@dataclass(slots=True)
class Ending:
    """One lease to end, and how."""

    held: HeldJob
    verdict: Verdict


class Endings:
    """Gathers and sends. `ended` is called with each job that is no longer held; `tally` counts what became of them."""

    def __init__(self, channel: Channel, holder: Holder, reach: Reach, ended: Callable[[HeldJob], None]) -> None:
        self.tally: Counter[str] = Counter()
        self._channel = channel
        self._holder = holder
        self._reach = reach
        self._ended = ended
        self._waiting: list[Ending] = []
        self._sender: asyncio.Task[None] | None = None
        self._later: set[asyncio.Task[None]] = set()

    def put(self, held: HeldJob, verdict: Verdict) -> None:
        """End this lease with the next batch."""
        self._waiting.append(Ending(held, verdict))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send(), name="holdfast-endings")

    async def settled(self) -> None:
        """Return when nothing waits and nothing is on its way."""
        while self._sender is not None or self._later:
            await asyncio.wait([*([self._sender] if self._sender else []), *self._later])

    async def _send(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:BATCH_VERBS], self._waiting[BATCH_VERBS:]
                await self._send_batch(batch)
        finally:
            self._sender = None

    async def _send_batch(self, batch: list[Ending]) -> None:
        await self._send_progress(batch)
        try:
            outcomes = await self._channel.end([ending.verdict for ending in batch])
        except InvalidRequest as error:  # one entry is to blame, and nothing was done
            if len(batch) > 1:
                for ending in batch:
                    await self._send_batch([ending])
                return
            outcomes = [error]
        except HoldfastError as error:
            self._reach.hindered("outcomes could not be sent", error)
            outcomes = [error] * len(batch)
        for ending, outcome in zip(batch, outcomes, strict=True):
            self._settle(ending, outcome)

    async def _send_progress(self, batch: list[Ending]) -> None:
        """What was noted has to arrive before the end, or nobody sees it; the next attempt is given it."""
        noted = [(ending.held.token, self._holder.unsent(ending.held)) for ending in batch]
        notes = [Extend(token=token, progress=progress) for token, progress in noted if progress is not UNSET]
        if notes:
            try:
                await self._channel.end(notes)
            except HoldfastError as error:
                log.warning("progress could not be noted: %s", error)

    def _settle(self, ending: Ending, outcome: Ended) -> None:
        held, verdict = ending.held, ending.verdict
        if isinstance(outcome, Outcome):
            if outcome.state == "dead":
                about(logging.ERROR, held, "dead: it will not be tried again by itself")
            self._over(held, "cancelled" if outcome.state == "cancelled" else _WORDS[type(verdict)])
        elif isinstance(outcome, LeaseLost):
            if not held.lost:
                about(logging.WARNING, held, "its lease was lost; what it came to counts for nothing")
            self._over(held, "lost")
        elif held.lost:
            self._over(held, "lost")
        elif isinstance(outcome, (Extended, *_LATER)) or outcome.code in _OPEN:
            again = asyncio.create_task(self._put_later(ending), name="holdfast-later")
            self._later.add(again)
            again.add_done_callback(self._later.discard)
        elif isinstance(verdict, Conclude):
            about(logging.ERROR, held, "what it came to is refused: %s", outcome)
            self.put(held, Fail(token=held.token, reason=cut(f"It was done, but could not be concluded: {outcome}")))
        else:
            about(logging.ERROR, held, "its lease could not be ended: %s", outcome)
            self._over(held, "refused")

    async def _put_later(self, ending: Ending) -> None:
        await asyncio.sleep(_PAUSE_S)
        self.put(ending.held, ending.verdict)

    def _over(self, held: HeldJob, word: str) -> None:
        self.tally[word] += 1
        self._holder.let_go(held)
        self._ended(held)
