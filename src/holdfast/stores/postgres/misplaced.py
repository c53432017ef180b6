"""A job that is not found in its state by its number alone.

One that waits for its group stands under the group's key, which is in its extras. These are decoded here: a cast in SQL would fail the whole
statement where they are no JSON.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.stores.formats import UNREADABLE, extras_of

Fetch = Callable[..., Awaitable[Sequence[Any]]]


async def misplaced(fetch: Fetch, job_id: int) -> Sequence[Any]:
    """Its row as a held job; else wherever it is ready, found by looking at all that is."""
    kept = await fetch("extras_of", job_id)
    if not kept:
        return []
    try:
        key = None if kept[0][0] is None else extras_of(kept[0][0]).group_key
    except UNREADABLE:
        key = None
    return (key is not None and await fetch("held_job", job_id, key)) or await fetch("misplaced_job", job_id)
