"""Reads and writes of operations in a transaction: a base class of `PostgresTransaction`."""

from collections.abc import Sequence
from typing import Any

from holdfast.job.job import Job
from holdfast.job.operation import JobFilter, Operation
from holdfast.stores import rows
from holdfast.stores.list_statements import matching_sql
from holdfast.stores.matching import values_of
from holdfast.stores.postgres.reader import DIALECT, PostgresSnapshot
from holdfast.stores.postgres.sql import SQL


class OperationRows:
    """What a transaction can do with operations and their jobs."""

    _db: Any

    async def _fetch(self, statement: str, *values: Any) -> Sequence[Any]:
        raise NotImplementedError

    async def _value(self, statement: str, *values: Any) -> Any:
        raise NotImplementedError

    async def _settle(self) -> None:
        raise NotImplementedError

    async def _jobs(self, statement: str, *values: Any) -> list[Job]:
        raise NotImplementedError

    def _note_written(self) -> None:
        raise NotImplementedError

    async def job(self, job_id: int) -> Job | None:
        """One job; the loader implements it."""
        raise NotImplementedError

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, Job]:
        """These jobs in any state, by id: those in their places at once, and the others one by one."""
        found = {job.id: job for job in await self._jobs("any_jobs", list(job_ids))}
        for job_id in job_ids:
            if job_id not in found and (job := await self.job(job_id)) is not None:
                found[job_id] = job
        return found

    async def operation(self, operation_id: int) -> Operation | None:
        """One operation, locked."""
        found = await self._fetch("lock_operation", operation_id)
        return rows.operation_of(found[0]) if found else None

    async def operation_count(self) -> int:
        """How many have not ended."""
        return int(await self._value("operation_count"))

    async def save_operation(self, operation: Operation) -> None:
        """Write one, new or changed."""
        await self._db.execute(SQL["save_operation"], *rows.operation_row(operation))
        self._note_written()

    async def forget_operations(self, ended_before: int, keep: int) -> None:
        """Remove old ones."""
        if await self._fetch("forget_operations", ended_before, keep):
            self._note_written()

    async def matching(self, wanted: JobFilter, job_ids: Sequence[int]) -> set[int]:
        """Those of these jobs that match."""
        await self._settle()
        found = await PostgresSnapshot(self._db).listed(matching_sql(DIALECT), values_of(wanted, job_ids))
        return {row[0] for row in found}
