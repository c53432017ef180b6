"""What follows from time in which nobody served: at the start, and after this process (or the database behind it) stood still.

Leases that ended meanwhile, or are about to, live on for `LEASE_GRACE_MS`: their holders could neither extend nor conclude them, and may do
so first. One that nobody claims by then goes back as released: nobody is to blame, so it is no crash.

At the start, what lies further ahead than it may is drawn in: a clock that was ahead for a while, and was put back, must not leave a lease
that lasts for years, a schedule that fires in years, or a history that is kept for years. A clock that was not set yet looks the same, and
the history would be forgotten as soon as it is set: where it says a moment at which this was not written, the history is left.

    a store of one process      away before its start, and whenever its clock leapt: the process or the machine slept, or the clock was set
    a store of many nodes       away when no node has left its mark in the database for `OUTAGE_MS`: each renews it once a second
"""

import time
from contextlib import AbstractAsyncContextManager

import structlog

from holdfast.clock import Clock
from holdfast.job import schedule as rules
from holdfast.limits import CLOCK_SET_FROM, DELAY_MS_MAX, HISTORY_AHEAD_MS, LEASE_GRACE_MS, LEASE_MS_MAX
from holdfast.stores.store import Prefetch, Store, Transaction

log = structlog.get_logger(__name__)
_LOOK_S = 1.0
_BITE = 5_000  # rows that are changed in one transaction
_SCHEDULES = 500


class Outages:
    """Looks whether somebody served all the time, before each batch that may depend on it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looked = 0.0
        self.seen = -1  # the clock's leaps at the last look; below 0 before the first one
        self.graced_until = 0

    def due(self) -> bool:
        """Whether it is to be looked now."""
        self._clock.now()  # a leap is seen by whoever asks first
        if self.seen != self._clock.leaps:  # much time has passed since then that this process knows nothing of
            return True
        return self._store.shared and time.monotonic() - self._looked > _LOOK_S

    async def look(self) -> None:
        """Look, and let the leases live on that ended while nobody served. A transaction that changes nothing is not committed."""
        looked, leaps = time.monotonic(), self._clock.leaps
        granted, until = _BITE, 0
        async with self._transaction() as tx:
            served = await tx.served()
            if served is None:
                away = True
            else:
                away, self.graced_until = served
            if away:
                until = (
                    self._clock.now() + LEASE_GRACE_MS
                )  # the same for all of them: a later one would have those again that were given theirs
                granted = await self._grant(tx, until)
            if served is not None or granted:
                await tx.commit()
        while away and granted == _BITE:
            async with self._transaction() as tx:
                granted = await self._grant(tx, until)
                await tx.commit()
        if away and self.seen < 0:
            await self._draw_in()
        self._looked, self.seen = looked, leaps

    def _transaction(self) -> AbstractAsyncContextManager[Transaction]:
        store = self._store
        return store.transaction(Prefetch(self._clock.now(), unheard=True)) if store.shared else store.transaction()

    async def _grant(self, tx: Transaction, until: int) -> int:
        count = await tx.grant_grace(until, _BITE)
        if count:
            self.graced_until = until
            log.warning(
                "no server ran for a while; leases that would have expired live on", leases=count, for_ms=LEASE_GRACE_MS
            )
        return count

    async def _draw_in(self) -> None:
        """Draw in what lies further ahead than it may."""
        async with self._transaction() as tx:
            now = self._clock.now()
            leases, delays = await tx.draw_in(now, now + LEASE_MS_MAX, now + DELAY_MS_MAX)
            if leases or delays or self._store.shared:
                await tx.commit()
        after: str | None = ""
        schedules = 0
        while after is not None:
            async with self._transaction() as tx:
                changed, after = await _draw_in_schedules(tx, after, self._clock.now())
                if changed:
                    await tx.commit()
            schedules += changed
        history = await self._draw_in_history()
        if leases or delays or schedules or history:
            log.warning(
                "the clock was ahead before this start: what lay too far ahead was drawn in",
                leases=leases,
                jobs=delays,
                schedules=schedules,
                history=history,
            )

    async def _draw_in_history(self) -> int:
        """In bites, of which each begins where the one before has ended."""
        count, changed = 0, _BITE
        while changed >= _BITE and (now := self._clock.now()) >= CLOCK_SET_FROM:
            async with self._transaction() as tx:
                changed = await tx.draw_in_history(now, now + HISTORY_AHEAD_MS, _BITE)
                if changed:
                    await tx.commit()
            count += changed
        return count


async def _draw_in_schedules(tx: Transaction, after: str, now: int) -> tuple[int, str | None]:
    found = await tx.schedules_after(after, _SCHEDULES)
    changed = 0
    for schedule in found:
        if schedule.unreadable:
            continue
        try:
            bounded = rules.within_bounds(schedule, now)
        except Exception:  # noqa: BLE001, S112  (it can't fire here: the ticks set it aside, and say so)
            continue
        if bounded is not schedule:
            await tx.save_schedule(bounded)
            changed += 1
    return changed, found[-1].name if len(found) == _SCHEDULES else None
