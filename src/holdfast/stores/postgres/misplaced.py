"""Looking for a job that is not found in its state by its id.

A job that is held by its group is stored under the group's key, which is in its extras. These are decoded here: a cast in SQL
would fail the whole statement if they are not JSON.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.stores.formats import UNREADABLE, extras_of

Fetch = Callable[..., Awaitable[Sequence[Any]]]


async def misplaced(fetch: Fetch, job_id: int) -> Sequence[Any]:
    """Its row among the held jobs; else among the ready ones, found by a scan."""
    kept = await fetch("extras_of", job_id)
    if not kept:
        return []
    try:
        key = None if kept[0][0] is None else extras_of(kept[0][0]).group_key
    except UNREADABLE:
        key = None
    return (key is not None and await fetch("held_job", job_id, key)) or await fetch("misplaced_job", job_id)
