"""Conditions that an operator should know of while the server runs: a clock that stands still or was set, and what is set
aside. A tick checks them.
"""

import time

from holdfast.clock import Clock
from holdfast.committer.set_aside import SetAside
from holdfast.committer.totals import Totals
from holdfast.limits import UNREADABLE_SHOWN
from holdfast.logs import structlog
from holdfast.messages.queries import ListSchedules
from holdfast.stores.store import Store

log = structlog.get_logger(__name__)
_TOLD_MS = 1_000  # less is the ordinary correction of a clock
_COUNT_S = 10.0  # between counts of the schedules that are set aside, if no change is known
_PAGE = 1_000


class HealthWatch:
    """Updates `Totals`, and logs when a condition begins and ends."""

    def __init__(self, store: Store, clock: Clock, totals: Totals, aside: SetAside) -> None:
        self._store = store
        self._clock = clock
        self._totals = totals
        self._aside = aside
        self._behind = False
        self._counted_at = 0.0

    def look_at_clock(self) -> None:
        """Check whether the clock was set since the last check, and whether it stands still."""
        step, behind = self._clock.step_ms(), self._clock.behind_ms()
        totals = self._totals
        totals.clock_behind_ms = behind if behind >= _TOLD_MS else 0
        totals.jobs_aside = len(self._aside)
        totals.jobs_why = self._aside.sentences(UNREADABLE_SHOWN)
        if abs(step) >= _TOLD_MS:
            totals.clock_steps += 1
            if step > 0:
                log.warning("the machine's clock was set forward: everything due until then is due now", by_ms=step)
            else:
                log.warning("the machine's clock was set back", by_ms=-step)
        if totals.clock_behind_ms and not self._behind:
            log.warning(
                "time stands still until the machine's clock has caught up: nothing expires and nothing fires", behind_ms=behind
            )
        elif self._behind and not totals.clock_behind_ms:
            log.info("the machine's clock has caught up; time continues")
        self._behind = totals.clock_behind_ms > 0

    async def count_schedules(self, changed: bool) -> None:
        """Count the schedules that are set aside: from time to time, and at once after a possible change."""
        if not changed and time.monotonic() - self._counted_at < _COUNT_S:
            return
        count, after = 0, ""
        while True:
            page = await self._store.read(ListSchedules(_PAGE, after), self._clock.now())
            count += sum(schedule.aside for schedule in page.schedules)
            if page.after is None:
                break
            after = page.after
        self._totals.schedules_aside = count
        self._counted_at = time.monotonic()
