"""The batches of jobs of a transaction, in a file of their own."""

from collections.abc import Sequence
from typing import Any

import apsw

from holdfast.job.closing import Closing
from holdfast.job.job_batch import ClosingJob, JobBatch
from holdfast.stores import rows
from holdfast.stores.rows import json_text
from holdfast.stores.sqlite.cache import Cache
from holdfast.stores.sqlite.sql import SQL
from holdfast.stores.sqlite.undecodable import fetch_undecodable


class JobBatchRows:
    """What a transaction can do with batches of jobs."""

    _db: apsw.Connection
    _cache: Cache

    async def job_batches(self, ids: Sequence[int]) -> dict[int, JobBatch]:
        """Batches of jobs by their ids."""
        known = self._cache.job_batches
        if len(ids) == 1 and (one := known.get(ids[0])) is not None:
            return {one.id: one}
        missing = [number for number in ids if number not in known]
        if missing:
            for row in fetch_undecodable(self._db, SQL["job_batches"], (json_text(missing),)):
                self._cache.keep_job_batch(rows.job_batch_of(row))
        return {number: found for number in ids if (found := known.get(number)) is not None}

    async def job_batch_count(self) -> int:
        """How many are not finished, or have dead members; counted anew now and then."""
        return await self._cache.job_batch_count.of(self._count_job_batches)

    async def _count_job_batches(self) -> int:
        return int(self._db.execute(SQL["count_job_batches"]).get)

    async def closing_jobs(self, job_batch: int) -> dict[Closing, ClosingJob]:
        """The closing jobs that are not put yet."""
        return rows.closing_jobs_of(fetch_undecodable(self._db, SQL["closing_jobs"], (job_batch,)), job_batch)

    async def owing_job_batches(self, after: int, limit: int) -> list[int]:
        """Batches that owe a closing job."""
        found: Sequence[rows.Row] = self._db.execute(SQL["owing_job_batches"], (after, limit)).fetchall()
        return [row[0] for row in found]

    async def unsettled_job_batches(self, before: int, limit: int) -> list[int]:
        """Batches that are not finished or whose closing jobs wait."""
        found: Sequence[rows.Row] = self._db.execute(SQL["unsettled_job_batches"], (before, limit)).fetchall()
        return [row[0] for row in found]

    async def count_members(self, job_batch: int) -> tuple[int, int, int, int]:
        """Its members that are there, by what has become of them."""
        found: Any = self._db.execute(SQL["count_members"], (job_batch,)).fetchone()
        pending, concluded, dead, cancelled = found
        return pending, concluded, dead, cancelled

    async def add_job_batches(self, made: Sequence[tuple[JobBatch, list[ClosingJob]]]) -> None:
        """Write new batches."""
        for one, _ in made:
            self._cache.keep_job_batch(one)
        self._db.executemany(SQL["insert_job_batch"], [rows.job_batch_row(one) for one, _ in made])
        closing = [row for one, jobs in made for row in rows.closing_rows(one, jobs)]
        self._db.executemany(SQL["insert_closing_job"], closing)
        self._cache.job_batch_count.add(len(made))

    async def save_job_batches(
        self, changed: Sequence[JobBatch], gone: Sequence[tuple[int, Closing]], owed: Sequence[tuple[int, Closing, str]]
    ) -> None:
        """Write what changed."""
        for one in changed:
            row = rows.job_batch_changes(one)
            self._db.execute(SQL["count_job_batch"], row)
            if not self._db.changes():
                self._db.execute(SQL["update_job_batch"], row)
        if gone:
            self._db.executemany(SQL["delete_closing_job"], [(number, on.value) for number, on in gone])
        if owed:
            self._db.executemany(SQL["owe_closing_job"], [(number, on.value, refusal) for number, on, refusal in owed])

    async def forget_job_batches(self, before: int, keep: int, limit: int) -> int:
        """Remove old finished ones."""
        old: Sequence[rows.Row] = self._db.execute(SQL["old_job_batches"], (before, keep, limit)).fetchall()
        self._db.executemany(SQL["delete_job_batch"], old)
        for (number,) in old:
            self._cache.job_batches.pop(number, None)
        return len(old)
