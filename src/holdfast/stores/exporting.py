"""A store as lines of `exported.py`, a page of jobs at a time: each page is a read of its own, so that neither memory nor the store's log grows
with the number of jobs, and nobody is held up.

So what is exported of a store in use is not one moment: each job is exported once, as it was when its page was read. Jobs come in the order
of their ids, by which an export that was cut off goes on.
"""

import time
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from holdfast import __version__
from holdfast.job.budget import without_charges
from holdfast.job.closing import Closing
from holdfast.job.job import Content, Job, JobError, NewJob, State
from holdfast.job.job_batch import WAITS, ClosingJob, JobBatch
from holdfast.job.queue import QueuePolicy
from holdfast.limits import EXPORT_PAGE_BYTES, EXPORT_PAGE_JOBS, ID_MAX, QUEUES, SCHEDULES
from holdfast.messages.budget_commands import ListBudgets
from holdfast.messages.queries import GetInterests, ListQueues, ListSchedules
from holdfast.stores import exported, formats, rows
from holdfast.stores.exported import AnswerLine, BatchLine, BudgetLine, End, Head, Line, QueueLine, Whole
from holdfast.stores.reader import Reader
from holdfast.stores.snapshot import Snapshot
from holdfast.units import counted

_PAGE = 1_000


class ExportSource(Protocol):
    """A store that is read, whether or not a server uses it."""

    def reading(self) -> AbstractAsyncContextManager[Snapshot]:
        """One snapshot, for as long as a page takes."""
        ...

    async def numbers(self) -> tuple[int, int]:
        """The last id of a job and the last fence."""
        ...

    async def not_taken_in(self, up_to: int) -> int:
        """How many jobs up to this id applications enqueued by SQL that no node takes in, even if it is waited for some seconds."""
        ...


class Progress(msgspec.Struct):
    """How far an export is: the last job that is written, how many there are, and what could not be written."""

    after: int
    jobs: int = 0
    problems: list[str] = []


class Wanted(msgspec.Struct, frozen=True):
    """What is exported: without a queue or a state, of all of them."""

    queues: Collection[str] = ()
    states: Collection[State] = ()

    def has(self, queue: str) -> bool:
        """Whether this queue is."""
        return not self.queues or queue in self.queues


async def lines(source: ExportSource, wanted: Wanted, progress: Progress) -> AsyncIterator[bytes]:
    """All lines, from the job after `progress.after` on."""
    yield exported.written(Line(head=await _head(source, wanted, progress)))
    async for line in _around(source, wanted, progress):
        yield exported.written(line)
    all_there_is = not (wanted.states or wanted.queues)
    batches = _Batches(source)
    if all_there_is and not progress.after:
        async for line in batches.before():
            yield exported.written(line)
    if not (progress.after or wanted.states):
        async for line in _answers(source, wanted, progress):
            yield exported.written(line)
    while (page := await _page(source, wanted, progress)) is not None:
        last, jobs = page
        for whole in jobs:
            yield exported.written(Line(job=exported.line_of_job(whole)))
            progress.after = whole.job.id
            progress.jobs += 1
        progress.after = last
    if all_there_is:
        async for line in batches.behind(progress.after):
            yield exported.written(line)
    yield exported.written(Line(end=End(progress.jobs, progress.after, *await source.numbers())))


async def _head(source: ExportSource, wanted: Wanted, progress: Progress) -> Head:
    now = time.time_ns() // 1_000_000
    numbers = await source.numbers()
    head = Head(exported.FORMAT, __version__, now, *numbers, progress.after, sorted(wanted.queues), sorted(wanted.states))
    if left := await source.not_taken_in(head.last_job):
        progress.problems.append(f"{counted(left, 'job')} that applications enqueued by SQL: no node has taken them in")
    return head


