"""The numbers of every queue and of the store, for the API, the metrics and the page."""

import heapq
import time

import structlog

from holdfast.committer.totals import Totals
from holdfast.errors import HoldfastError, InternalError, StoreUnavailable
from holdfast.job.queue import Tally
from holdfast.limits import UNREADABLE_SHOWN
from holdfast.messages.commands import Refused
from holdfast.messages.queries import (
    CountUrgent,
    GetQueue,
    GetStats,
    ListQueues,
    OldestReady,
    QueueCounts,
    QueueInfo,
    QueuePage,
    QueueStats,
    ReadyAges,
    Stats,
    StoreStats,
    TubeFacts,
)
from holdfast.stores.store import Store, StoreBroken
from holdfast.stores.unreadable import FOUND

log = structlog.get_logger(__name__)
_PAGE = 1_000
_NEARLY_FULL = 0.8  # of a bound


async def gather(store: Store, totals: Totals, now: int, reports: dict[int, bytes]) -> Stats:
    """Counts, ages, totals and rates of every queue, and how the store is doing."""
    queues: list[QueueStats] = []
    after: str | None = ""
    while after is not None:
        page = await store.read(ListQueues(_PAGE, after), now)
        assert isinstance(page, QueuePage), "queues are answered with a page of queues"
        ages = await store.read(OldestReady([info.name for info in page.queues if info.tally.ready]), now)
        assert isinstance(ages, ReadyAges), "ages are answered with ages"
        for info in page.queues:
            oldest = ages.ready_at.get(info.name)
            counts, rates = totals.of(info.name)
            queues.append(QueueStats(info, None if oldest is None else max(0, now - oldest), counts, rates))
        after = page.after
    return Stats(queues, of_store(store, totals), now, reports)


async def gather_some(store: Store, totals: Totals, query: GetStats, now: int) -> Stats:
    """What `gather` gives, of the queues that were asked for only: what is costly, the age of a queue's oldest job, is looked up for these."""
    if query.only is not None:
        info = await store.read(GetQueue(query.only), now)
        assert isinstance(info, QueueInfo), "a queue is answered with the queue"
        return Stats(await _with_ages(store, totals, [info], now), of_store(store, totals), now)
    infos: list[QueueInfo] = []
    after: str | None = ""
    while after is not None:
        page = await store.read(ListQueues(_PAGE, after), now)
        assert isinstance(page, QueuePage), "queues are answered with a page of queues"
        infos += page.queues
        after = page.after
    fit = [info for info in infos if query.named in info.name]
    found = len(fit)
    if query.most is not None and found > query.most:
        fit = heapq.nsmallest(query.most, fit, key=lambda info: _urgency(info, totals))
    tallies = [info.tally for info in infos]
    tally = Tally(*[sum(getattr(one, name) for one in tallies) for name in Tally.__struct_fields__])
    queues = await _with_ages(store, totals, fit, now)
    return Stats(queues, of_store(store, totals), now, {}, len(infos), found, tally, totals.rates_of_all())


async def _with_ages(store: Store, totals: Totals, infos: list[QueueInfo], now: int) -> list[QueueStats]:
    ages = await store.read(OldestReady([info.name for info in infos if info.tally.ready]), now)
    assert isinstance(ages, ReadyAges), "ages are answered with ages"
    found = []
    for info in infos:
        oldest = ages.ready_at.get(info.name)
        found.append(QueueStats(info, None if oldest is None else max(0, now - oldest), *totals.of(info.name)))
    return found


def _urgency(info: QueueInfo, totals: Totals) -> tuple[int, int, str]:
    """Where a queue stands among many: full, paused, failing and dead ones first, then those where nobody works, then those with the most jobs."""
    tally, policy = info.tally, info.policy
    full = max(tally.unfinished / max(1, policy.capacity_jobs), tally.bytes / max(1, policy.capacity_bytes))
    left_alone = tally.ready > 0 and tally.leased == 0
    if full >= _NEARLY_FULL or tally.dead or (info.paused and tally.unfinished) or totals.fails(info.name):
        rank = 0
    else:
        rank = 1 if left_alone else 2
    return rank, -tally.unfinished, info.name


async def of_tube(store: Store, totals: Totals, name: str, now: int) -> TubeFacts:
    """What there is to tell of one queue to a client of beanstalkd."""
    info = await store.read(GetQueue(name), now)
    assert isinstance(info, QueueInfo), "a queue is answered with the queue"
    urgent = await store.read(CountUrgent([name]), now)
    assert isinstance(urgent, QueueCounts), "counts are answered with counts"
    return TubeFacts(info, totals.of(name)[0], urgent.counts.get(name, 0), now)


def of_store(store: Store, totals: Totals) -> StoreStats:
    """How the store is doing."""
    health = store.health()
    return StoreStats(
        commits=totals.commits,
        commands=totals.commands,
        batch_buckets=totals.batch_buckets,
        commit_buckets=totals.commit_buckets,
        commit_seconds=totals.commit_seconds,
        file_bytes=health.file_bytes,
        wal_bytes=health.wal_bytes,
        disk_free_bytes=health.disk_free_bytes,
        accepting=health.accepting,
        uptime_ms=round((time.monotonic() - totals.started) * 1000),
        reason=None if health.accepting else health.reason,
        replication=health.replication,
        commit_busy_seconds=totals.commit_busy.longest.seconds,
        loop_busy_seconds=totals.loop_busy.longest.seconds,
        clock_behind_ms=totals.clock_behind_ms,
        clock_steps=totals.clock_steps,
        schedules_aside=totals.schedules_aside,
        jobs_aside=totals.jobs_aside,
        unreadable=dict(FOUND.counts),
        set_aside=FOUND.sentences(UNREADABLE_SHOWN) if FOUND.counts else [],
        held_queues=list(health.held_queues),
        jobs_why=totals.jobs_why,
    )


def refusal(error: Exception) -> Refused:
    """A query that could not be answered, as an answer."""
    if isinstance(error, HoldfastError):
        return Refused(error.code, error.detail, error.fields)
    if isinstance(error, StoreBroken):
        return Refused(StoreUnavailable.code, "The store can't be read.", {"retry_after_ms": 1_000})
    log.error("a query raised", exc_info=error)
    return Refused(InternalError.code, "A defect in Holdfast. The log has the details.")
