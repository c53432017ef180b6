"""The rows within the scope of a read, for every SQL store."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from holdfast.auth.scope import Scope
from holdfast.job import registry
from holdfast.job.registry import Worker
from holdfast.limits import LIST_LIMIT, PAGE_BYTES
from holdfast.messages.operations import FindJobs
from holdfast.messages.queries import CountJobs, ListJobs
from holdfast.stores import rows
from holdfast.stores.rows import Row
from holdfast.stores.snapshot import Snapshot

T = TypeVar("T")
K = TypeVar("K", str, tuple[int, str], tuple[str])
P = TypeVar("P", tuple[int, str], tuple[str])
_QUEUES_AT_ONCE = 1_000


async def seen_queues(
    fetch: Callable[..., Awaitable[Sequence[Row]]], scope: Scope | None, after: str, limit: int
) -> Sequence[Row]:
    """The next queues by name of those that may be seen."""
    if scope is None:
        return await fetch("queues_after", after, limit)
    found: list[Row] = []
    while len(found) < limit:
        page = await fetch("queues_after", after, _QUEUES_AT_ONCE)
        found += [row for row in page if scope.sees(row[1])]
        if len(page) < _QUEUES_AT_ONCE:
            break
        after = page[-1][1]
    return found[:limit]


async def seen_page(
    snapshot: Snapshot,
    statement: str,
    after: P,
    limit: int,
    read: Callable[[Row], T],
    is_seen: Callable[[T], bool],
    place: Callable[[T], P],
) -> tuple[list[T], P | None]:
    """A page of what may be seen, and the place of its last to go on from: no cursor names what can't be seen."""
    seen: list[T] = []
    while True:
        page, cut = await snapshot.within(PAGE_BYTES, statement, *after, limit + 1)
        found = [read(row) for row in page[:limit]]
        seen += [one for one in found if is_seen(one)]
        following = later(place(found[-1]), after) if cut or len(page) > limit else None
        if following is None and len(seen) <= limit:
            return seen, None
        if seen and (following is None or cut or len(seen) >= limit):
            seen = seen[:limit]
            return seen, place(seen[-1])
        assert following is not None, "or it had come to its end"
        after = following
        await snapshot.pause()


async def seen_workers(
    snapshot: Snapshot, scope: Scope | None, after: tuple[int, str], limit: int
) -> tuple[list[Worker], tuple[int, str] | None]:
    """The next workers as they were registered, of those that may be seen, and the place to go on from."""
    return await seen_page(
        snapshot,
        "workers_after",
        after,
        limit,
        rows.worker_of,
        lambda worker: registry.is_seen(worker, scope),
        lambda worker: (worker.registered_at, worker.id),
    )


async def count_seen_workers(snapshot: Snapshot, scope: Scope) -> int:
    """How many registered workers may be seen."""
    count = 0
    after: tuple[int, str] | None = (-1, "")
    while after is not None:
        found, after = await seen_workers(snapshot, scope, after, LIST_LIMIT)
        count += len(found)
    return count


def later(key: K, after: K) -> K | None:
    """Where to go on from. None where that is no further on: a name that is no text stands elsewhere than what is shown of it would."""
    return key if key > after else None


def is_scoped(query: ListJobs | CountJobs) -> bool:
    """Whether rows of queues outside the scope have to be filtered out; a queue named in the query was checked before."""
    return query.scope is not None and query.queue is None


def scope_values(query: ListJobs | CountJobs | FindJobs) -> dict[str, str]:
    """The values for that."""
    scope = query.scope
    return {} if scope is None else {"names": rows.json_text(scope.names), "prefixes": rows.json_text(scope.prefixes)}