async def _around(source: ExportSource, wanted: Wanted, progress: Progress) -> AsyncIterator[Line]:
    """Queues, budgets and schedules."""
    async with source.reading() as snapshot:
        reader = Reader(snapshot, QueuePolicy(), names={})
        interests = (await reader.answer(GetInterests(), 0)).interests
        queues = (await reader.answer(ListQueues(QUEUES), 0)).queues
        schedules = (await reader.answer(ListSchedules(SCHEDULES), 0)).schedules
        weights: dict[str, dict[str, int]] = {}
        for name, key, weight in await snapshot.fetch("fair_weights"):
            weights.setdefault(name, {})[key] = weight
        budgets = (await reader.answer(ListBudgets(), 0)).budgets
    for info in queues:
        if wanted.has(info.name):
            yield Line(
                queue=QueueLine(
                    info.name,
                    info.created_at,
                    info.settings,
                    info.paused,
                    info.paused_until,
                    interests.get(info.name),
                    info.paused_types,
                    weights.get(info.name, {}),
                )
            )
    for one in [found.budget for found in budgets]:
        burst = None if one.per_ms is None else one.burst
        yield Line(budget=BudgetLine(one.name, one.limit, one.created_at, one.per_ms, burst, one.blocked_until))
    for schedule in schedules:
        if schedule.unreadable:
            progress.problems.append(f"the schedule {schedule.name} can't be read")
        elif not wanted.queues or (not schedule.spec.publish and wanted.has(schedule.spec.job.queue)):
            yield Line(schedule=exported.line_of_schedule(schedule))


async def _answers(source: ExportSource, wanted: Wanted, progress: Progress) -> AsyncIterator[Line]:
    """Kept answers: of the chosen queues alone, as one to a call over several queues would name jobs that are not there."""
    after = ("", "")
    while True:
        async with source.reading() as snapshot:
            found = await snapshot.fetch("export_answers", *after, EXPORT_PAGE_JOBS)
        for scope, key, digest, receipts, at in found:
            if not wanted.has(scope):
                continue
            try:
                formats.receipts_of(bytes(receipts))
            except formats.UNREADABLE as error:
                progress.problems.append(
                    f"the answer to the idempotency key {key} of {scope or 'several queues'} can't be read: {error}"
                )
                continue
            yield Line(answer=AnswerLine(scope, key, bytes(digest), Raw(bytes(receipts)), at))
        if len(found) < EXPORT_PAGE_JOBS:
            return
        after = (found[-1][0], found[-1][1])


class _Batches:
    """Batches of jobs: of a whole store alone, as they count all of their members. The oldest first: one whose closing job joins another comes
    after that. A store in use makes further ones while its jobs are written, and puts closing jobs: that comes behind the jobs.
    """

    def __init__(self, source: ExportSource) -> None:
        self._source = source
        self._known: dict[int, BatchLine | None] = {}  # of each that is written: what of it may still change, without the jobs

    async def before(self) -> AsyncIterator[Line]:
        """Those that there are."""
        for number in await self._ids(ID_MAX):
            line = await self._line(number)
            if line is not None:
                yield Line(batch=line)
                goes_on = not line.closed or line.closing
                self._known[number] = replace(line, closing=[]) if goes_on else None

    async def behind(self, last: int) -> AsyncIterator[Line]:
        """Those that were made before the last job; and again those that were closed, or of whose closing jobs some were put before it."""
        for number in await self._ids(last):
            known = self._known.get(number)
            if known is None and number in self._known:
                continue
            line = await self._line(number, last)
            if line is not None and known is not None:
                line.closing = []
                line.marks = {on: mark for on, mark in line.marks.items() if mark > 0 and known.marks[on] != mark}
            if line is not None and (known is None or line.marks or line.closed != known.closed):
                yield Line(batch=line)

    async def _ids(self, last: int) -> list[int]:
        before, ids = last + 1, list[int]()
        while True:
            async with self._source.reading() as snapshot:
                found = await snapshot.fetch("job_batches_before", before, None, _PAGE)
            ids += [row[0] for row in found]
            if len(found) < _PAGE:
                return ids[::-1]
            before = found[-1][0]

    async def _line(self, number: int, last: int | None = None) -> BatchLine | None:
        """The line of one, behind the last job if that is given; None if it is gone."""
        async with self._source.reading() as snapshot:
            row = next(iter(await snapshot.fetch("job_batch_one", number)), None)
            if row is None:
                return None
            found = rows.job_batch_of(row)
            closing = rows.closing_jobs_of(await snapshot.fetch("closing_jobs", number), number)
            for on in Closing:
                if last is not None and (found.mark(on) or 0) > last:
                    await self._put_later(snapshot, found, on, closing)
            ((_, concluded, _, cancelled),) = await snapshot.fetch("count_members", number)
        return exported.line_of_batch(found, closing, concluded, cancelled, last is not None)

    @staticmethod
    async def _put_later(snapshot: Snapshot, found: JobBatch, on: Closing, closing: dict[Closing, ClosingJob]) -> None:
        """Of a closing job that was put behind the last job of this export: it waits as before."""
        for whole in await _whole(snapshot, await _jobs(snapshot, [found.mark(on) or 0], Progress(0))):
            job, content = whole.job, whole.content
            budgets = without_charges(job.extras.budgets, job.extras.queue_budgets)
            extras = replace(job.extras, closes=None, worker=None, unreadable=None, budgets=budgets, queue_budgets=())
            new = NewJob(
                job.queue, content.payload, content.type, content.content_type, job.priority, max_attempts=job.max_attempts, extras=extras
            )  # fmt: skip
            closing[on] = ClosingJob(on, new)
            found.set_mark(on, WAITS)


