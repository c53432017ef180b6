"""The schedules of a transaction, in a file of their own."""

import apsw

from holdfast.job.schedule import Schedule
from holdfast.stores import formats, rows
from holdfast.stores.sqlite.cache import Cache
from holdfast.stores.sqlite.sql import SQL


class ScheduleRows:
    """What a transaction can do with schedules."""

    _db: apsw.Connection
    _cache: Cache

    async def schedule(self, name: str) -> Schedule | None:
        """One schedule."""
        row = self._db.execute(SQL["schedule"], (name,)).fetchone()
        return None if row is None else rows.schedule_of(name, *row[1:])

    async def schedule_count(self) -> int:
        """How many there are."""
        return int(self._db.execute(SQL["schedule_count"]).get)

    async def schedules_due(self, now: int, limit: int) -> list[Schedule]:
        """The due ones."""
        return [rows.schedule_of(*row) for row in self._cache.fetch_named(self._db, "schedules_due", (now, limit))]

    async def save_schedule(self, schedule: Schedule) -> None:
        """Write a schedule."""
        row = (schedule.name, schedule.try_at, int(schedule.paused), formats.schedule_json(schedule))
        self._db.execute(SQL["save_schedule"], row)

    async def schedules_after(self, name: str, limit: int) -> list[Schedule]:
        """By their names."""
        return [rows.schedule_of(*row) for row in self._cache.fetch_named(self._db, "schedules_after", (name, limit))]

    async def postpone_schedule(self, name: str, try_at: int) -> None:
        """Look at it later."""
        self._db.execute(SQL["postpone_schedule"], (try_at, name))

    async def delete_schedule(self, name: str) -> None:
        """Remove a schedule."""
        self._db.execute(SQL["delete_schedule"], (name,))
