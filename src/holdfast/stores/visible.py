"""The rows within the scope of a read, for every SQL store."""

from collections.abc import Awaitable, Callable, Sequence

from holdfast.auth.scope import Scope
from holdfast.messages.queries import CountJobs, ListJobs
from holdfast.stores import rows
from holdfast.stores.rows import Row

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


def is_scoped(query: ListJobs | CountJobs) -> bool:
    """Whether rows of queues outside the scope have to be filtered out; a queue named in the query was checked before."""
    return query.scope is not None and query.queue is None


def scope_values(query: ListJobs | CountJobs) -> dict[str, str]:
    """The values for that."""
    scope = query.scope
    return {} if scope is None else {"names": rows.json_text(scope.names), "prefixes": rows.json_text(scope.prefixes)}
