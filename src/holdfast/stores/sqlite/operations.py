"""Reads and writes of operations in a transaction: a base class of `SqliteTransaction`."""

from collections.abc import Sequence

import apsw

from holdfast.job.job import Job
from holdfast.job.operation import JobFilter, Operation
from holdfast.stores import rows
from holdfast.stores.list_statements import matching_sql
from holdfast.stores.matching import values_of
from holdfast.stores.sqlite.reader import DIALECT
from holdfast.stores.sqlite.sql import SQL


class OperationRows:
    """What a transaction can do with operations and their jobs."""

    _db: apsw.Connection

    async def job(self, job_id: int) -> Job | None:
        """One job; the loader implements it."""
        raise NotImplementedError

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, Job]:
        """These jobs in any state, by id."""
        return {job_id: job for job_id in job_ids if (job := await self.job(job_id)) is not None}

    async def operation(self, operation_id: int) -> Operation | None:
        """One operation."""
        row = self._db.execute(SQL["operation"], (operation_id,)).fetchone()
        return None if row is None else rows.operation_of(row)

    async def operation_count(self) -> int:
        """How many have not ended."""
        return int(self._db.execute(SQL["operation_count"]).get)

    async def save_operation(self, operation: Operation) -> None:
        """Write one, new or changed."""
        self._db.execute(SQL["save_operation"], rows.operation_row(operation))

    async def forget_operations(self, ended_before: int, keep: int) -> None:
        """Remove old ones."""
        self._db.execute(SQL["forget_operations"], (ended_before, keep))

    async def matching(self, wanted: JobFilter, job_ids: Sequence[int]) -> set[int]:
        """Those of these jobs that match."""
        return {row[0] for row in self._db.execute(matching_sql(DIALECT), values_of(wanted, job_ids))}
