"""Batches of jobs, as they are read: one, a page of them, and the members of one by their ids."""

from collections.abc import Awaitable, Callable, Sequence

from holdfast.auth.scope import Scope, sees
from holdfast.errors import BatchNotFound, InvalidRequest
from holdfast.job.closing import Closing
from holdfast.job.job import UNFINISHED, Job, State
from holdfast.job.job_batch import JobBatch, is_seen
from holdfast.job.operation import JobFilter
from holdfast.limits import COUNT_SCANNED, ID_MAX, LIST_SCANNED, OPERATION_SCANNED, PAGE_BYTES
from holdfast.messages.answers import Counted
from holdfast.messages.job_batches import (
    GetJobBatch,
    JobBatchInfo,
    JobBatchPage,
    ListJobBatches,
    ListMembers,
    MemberPage,
    shown_closing,
)
from holdfast.messages.operations import FindJobs, FoundJobs
from holdfast.messages.queries import CountJobs, ListJobs
from holdfast.messages.views import JobCounts, JobDetail, JobPage
from holdfast.stores import rows
from holdfast.stores.list_statements import matching_sql
from holdfast.stores.matching import values_of
from holdfast.stores.rows import Row
from holdfast.stores.snapshot import Snapshot

Wanted = ListJobs | CountJobs | JobFilter
Jobs = Callable[[Sequence[Row]], Awaitable[list[Job]]]
_AT_ONCE = 200  # members that are read together


async def one(snapshot: Snapshot, query: GetJobBatch) -> JobBatchInfo:
    """One batch with what became of its closing jobs."""
    batch = await _batch(snapshot, query)
    kept = {}
    for due, _, refusal, queue, _ in await snapshot.fetch("closing_jobs", batch.id):
        if due in set(Closing):
            kept[Closing(due)] = (queue if sees(query.scope, queue) else "", refusal)
    return JobBatchInfo(batch, shown_closing(batch, kept))


async def _batch(snapshot: Snapshot, query: GetJobBatch | ListMembers) -> JobBatch:
    found = await snapshot.fetch("job_batch_one", query.id)
    if not found or not is_seen(batch := rows.job_batch_of(found[0]), query.scope):
        raise BatchNotFound(f"There is no batch {query.id}.", batch=query.id)
    return batch


async def page(snapshot: Snapshot, query: ListJobBatches) -> JobBatchPage:
    """A page of batches, the newest first."""
    seen: list[JobBatch] = []
    before = ID_MAX + 1 if query.before is None else query.before
    while True:
        found = [
            rows.job_batch_of(row) for row in await snapshot.fetch("job_batches_before", before, query.state, query.limit + 1)
        ]
        seen += [batch for batch in found if is_seen(batch, query.scope)]
        if len(found) <= query.limit or len(seen) > query.limit:
            break
        before = found[-1].id
        await snapshot.pause()
    return JobBatchPage(seen[: query.limit], seen[query.limit - 1].id if len(seen) > query.limit else None)


async def oldest_ms(snapshot: Snapshot, now: int) -> Counted:
    """How old the oldest batch is that is not finished."""
    found = await snapshot.fetch("oldest_job_batch")
    return Counted(max(0, now - int(found[0][0])) if found else 0)


async def unfinished(snapshot: Snapshot, query: ListMembers, jobs: Jobs) -> MemberPage:
    """Unfinished members of a batch."""
    await _batch(snapshot, query)
    ids: list[int] = []
    after: int | None = query.after
    while after is not None and len(ids) < query.limit:
        details, after = await _stretch(snapshot, query.id, after, 0, jobs, 0)
        ids += [detail.job.id for detail in details if detail.job.state in UNFINISHED]
        await snapshot.pause()
    if len(ids) > query.limit:
        ids = ids[: query.limit]
        after = ids[-1]
    return MemberPage(ids, after)


async def members(snapshot: Snapshot, query: ListJobs, queue: str | None, jobs: Jobs, now: int) -> JobPage:
    """A page of a batch's jobs by their ids, of those that match the other filters."""
    assert query.batch is not None, "it is about a batch"
    after: int | None = ID_MAX if query.reverse else 0
    if query.cursor is not None:
        after = _after(query.cursor)
    found: list[JobDetail] = []
    scanned = size = 0

    def page(last: int | None) -> JobPage:
        first = (0, (found[0].job.id,)) if found else None
        return JobPage(found, None if last is None else (0, (last,)), first, scanned)

    while after is not None:
        stretch, go_on = await _stretch(snapshot, query.batch, after, query.payload_up_to, jobs, now, reverse=query.reverse)
        for detail in await _matching(snapshot, stretch, query, queue, query.scope):
            if len(found) == query.limit or size > PAGE_BYTES:
                return page(found[-1].job.id)
            found.append(detail)
            size += len(detail.content.payload)
        after = go_on
        scanned += _AT_ONCE
        if after is not None and (scanned >= LIST_SCANNED or len(found) == query.limit):
            return page(after)
        await snapshot.pause()
    return page(None)


