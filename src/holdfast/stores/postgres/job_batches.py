"""The batches of jobs of a transaction, in a file of their own.

Their rows are locked after the queues, in the order of their ids, so that nodes never wait in a circle. One that turns out to be needed later is
waited for if its id is the highest and no budget is locked, which come behind; otherwise it is locked if it is free, and if not, the transaction restarts and locks it with the others.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg

from holdfast.job.closing import Closing
from holdfast.job.job_batch import ClosingJob, JobBatch
from holdfast.stores import rows
from holdfast.stores.postgres.loader import Loader
from holdfast.stores.postgres.sql import SQL
from holdfast.stores.store import TryAgain


class JobBatchRows(Loader):
    """What a transaction can do with batches of jobs."""

    _rows: Any

    async def job_batches(self, ids: Sequence[int]) -> dict[int, JobBatch]:
        """Batches of jobs by their ids, locked."""
        await self._settle()
        return await self._lock_job_batches(ids)

    async def _lock_job_batches(self, ids: Sequence[int]) -> dict[int, JobBatch]:
        known = self._job_batches
        wanted = [one for one in ids if one not in known]
        if wanted:
            waits = min(wanted) > max(known, default=0) and not self._budgets
            try:
                found = await self._db.fetch(SQL["job_batches" if waits else "job_batches_now"], wanted)
            except asyncpg.LockNotAvailableError:
                if waits:
                    raise
                raise TryAgain("a batch of jobs is in use", job_batches=[*known, *wanted]) from None
            known.update(dict.fromkeys(wanted))
            known.update((row[0], rows.job_batch_of(row)) for row in found)
        return {one: batch for one in ids if (batch := known[one]) is not None}

    async def job_batch_count(self) -> int:
        """How many are not finished, or have dead members; counted anew now and then."""
        return await self._cache.job_batch_count.of(self._count_job_batches)

    async def _count_job_batches(self) -> int:
        return int(await self._value("count_job_batches"))

    async def closing_jobs(self, job_batch: int) -> dict[Closing, ClosingJob]:
        """The closing jobs that are not put yet."""
        return rows.closing_jobs_of(await self._fetch("closing_jobs", job_batch), job_batch)

    async def owing_job_batches(self, after: int, limit: int) -> list[int]:
        """Batches that owe a closing job."""
        return [row[0] for row in await self._fetch("owing_job_batches", after, limit)]

    async def unsettled_job_batches(self, before: int, limit: int) -> list[int]:
        """Batches that are not finished or whose closing jobs wait."""
        return [row[0] for row in await self._fetch("unsettled_job_batches", before, limit)]

    async def count_members(self, job_batch: int) -> tuple[int, int, int, int]:
        """Its members that are there, by what has become of them."""
        ((pending, concluded, dead, cancelled),) = await self._fetch("count_members", job_batch)
        return pending, concluded, dead, cancelled

    async def add_job_batches(self, made: Sequence[tuple[JobBatch, list[ClosingJob]]]) -> None:
        """Take note of new batches."""
        self._note("insert_job_batch", [rows.job_batch_row(one) for one, _ in made])
        self._note("insert_closing_job", [row for one, jobs in made for row in rows.closing_rows(one, jobs)])
        self._cache.job_batch_count.add(len(made))

    async def save_job_batches(
        self, changed: Sequence[JobBatch], gone: Sequence[tuple[int, Closing]], owed: Sequence[tuple[int, Closing, str]]
    ) -> None:
        """Take note of what changed."""
        self._note("update_job_batch", [rows.job_batch_changes(one) for one in changed])
        self._note("delete_closing_job", [(number, on.value) for number, on in gone])
        self._note("owe_closing_job", [(number, on.value, refusal) for number, on, refusal in owed])

    def _note(self, statement: str, many: Sequence[rows.Row]) -> None:
        if many:
            self._rows[statement] += many

    async def forget_job_batches(self, before: int, keep: int, limit: int) -> int:
        """Remove old finished ones; other nodes may be doing the same."""
        gone = await self._fetch("forget_job_batches", before, keep, limit)
        if gone:
            self._note_written()
        return len(gone)
