"""Routes for fair shares."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast import limits
from holdfast.doors.rest.bounds import bounds
from holdfast.doors.rest.parameters import Queue
from holdfast.doors.rest.state import AppState
from holdfast.http.route import Route, delete, get, put
from holdfast.messages.fair_views import ShareInfo

Key = Annotated[str, bounds("The fair key.", minLength=1, maxLength=limits.FAIR_KEY_CHARS)]


class WeightIn(msgspec.Struct, forbid_unknown_fields=True):
    """The weight of a fair key: with 4 it gets four times what one with 1 gets, the weight of keys without one of their own."""

    weight: Annotated[int, bounds("How large its share is.", minimum=1, maximum=limits.FAIR_WEIGHT_MAX)]


class ShareOut(msgspec.Struct, kw_only=True):
    """A fair key of a queue; null: jobs without one. `waiting`: jobs that wait for their turn; `leased`: of the first 10,000 that are leased; `share`:
    what it gets of the leases while the same keys wait.
    """

    key: str | None
    waiting: int
    leased: int
    weight: int
    weight_set: bool
    share: float


class SharesOut(msgspec.Struct, kw_only=True):
    """Some fair keys of a queue. `keys`: how many have jobs that wait; `waiting`: how many jobs these are; `sorting`: they are still being sorted by
    their keys, or the queue stops being fair.
    """

    queue: str
    fair: bool
    sorting: bool
    keys: int
    waiting: int
    some: list[ShareOut]
    next_after: Annotated[str, bounds("`after` of the next page.")] | UnsetType | None = UNSET


@get("/v1/queues/{queue}/fair", tags=["queues"], summary="The fair shares of a queue")
async def list_shares(
    state: AppState,
    queue: Queue,
    limit: Annotated[int, bounds("How many keys.", minimum=1, maximum=limits.LIST_LIMIT)] = limits.LIST_LIMIT_DEFAULT,
    after: Annotated[str, Meta(description="In the order of the keys, those behind this; empty: from the first.")]
    | None = None,
) -> SharesOut:
    """The keys with most jobs waiting first, or all page by page in the order of the keys."""
    found = await state.engine.fair.some(queue, limit, after)
    out = SharesOut(
        queue=found.queue,
        fair=found.fair,
        sorting=found.sorting,
        keys=found.keys,
        waiting=found.waiting,
        some=[shown(one) for one in found.shares],
    )
    if after is not None:
        out.next_after = found.after
    return out


@get("/v1/queues/{queue}/fair/{key}", tags=["queues"], summary="One fair key of a queue")
async def get_share(state: AppState, queue: Queue, key: Key) -> ShareOut:
    """Whether or not there is anything of it."""
    return shown(await state.engine.fair.one(queue, key))


@put("/v1/queues/{queue}/fair", tags=["queues"], summary="Set the weight of jobs without a fair key")
async def set_weight_of_others(state: AppState, queue: Queue, data: WeightIn) -> ShareOut:
    """They share the queue as if they had one key."""
    return shown(await state.engine.fair.weigh(queue, "", data.weight))


@put("/v1/queues/{queue}/fair/{key}", tags=["queues"], summary="Set the weight of a fair key")
async def set_weight(state: AppState, queue: Queue, key: Key, data: WeightIn) -> ShareOut:
    """From its next start on, also for what waits."""
    return shown(await state.engine.fair.weigh(queue, key, data.weight))


@delete("/v1/queues/{queue}/fair/{key}", tags=["queues"], summary="Give a fair key its usual weight")
async def unset_weight(state: AppState, queue: Queue, key: Key) -> None:
    """1, as keys have that were never given one."""
    await state.engine.fair.weigh(queue, key, None)


def shown(one: ShareInfo) -> ShareOut:
    """A fair key as the API shows it."""
    return ShareOut(
        key=one.key or None,
        waiting=one.waiting,
        leased=one.leased,
        weight=one.weight,
        weight_set=one.weighted,
        share=one.share / 1_000,
    )


ROUTES: list[Route] = [list_shares, get_share, set_weight_of_others, set_weight, unset_weight]
