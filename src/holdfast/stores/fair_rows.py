"""Fair shares as they are shown, for every SQL store."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from holdfast.job import fair as rules
from holdfast.job.fair import Line, Sharing
from holdfast.job.job import Job
from holdfast.limits import POSITION_COUNTED
from holdfast.messages.fair_commands import GetShares
from holdfast.messages.fair_views import ShareInfo, ShareList, TurnFacts
from holdfast.messages.views import QueueInfo
from holdfast.stores.formats import UNREADABLE, sharing_of
from holdfast.stores.rows import fair_key_of

_LEASED = 10_000  # leased jobs that are looked at
_LINES = 1_000  # lines that are, for the place of one job

Fetch = Callable[..., Awaitable[Sequence[Any]]]


async def shares(fetch: Fetch, query: GetShares, queue: QueueInfo, number: int, text: str | None) -> ShareList:
    """Some keys of a queue."""
    keys, waiting, weights = (await fetch("fair_sums", number))[0]
    after = None
    if query.key is not None:
        found = [row for row in await fetch("fair_page", number, query.key, query.key, 1) if row[0] == query.key]
        found = found or [(query.key, 0, 1, 0)]
    elif query.after is None:
        found = list(await fetch("fair_top", number, query.limit))
    else:
        page = await fetch("fair_page", number, query.after, "", query.limit + 2)
        rest = [row for row in page if row[0] != query.after or not query.after]
        found = rest[
            : query.limit + (query.limit == 1 and bool(rest) and not rest[0][0])
        ]  # "" is before the first, and no place to go on from
        after = found[-1][0] if len(rest) > query.limit else None
    leased: dict[str, int] = {}
    for extras, count in await fetch("fair_leased", number, _LEASED):
        key = fair_key_of(extras)
        leased[key] = leased.get(key, 0) + count
    some = [
        ShareInfo(key, jobs, leased.get(key, 0), weight, bool(own), weight * 1_000 // weights if jobs and weights else 0)
        for key, jobs, weight, own in found
    ]
    return ShareList(queue.name, queue.policy.fair, is_sorting(text), keys, waiting, some, after)


def is_sorting(text: str | None) -> bool:
    """Whether the jobs of a queue are being sorted by their keys, or cleared of that."""
    sharing = _sharing(text)
    return sharing is not None and not sharing.whole


def _sharing(text: str | None) -> Sharing | None:
    try:
        return None if text is None else sharing_of(text)
    except UNREADABLE:
        return None


async def turn(fetch: Fetch, number: int, text: str | None, job: Job) -> TurnFacts | None:
    """Where a job stands in a queue that is fair; None in others."""
    sharing = _sharing(text)
    if sharing is None or not sharing.whole:
        return None
    key = job.extras.fair_key or ""
    own: int = (await fetch("fair_ahead", number, job.priority, key, job.id, POSITION_COUNTED))[0][0]
    before: int = (await fetch("fair_before", number, job.priority))[0][0]
    lines = [Line(*row) for row in await fetch("fair_head", number, job.priority, 0, _LINES)]
    mine = next((line for line in lines if line.key == key), None)
    if mine is None:
        return TurnFacts(min(POSITION_COUNTED, before + own), own, len(lines))
    start = mine.turn + own * rules.step(1, mine.weight)
    others = 0
    for line in lines:
        if line is not mine:
            pace = rules.step(1, line.weight)
            level = int((line.turn, line.last) < (start, mine.last)) if line.turn >= start else -(-(start - line.turn) // pace)
            others += min(line.waiting, level)
    return TurnFacts(min(POSITION_COUNTED, before + own + others), own, len(lines))