async def counts(snapshot: Snapshot, query: CountJobs, queue: str | None, jobs: Jobs) -> JobCounts:
    """How many of a batch's jobs match, by state, of the first of them."""
    assert query.batch is not None, "it is about a batch"
    found = {state.value: 0 for state in State if query.state in (None, state)}
    after: int | None = 0
    scanned = 0
    while after is not None and scanned < COUNT_SCANNED:
        stretch, after = await _stretch(snapshot, query.batch, after, 0, jobs, 0)
        for detail in await _matching(snapshot, stretch, query, queue, query.scope):
            found[detail.job.state.value] += 1
        scanned += _AT_ONCE
        await snapshot.pause()
    return JobCounts(found, [] if after is None else sorted(found))


async def find(snapshot: Snapshot, query: FindJobs, jobs: Jobs) -> FoundJobs:
    """The next ids of a batch's jobs that match, and up to which id all were looked at."""
    wanted = query.filter
    assert wanted.batch is not None, "it is about a batch"
    ids: list[int] = []
    after: int | None = query.after
    through = query.below - 1
    scanned = 0
    while after is not None and scanned < OPERATION_SCANNED:
        stretch, after = await _stretch(snapshot, wanted.batch, after, 0, jobs, 0)
        ids += [
            detail.job.id
            for detail in await _matching(snapshot, stretch, wanted, wanted.queue, query.scope)
            if detail.job.state in query.states and detail.job.id < query.below
        ]
        scanned += _AT_ONCE
        await snapshot.pause()
    if after is not None:
        through = min(through, after)
    return FoundJobs(ids, through, through == query.below - 1)


def _after(cursor: tuple[int, tuple[int | str, ...]]) -> int:
    start, key = cursor
    if start != 0 or len(key) != 1 or not isinstance(key[0], int) or not 0 <= key[0] <= ID_MAX:
        raise InvalidRequest("cursor must be the next_cursor of a listing with the same filters.", field="cursor")
    return key[0]


async def _stretch(
    snapshot: Snapshot, batch: int, after: int, shown: int | None, jobs: Jobs, now: int, *, reverse: bool = False
) -> tuple[list[JobDetail], int | None]:
    """The next members, by id, and the id to go on after."""
    statement = "members_before" if reverse else "members_after"
    ids = [row[0] for row in await snapshot.fetch(statement, batch, after, _AT_ONCE)]
    found = {row[0]: row for row in await snapshot.fetch("jobs_shown", ids, shown)}
    at = rows.JOB_COLUMNS
    details = []
    for number in ids:
        row = found.get(number)
        if row is not None:
            (job,) = await jobs([row])
            details.append(JobDetail(job, rows.content_of(row[at : at + 3]), now))
        else:  # held by its group, or not where its own row says
            for job in await jobs(await snapshot.fetch("misplaced_job", number)):
                content = await snapshot.fetch("content", number)
                details.append(JobDetail(job, rows.content_of(content[0] if content else ("", None, b"")), now))
    return details, ids[-1] if len(ids) == _AT_ONCE else None


async def _matching(
    snapshot: Snapshot, stretch: list[JobDetail], query: Wanted, queue: str | None, scope: Scope | None
) -> list[JobDetail]:
    """Those of some members that match all filters but the batch."""
    found = [detail for detail in stretch if _matches(detail, query, queue, scope)]
    if not found or (query.text is query.error is query.worker is None and query.cancelled_by is None and not query.field):
        return found
    asked = values_of(query, [detail.job.id for detail in found])
    ids = {row[0] for row in await snapshot.listed(matching_sql(snapshot.dialect), asked)}
    return [detail for detail in found if detail.job.id in ids]


def _matches(detail: JobDetail, query: Wanted, queue: str | None, scope: Scope | None) -> bool:
    job = detail.job
    return (
        sees(scope, job.queue)
        and (queue is None or job.queue == queue)
        and (query.state is None or job.state is query.state)
        and (query.type is None or detail.content.type == query.type)
        and (query.before is None or (job.ended_at or job.created_at) <= query.before)
        and (query.since is None or (job.ended_at or job.created_at) >= query.since)
        and (query.tag is None or query.tag in job.extras.tags)
        and all(pair in job.extras.meta for pair in query.meta)
    )
