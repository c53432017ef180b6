"""Handling of time in which no server ran: at the start, and after this process (or the database behind it) was suspended.

Leases that expired meanwhile, or are about to, are extended by `LEASE_GRACE_MS`, because their holders could neither extend nor
conclude them. A job whose lease expires after that is released: this is not a crash.

At the start, times too far in the future are corrected: a clock that was wrong for a while must not leave a lease that lasts
for years, a schedule that fires in years, or a history that is kept for years. A clock that is not set yet looks the same, and
correcting the history by it would drop the history once it is set: so history is left alone if the clock shows a time before
this program was written (`CLOCK_SET_FROM`).

    a store of one process      away before its start, and whenever its clock leapt: the process or the machine slept, or the clock was set
    a store of many nodes       away when no node has left its mark in the database for `OUTAGE_MS`: each renews it once a second
"""

import time
from contextlib import AbstractAsyncContextManager

from holdfast.clock import Clock
from holdfast.job import schedule as rules
from holdfast.limits import CLOCK_SET_FROM, DELAY_MS_MAX, HISTORY_AHEAD_MS, LEASE_GRACE_MS, LEASE_MS_MAX
from holdfast.logs import structlog
from holdfast.stores.store import Prefetch, Store, Transaction

log = structlog.get_logger(__name__)
_LOOK_S = 1.0
_CHUNK = 5_000  # rows that are changed in one transaction
_SCHEDULES = 500


class Outages:
    """Detects, before each batch that may depend on it, whether servers ran all the time."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looked = 0.0
        self.seen = -1  # the clock's leaps at the last look; below 0 before the first one
        self.graced_until = 0

    def due(self) -> bool:
        """Whether to check now."""
        self._clock.now()  # the first call to the clock detects a leap
        if self.seen != self._clock.leaps:  # much time has passed without this process noticing
            return True
        return self._store.shared and time.monotonic() - self._looked > _LOOK_S

    async def look(self) -> None:
        """Check, and extend the leases that expired while no server ran. A transaction without changes is not committed."""
        looked, leaps = time.monotonic(), self._clock.leaps
        granted, until = _CHUNK, 0
        async with self._transaction() as tx:
            served = await tx.served()
            if served is None:
                away = True
            else:
                away, self.graced_until = served
            if away:
                until = (
                    self._clock.now() + LEASE_GRACE_MS
                )  # the same for all chunks: with a later one, the next chunk would find the leases extended before
                granted = await self._grant(tx, until)
            if served is not None or granted:
                await tx.commit()
        while away and granted == _CHUNK:
            async with self._transaction() as tx:
                granted = await self._grant(tx, until)
                await tx.commit()
        if away and self.seen < 0:
            await self._clamp()
        self._looked, self.seen = looked, leaps

    def _transaction(self) -> AbstractAsyncContextManager[Transaction]:
        store = self._store
        return store.transaction(Prefetch(self._clock.now(), unheard=True)) if store.shared else store.transaction()

    async def _grant(self, tx: Transaction, until: int) -> int:
        count = await tx.grant_grace(until, _CHUNK)
        if count:
            self.graced_until = until
            log.warning(
                "no server ran for a while; leases that would have expired are extended", leases=count, for_ms=LEASE_GRACE_MS
            )
        return count

    async def _clamp(self) -> None:
        """Correct times that are further ahead than possible."""
        async with self._transaction() as tx:
            now = self._clock.now()
            leases, delays = await tx.clamp_times(now, now + LEASE_MS_MAX, now + DELAY_MS_MAX)
            if leases or delays or self._store.shared:
                await tx.commit()
        after: str | None = ""
        schedules = 0
        while after is not None:
            async with self._transaction() as tx:
                changed, after = await _clamp_schedules(tx, after, self._clock.now())
                if changed:
                    await tx.commit()
            schedules += changed
        history = await self._clamp_history()
        if leases or delays or schedules or history:
            log.warning(
                "the clock was ahead before this start: times too far ahead were corrected",
                leases=leases,
                jobs=delays,
                schedules=schedules,
                history=history,
            )

    async def _clamp_history(self) -> int:
        """In chunks."""
        count, changed = 0, _CHUNK
        while changed >= _CHUNK and (now := self._clock.now()) >= CLOCK_SET_FROM:
            async with self._transaction() as tx:
                changed = await tx.clamp_history(now, now + HISTORY_AHEAD_MS, _CHUNK)
                if changed:
                    await tx.commit()
            count += changed
        return count


async def _clamp_schedules(tx: Transaction, after: str, now: int) -> tuple[int, str | None]:
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
