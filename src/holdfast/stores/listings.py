"""Listings of jobs in an SQL store, and their counts.

A listing walks the states one after the other, each in its natural order: leased by fence, ready in the order in which they will run, scheduled
by due time, ended newest first. The cursor has the state and the key of the last row, so a page costs the same wherever it starts. With a filter
that no index serves, a page scans a bounded number of rows and may be short, with a cursor.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from holdfast.auth.scope import Scope
from holdfast.errors import InvalidRequest, QueueNotFound
from holdfast.job.job import Job, State, without_parent
from holdfast.job.operation import cancelled_by
from holdfast.job.queue import QueuePolicy
from holdfast.limits import (
    COUNT_SCANNED,
    ID_MAX,
    LIST_SCANNED,
    PAGE_BYTES,
    QUEUES,
    READ_STRETCH_S,
)
from holdfast.messages.queries import (
    CountJobs,
    ListJobs,
    is_narrowed,
)
from holdfast.messages.views import (
    JobCounts,
    JobDetail,
    JobPage,
    QueueInfo,
)
from holdfast.stores import formats, payload_fields, read_batches, rows
from holdfast.stores.list_statements import REVERSED, SECTIONS, Key, Section, bound_sql, count_sql, named, page_sql
from holdfast.stores.snapshot import Snapshot
from holdfast.stores.visible import (
    is_scoped,
    scope_values,
    seen_queues,
)

_FIRST_STRETCH = 16  # rows: each may be 1 MB to look through


class _Found(list[JobDetail]):
    """What a page has so far; `first`: the cursor of its first row; `scanned`: how many rows were looked at, at least."""

    def __init__(self) -> None:
        super().__init__()
        self.first: tuple[int, Key] | None = None
        self.scanned = 0


class Listings:
    """What a reader lists; `names` are the names of queues by id, as far as known."""

    def __init__(self, snapshot: Snapshot, defaults: QueuePolicy, names: dict[int, str]) -> None:
        self._snapshot = snapshot
        self._fetch = snapshot.fetch
        self._defaults = defaults
        self._known_names = names

    async def _row(self, statement: str, *values: Any) -> Any:
        found = await self._fetch(statement, *values)
        return found[0] if found else None

    async def _names(self, found: Sequence[Any]) -> dict[int, str]:
        missing = {row[1] for row in found} - self._known_names.keys()
        if missing:
            self._known_names.update((row[0], row[1]) for row in await self._fetch("queue_names_of", list(missing)))
        return self._known_names

    async def _jobs(self, found: Sequence[Any]) -> list[Job]:
        names = await self._names(found)
        try:
            return [rows.job_of(row, names[row[1]]) for row in found]
        except formats.UNREADABLE:
            return [rows.job_to_show(row, names.get(row[1], f"{row[1]}")) for row in found]

    def _info(self, row: Sequence[Any]) -> QueueInfo:
        queue = rows.queue_of(row, self._defaults)
        return QueueInfo(
            queue.name,
            queue.settings,
            queue.policy,
            queue.paused,
            queue.created_at,
            queue.tally,
            queue.paused_until,
            queue.paused_types,
        )

    async def _queue_id(self, name: str | None) -> int | None:
        if name is None:
            return None
        row = await self._row("queue_by_name", name)
        if row is None:
            raise QueueNotFound(f"There is no queue {name}.", queue=name)
        found: int = row[0]
        return found

    async def counts(self, query: CountJobs, now: int) -> JobCounts:
        """How many jobs a listing with these filters has."""
        queue_id = await self._queue_id(query.queue)
        if query.batch is not None:
            return replace(await read_batches.counts(self._snapshot, query, query.queue, self._jobs), now=now)
        wanted = set(State) if query.state is None else {query.state}
        if not is_narrowed(query):
            tallies = await self._tallies(queue_id, query.scope)
            by_state = {state.value: count for state, count in zip(State, tallies, strict=True) if state in wanted}
            return JobCounts(by_state, now=now)
        counts, at_least = dict.fromkeys([state.value for state in State if state in wanted], 0), []
        scanned = LIST_SCANNED if query.state is not None else COUNT_SCANNED
        values: dict[str, Any] = {"queue": queue_id, "scanned": scanned, "searched": query.text_up_to}
        values |= _filter_values(query)
        one, scoped = queue_id is not None, is_scoped(query)
        for section in SECTIONS:
            if section.state in wanted:
                counted: list[int] = []

                async def count(key: Key, rows: int, section: Section = section, counted: list[int] = counted) -> Key | None:
                    some = values | {"scanned": rows} | named("k", key)
                    bound = await self._bound(section, one, bool(key), some)
                    counting = count_sql(self._snapshot.dialect, section, one, bool(key), bool(bound), scoped)
                    ((number,),) = await self._snapshot.listed(counting, some | named("b", bound))
                    counted.append(number)
                    return bound or None

                if await self._in_stretches(count, (), scanned) is not None:
                    at_least.append(section.state.value)
                counts[section.state.value] += sum(counted)
        return JobCounts(counts, sorted(set(at_least)), now)

    async def _tallies(self, queue_id: int | None, scope: Scope | None) -> Sequence[int]:
        """How many jobs there are by state, in one queue or in all visible ones."""
        if queue_id is not None or scope is None:
            found: Sequence[int] = await self._row("tallies", queue_id)
            return found
        infos = [self._info(row) for row in await seen_queues(self._fetch, scope, "", QUEUES)]
        return [sum([getattr(info.tally, state.value) for info in infos]) for state in State]

    async def _in_stretches(self, part: "Callable[[Key, int], Awaitable[Key | None]]", key: Key, most: int) -> Key | None:
        """Scan up to `most` rows from `key` on, by calls of `part` with the key and a number of rows; returns the key to
        continue from, if there is more.

        In one go, unless that would block others: then in stretches that are short whatever the rows are like.
        """
        if not await self._snapshot.pause():
            return await part(key, most)
        rows = _FIRST_STRETCH
        while True:
            rows = min(rows, most)
            began = time.thread_time()
            go_on = await part(key, rows)
            most -= rows
            if go_on is None or go_on == key or most <= 0:
                return go_on
            key = go_on
            rows = max(1, min(2 * rows, int(rows * READ_STRETCH_S / max(1e-6, time.thread_time() - began))))
            await self._snapshot.pause()

    async def page(self, query: ListJobs, now: int) -> JobPage:
        """A page of a listing."""
        page = await self._page(query, now)
        failed = [detail.job.id for detail in page.jobs if query.last_error and detail.job.attempt]
        found = {row[0]: rows.error_of(row[1:]) for row in await self._fetch("last_errors", failed)} if failed else {}
        jobs = [replace(detail, errors=[found[detail.job.id]]) if detail.job.id in found else detail for detail in page.jobs]
        return replace(page, jobs=jobs)

    async def _page(self, query: ListJobs, now: int) -> JobPage:
        queue_id = await self._queue_id(query.queue)
        if query.batch is not None:
            return await read_batches.members(self._snapshot, query, query.queue, self._jobs, now)
        start, key = query.cursor or (0, ())
        if query.cursor is not None and not (
            0 <= start < len(SECTIONS)
            and SECTIONS[start].may_be_key(queue_id is not None, key)
            and all(isinstance(part, str) or abs(part) <= ID_MAX for part in key)
        ):
            raise InvalidRequest("cursor must be the next_cursor of a listing with the same filters.", field="cursor")
        found = _Found()
        numbers = range(len(SECTIONS))
        for number in (
            reversed(numbers[: start + 1 if query.cursor is not None else None]) if query.reverse else numbers[start:]
        ):
            section = (REVERSED if query.reverse else SECTIONS)[number]
            if query.state is not None and section.state is not query.state:
                continue
            last = await self._section(number, section, query, queue_id, key if number == start else (), found, now)
            key = ()
            if last is not None:
                return JobPage(found, (number, last), found.first, found.scanned)
        return JobPage(found, None, found.first, found.scanned)

    async def _section(
        self,
        number: int,
        section: Section,
        query: ListJobs,
        queue_id: int | None,
        key: Key,
        found: _Found,
        now: int,
    ) -> Key | None:
        """Add what one state has to the page; the key to go on from when there may be more of it."""
        if not _filtered(query):
            return await self._part(number, section, query, queue_id, key, found, now, LIST_SCANNED)

        async def part(key: Key, rows: int) -> Key | None:
            if len(found) >= query.limit:
                return key
            return await self._part(number, section, query, queue_id, key, found, now, rows)

        return await self._in_stretches(part, key, LIST_SCANNED)

    async def _part(
        self,
        number: int,
        section: Section,
        query: ListJobs,
        queue_id: int | None,
        key: Key,
        found: _Found,
        now: int,
        scanned: int,
    ) -> Key | None:
        """The same, for a number of rows."""
        left = PAGE_BYTES - sum([len(detail.content.payload) for detail in found])
        limit, one = query.limit - len(found) if left > 0 else 0, queue_id is not None
        filtered = _filtered(query)
        values: dict[str, Any] = {"queue": queue_id, "limit": limit + 1, "scanned": scanned}
        values |= _filter_values(query)
        values |= {"shown": query.payload_up_to, "searched": query.text_up_to} | named("k", key)
        bound = await self._bound(section, one, bool(key), values) if filtered else ()
        paging = page_sql(self._snapshot.dialect, section, one, bool(key), bool(bound), filtered, is_scoped(query))
        page, cut = await self._snapshot.within(left, (paging, values | named("b", bound)))
        if cut:
            limit = min(limit, len(page))
        width = len(section.key_of(one))
        jobs = await self._jobs(page[:limit])
        if query.scope is not None:
            jobs = list(map(without_parent, jobs))
        if page[:limit] and found.first is None:
            found.first = number, tuple(page[0][-width:])
        for row, job in zip(page[:limit], jobs, strict=True):
            content = rows.content_of(row[rows.JOB_COLUMNS : rows.JOB_COLUMNS + 3])
            if query.payload_up_to is None:
                content = rows.shown_content(content, job.id)
            found.append(JobDetail(job, content, now))
        if cut or len(page) > limit:
            return tuple(page[limit - 1][-width:]) if limit > 0 else key  # (): from its beginning
        found.scanned += scanned if bound else 0
        return bound or None

    async def _bound(self, section: Section, one_queue: bool, after: bool, values: Mapping[str, Any]) -> Key:
        """The key up to which a filter scans; () if fewer rows are left."""
        found = await self._snapshot.listed(bound_sql(section, one_queue, after), values)
        return tuple(found[0]) if found else ()


def _filtered(query: ListJobs) -> bool:
    return is_narrowed(query) or is_scoped(query)


def _filter_values(query: ListJobs | CountJobs) -> dict[str, Any]:
    meta = rows.json_text(dict(query.meta)) if query.meta else None
    values = {
        "type": query.type,
        "tag": query.tag,
        "text": query.text,
        "meta": meta,
        "before": query.before,
        "error": query.error,
        "worker": query.worker,
        "since": query.since,
        "ended_by": cancelled_by(query.cancelled_by),
        "field": payload_fields.written(query.field),
    }
    return values | scope_values(query)