async def _page(source: ExportSource, wanted: Wanted, progress: Progress) -> tuple[int, list[Whole]] | None:
    """The next jobs, of those that are wanted, and the last one that was looked at; None at the end."""
    async with source.reading() as snapshot:
        sizes = await snapshot.fetch("export_sizes", progress.after, EXPORT_PAGE_JOBS)
        if not sizes:
            return None
        ids = _within([(row[0], row[1]) for row in sizes])
        jobs = await _jobs(snapshot, ids, progress)
        chosen = [job for job in jobs if wanted.has(job.queue) and (not wanted.states or job.state in wanted.states)]
        return ids[-1], await _whole(snapshot, chosen) if chosen else []


def _within(sizes: Sequence[tuple[int, int]]) -> list[int]:
    ids: list[int] = []
    weight = 0
    for job_id, size in sizes:
        weight += size
        if ids and weight > EXPORT_PAGE_BYTES:
            break
        ids.append(job_id)
    return ids


async def _jobs(snapshot: Snapshot, ids: list[int], progress: Progress) -> list[Job]:
    found = {row[0]: row for row in await snapshot.fetch("export_jobs", ids[0], ids[-1])}
    for missing in [job_id for job_id in ids if job_id not in found]:  # held by its group, or damaged
        for row in await snapshot.fetch("misplaced_job", missing):
            found[missing] = row
    names = {row[0]: row[1] for row in await snapshot.fetch("queue_names_of", list({row[1] for row in found.values()}))}
    jobs = []
    for job_id in ids:
        if job_id not in found:
            progress.problems.append(f"job {job_id} is in no state")
            continue
        row = found[job_id]
        try:
            jobs.append(rows.job_of(row, names[row[1]]))
        except formats.UNREADABLE as error:
            progress.problems.append(f"job {job_id} can't be read: {error}")
    return jobs


async def _whole(snapshot: Snapshot, jobs: list[Job]) -> list[Whole]:
    ids = [job.id for job in jobs]
    contents = {row[0]: rows.content_of(row[1:]) for row in await snapshot.fetch("export_contents", ids)}
    noted = {row[0]: bytes(row[1]) for row in await snapshot.fetch("progress_of", ids)}
    ended: dict[int, Any] = {row[0]: row for row in await snapshot.fetch("export_results", ids)}
    errors: dict[int, list[JobError]] = {}
    for job_id, *row in await snapshot.fetch("export_errors", ids):
        errors.setdefault(job_id, []).append(rows.error_of(row))
    whole = []
    for job in jobs:
        _, result, followers = ended.get(job.id, (job.id, None, None))
        then = [] if followers is None else rows.receipts_of(bytes(followers), "followers", job.id) or []
        content = contents.get(job.id, Content("", None, b""))
        whole.append(
            Whole(job, content, noted.get(job.id), None if result is None else bytes(result), errors.get(job.id, []), then)
        )
    return whole
