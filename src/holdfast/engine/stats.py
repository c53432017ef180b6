"""The numbers of every queue and of the store, for the API, the metrics and the page."""

import time

import structlog

from holdfast.engine.commands import Refused
from holdfast.engine.totals import Totals
from holdfast.errors import HoldfastError, InternalError, StoreUnavailable
from holdfast.stores.queries import (
    CountUrgent,
    GetQueue,
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

log = structlog.get_logger(__name__)
_PAGE = 1_000


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
    )


def refusal(error: Exception) -> Refused:
    """A query that could not be answered, as an answer."""
    if isinstance(error, HoldfastError):
        return Refused(error.code, error.detail, error.fields)
    if isinstance(error, StoreBroken):
        return Refused(StoreUnavailable.code, "The store can't be read.", {"retry_after_ms": 1_000})
    log.error("a query raised", exc_info=error)
    return Refused(InternalError.code, "A defect in Holdfast. The log has the details.")
