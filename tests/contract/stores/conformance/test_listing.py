"""Listings: every job exactly once however the pages are cut, in the order that the reader promises, under every filter.

What is expected is worked out in Python from the jobs asked for one by one, so that a listing is never held against itself.
"""

import random
from collections import Counter
from itertools import pairwise

import pytest

from holdfast.errors import InvalidRequest, QueueNotFound
from holdfast.job.job import State
from holdfast.messages.commands import CancelJob, ConcludeLease, FailLease, LeaseJobs
from holdfast.messages.queries import ListJobs

TYPES = ("mail", "resize", "")
TAGS = ("red", "green", "blue")
METAS = ((), (("tenant", "7"),), (("tenant", "8"), ("region", "eu")), (('say "hi"', "back\\slash"), ("tenant", "7")))
QUEUES = ("a", "b", "c")
ORDER = [State.LEASED, State.READY, State.SCHEDULED, State.DEAD, State.CANCELLED, State.CONCLUDED]


@pytest.fixture
async def some_hundred(client, new):
    """Jobs in every state over three queues; by id, what is known of each one by itself."""
    dice = random.Random(5)
    jobs = [
        new(
            dice.choice(QUEUES),
            b'"item-%d"' % dice.randint(0, 9),
            type=dice.choice(TYPES),
            priority=dice.choice((1, 2, 1_024)),
            delay_ms=dice.choice((None, None, None, 1_000, 2_000)),
            tags=tuple(dice.sample(TAGS, dice.randint(0, 2))),
            meta=dice.choice(METAS),
            group_key=dice.choice((None, None, None, "g", "h")),
            group_limit=2,
        )
        for _ in range(400)
    ]
    await client.put_all(jobs)
    for _ in range(30):
        granted = await client.lease(*dice.sample(QUEUES, 3), limit=8)
        client.clock.advance(dice.choice((0, 0, 1)))
        ends = []
        for one in granted:
            match dice.randint(0, 9):
                case 0 | 1 | 2 | 3 | 4:
                    ends.append(ConcludeLease(one.job.ref()))
                case 5 | 6:
                    ends.append(FailLease(one.job.ref(), f"out of luck {one.job.id % 7}", retry=False))
                case 7:
                    ends.append(FailLease(one.job.ref(), f"once more {one.job.id % 7}", delay_ms=3_000))
        if ends:
            await client.together(*ends)
    for job_id in dice.sample(range(1, 401), 100):
        if await client.state(job_id) in (State.READY, State.SCHEDULED):
            await client.do(CancelJob(job_id))
    details = {job_id: await client.detail(job_id) for job_id in range(1, 401)}
    states = Counter(detail.job.state for detail in details.values())
    assert set(states) == set(State), "some state has no job to be listed"
    assert any(detail.job.held for detail in details.values())
    return details


def natural(job) -> tuple:
    """Where a job stands in the listing of its queue."""
    rank = ORDER.index(job.state)
    match job.state:
        case State.LEASED:
            return rank, job.lease.fence
        case State.READY:
            return (rank, 1, job.extras.group_key, job.id) if job.held else (rank, 0, job.priority, job.id)
        case State.SCHEDULED:
            return rank, job.ready_at, job.id
    return rank, -job.ended_at, -job.id


FILTERS = [
    {},
    *({"state": state} for state in State),
    {"type": "mail"},
    {"type": "nothing is called so"},
    {"tag": "red"},
    {"meta": (("tenant", "7"),)},
    {"meta": (("tenant", "8"), ("region", "eu"))},
    {"meta": (("tenant", "7"), ("region", "eu"))},
    {"meta": (('say "hi"', "back\\slash"),)},
    {"meta": (("tenant", ""),)},
    {"text": "item-3"},
    {"text": "luck 3"},
    {"text": "once more"},
    {"type": "resize", "tag": "blue", "text": "item", "meta": (("tenant", "7"),)},
    {"state": State.CONCLUDED, "tag": "green", "type": "mail"},
    {"state": State.READY, "text": "item-1"},
    {"worker": "w"},
    {"worker": "w", "state": State.DEAD, "text": "luck"},
    {"worker": "nobody"},
    {"since": 1_800_000_000_005},
    {"since": 1_800_000_000_003, "before": 1_800_000_000_010, "type": "mail"},
]


def workers_of(detail) -> set[str]:
    leases = [lease.worker for lease in (detail.job.lease, detail.job.ended_by) if lease is not None]
    return {*leases, *(error.worker for error in detail.errors)}


def matches(detail, state=None, type=None, tag=None, text=None, meta=(), worker=None, since=0, before=2**53) -> bool:
    job = detail.job
    return (
        since <= (job.ended_at or job.created_at) <= before
        and worker in (None, *workers_of(detail))
        and state in (None, job.state)
        and type in (None, detail.content.type)
        and (tag is None or tag in job.extras.tags)
        and set(meta) <= set(job.extras.meta)
        and (text is None or text.encode() in detail.content.payload or any(text in error.reason for error in detail.errors))
    )


async def test_every_filter_lists_each_job_that_matches_once_and_in_order_however_the_pages_are_cut(client, some_hundred):
    for filters in FILTERS:
        matching = [detail.job for detail in some_hundred.values() if matches(detail, **filters)]
        for queue in QUEUES:
            expected = sorted((job for job in matching if job.queue == queue), key=natural)
            for limit in (7, 50, 1_000):
                assert await client.walk(limit, queue=queue, **filters) == expected, (queue, limit, filters)
        for limit in (13, 1_000):
            found = await client.walk(limit, **filters)
            assert Counter(job.id for job in found) == Counter(job.id for job in matching), (limit, filters)
            assert [job.state for job in found] == sorted((job.state for job in matching), key=ORDER.index)


async def test_the_other_way_round_every_listing_is_the_same_from_its_end(client, some_hundred):
    assert some_hundred
    for filters in FILTERS:
        for queue in (None, "a"):
            expected = [job.id for job in await client.walk(1_000, queue=queue, **filters)]
            for limit in (9, 1_000):
                found = [job.id for job in await client.walk(limit, queue=queue, reverse=True, **filters)]
                assert found == expected[::-1], (queue, limit, filters)


async def test_from_the_first_row_of_a_page_the_page_before_is_read_in_reverse(client, some_hundred):
    assert some_hundred
    for filters in ({}, {"type": "mail"}, {"queue": "b"}, {"queue": "b", "state": State.CONCLUDED}):
        pages, cursor = [], None
        while True:
            page = await client.ask(ListJobs(11, cursor=cursor, **filters))
            pages.append(page)
            cursor = page.cursor
            if cursor is None:
                break
        assert len(pages) > 1
        for before, page in pairwise(pages):
            back = await client.ask(ListJobs(11, cursor=page.first, reverse=True, **filters))
            assert [one.job.id for one in back.jobs][::-1] == [one.job.id for one in before.jobs]
        assert (await client.ask(ListJobs(11, cursor=pages[0].first, reverse=True, **filters))).jobs == []


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_that_end_exactly_where_a_state_ends_lose_nothing(client, new, limit):
    await client.put_all([new() for _ in range(2 * limit)])
    await client.put_all([new(delay_ms=50) for _ in range(limit)])
    granted = await client.lease(limit=limit)
    await client.together(*(ConcludeLease(one.job.ref()) for one in granted))
    assert sorted(job.id for job in await client.walk(limit)) == list(range(1, 3 * limit + 1))
    assert sorted(job.id for job in await client.walk(limit, queue="q")) == list(range(1, 3 * limit + 1))


async def test_a_listed_job_is_shown_with_its_content(client):
    await client.put(payload=b"\x00", content_type="image/png", type="t")
    page = await client.ask(ListJobs(10))
    (detail,) = page.jobs
    assert (detail.content, detail.job, detail.now) == ((await client.detail(1)).content, await client.job(1), client.now)
    assert page.cursor is None


async def test_a_job_that_stays_where_it_is_is_listed_once_although_others_move_meanwhile(client, new):
    await client.put_all([new(priority=n % 3) for n in range(90)])
    stays = {job.id for job in await client.walk(state=State.READY)}
    seen, cursor = Counter(), None
    while True:
        page = await client.ask(ListJobs(10, queue="q", state=State.READY, cursor=cursor))
        seen.update(detail.job.id for detail in page.jobs)
        cursor = page.cursor
        if cursor is None:
            break
        moved = await client.do(LeaseJobs(("q",), 3, "w"))
        stays -= {one.job.id for one in moved.jobs}
        await client.put(priority=1)
    assert all(seen[job_id] == 1 for job_id in stays)
    assert max(seen.values()) == 1
    assert len(stays) > 50


async def test_an_empty_store_lists_nothing(client):
    page = await client.ask(ListJobs(10))
    assert (page.jobs, page.cursor) == ([], None)


async def test_a_queue_that_is_not_there_can_not_be_listed(client):
    with pytest.raises(QueueNotFound):
        await client.ask(ListJobs(10, queue="none"))


async def test_a_cursor_of_another_listing_is_refused_as_a_cursor(client, new):
    await client.put_all([new() for _ in range(5)])
    over_all = (await client.ask(ListJobs(2))).cursor
    in_one = (await client.ask(ListJobs(2, queue="q"))).cursor
    for query in (
        ListJobs(2, queue="q", cursor=over_all),
        ListJobs(2, cursor=in_one),
        ListJobs(2, cursor=(99, ())),
        ListJobs(2, cursor=(-99, ())),
        ListJobs(2, cursor=(0, (1, 2, 3, 4))),
        ListJobs(2, cursor=(0, (2**63,))),
        ListJobs(2, cursor=(0, (-(2**70),))),
    ):
        with pytest.raises(InvalidRequest) as refusal:
            await client.ask(query)
        assert refusal.value.fields == {"field": "cursor"}


@pytest.mark.parametrize("text", ["%", "_", "'", '"', "\\", "]", "é", "NULL"])
async def test_a_text_filter_looks_for_the_text_itself_and_not_for_a_pattern(client, text):
    await client.put(payload=b"nothing of it here")
    await client.put(payload=f"a {text} b".encode())
    assert [job.id for job in await client.walk(text=text)] == [2]
    await client.put(type=text)
    await client.put(tags=(text,))
    assert [job.id for job in await client.walk(type=text)] == [3]
    assert [job.id for job in await client.walk(tag=text)] == [4]


@pytest.mark.parametrize("tag", ["re", "ed", "red ", "RED", ""])
async def test_a_tag_filter_matches_whole_tags_only(client, tag):
    await client.put(tags=("red", "dark red"))
    assert await client.walk(tag=tag) == []
