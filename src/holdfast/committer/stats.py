"""The numbers of every queue and of the store, for the API, the metrics and the page."""

import asyncio
import heapq
import time
from typing import Any

from holdfast import busy
from holdfast.committer.totals import Numbers, Totals
from holdfast.errors import HoldfastError, InternalError, StoreUnavailable
from holdfast.job.queue import Tally
from holdfast.limits import UNREADABLE_SHOWN
from holdfast.logs import structlog
from holdfast.messages.answers import Counted
from holdfast.messages.budget_commands import ListBudgets
from holdfast.messages.fair_commands import CountFairKeys
from holdfast.messages.frame import Refused
from holdfast.messages.job_batches import OldestJobBatch
from holdfast.messages.queries import CountUrgent, GetQueue, GetStats, ListQueues, OldestReady
from holdfast.messages.views import QueueInfo, QueueStats, Stats, StoreStats, TubeFacts
from holdfast.stores.store import Store, StoreBroken
from holdfast.stores.unreadable import FOUND

log = structlog.get_logger(__name__)
_PAGE = 500  # queues processed in one go: some milliseconds
_NEARLY_FULL = 0.8  # of a bound


async def gather(store: Store, totals: Totals, query: GetStats, now: int, reports: dict[int, bytes]) -> Stats:
    """Counts, ages, totals and rates of the requested queues, sums over all of them, and the store's health.

    All queues are walked a page at a time, and others go on between two pages.
    """
    if query.only is not None:
        info = await store.read(GetQueue(query.only), now)
        return Stats(await _with_ages(store, totals, [info], now), of_store(store, totals), now)
    order = _busyness if query.busiest else _urgency
    best: list[tuple[Any, QueueInfo]] = []
    waiting: list[str] = []
    count = found = 0
    tally = Tally()
    seen = Numbers({}, {}, {}, {})
    after: str | None = ""
    while after is not None:
        page = await store.read(ListQueues(_PAGE, after, scope=query.scope), now)
        count += len(page.queues)
        _add(tally, [info.tally for info in page.queues])
        if query.scope is not None:
            _add_numbers(seen, [totals.of(info.name) for info in page.queues])
        fit = [(order(info, totals), info) for info in page.queues if query.named in info.name]
        found += len(fit)
        best += fit
        if len(best) > query.most:
            best = heapq.nsmallest(query.most, best)
        if query.busiest:
            waiting += [info.name for info in page.queues if info.tally.ready]
        after = page.after
        await asyncio.sleep(0)  # in memory a read waits for nothing
    queues = await _with_ages(store, totals, [info for _, info in best], now)
    shown = {queue.info.name for queue in queues}
    oldest = await _oldest(store, [name for name in waiting if name not in shown], now)
    if query.scope is None:
        seen = totals.of_all()
    oldest_batch = await store.read(OldestJobBatch(), now) if query.scope is None else Counted(0)
    return Stats(
        queues,
        of_store(store, totals, oldest_batch.count),
        now,
        reports,
        count,
        found,
        tally,
        seen.totals,
        seen.rates,
        None if oldest is None else now - oldest,
        (await store.read(ListBudgets(), now)).budgets if query.scope is None else [],
        seen.rates_10s,
        seen.rates_1h,
    )


def _add(sums: Tally, tallies: list[Tally]) -> None:
    for name in Tally.__struct_fields__:
        setattr(sums, name, getattr(sums, name) + sum([getattr(tally, name) for tally in tallies]))


def _add_numbers(sums: Numbers, of_queues: list[Numbers]) -> None:
    for name in Numbers._fields:
        into = getattr(sums, name)
        for numbers in of_queues:
            for verb, number in getattr(numbers, name).items():
                into[verb] = into.get(verb, 0) + number


async def _oldest(store: Store, names: list[str], now: int) -> int | None:
    """When the head of the line that waits for the longest became ready, of these queues."""
    heads = await _ready_since(store, names, now)
    return min(heads.values(), default=None)


async def _ready_since(store: Store, names: list[str], now: int) -> dict[str, int]:
    """By queue, when the head of its line became ready."""
    found: dict[str, int] = {}
    for first in range(0, len(names), _PAGE):
        ages = await store.read(OldestReady(names[first : first + _PAGE]), now)
        found.update(ages.ready_at)
        await asyncio.sleep(0)
    return found


async def _with_ages(store: Store, totals: Totals, infos: list[QueueInfo], now: int) -> list[QueueStats]:
    heads = await _ready_since(store, [info.name for info in infos if info.tally.ready], now)
    is_fair = any(info.policy.fair for info in infos)
    keys = (await store.read(CountFairKeys(), now)).counts if is_fair else {}
    found = []
    for info in infos:
        oldest = heads.get(info.name)
        waits = keys.get(info.name, 0) if info.policy.fair else None
        of_it = totals.of(info.name)
        age = None if oldest is None else max(0, now - oldest)
        found.append(QueueStats(info, age, of_it.totals, of_it.rates, waits, of_it.rates_10s, of_it.rates_1h))
    return found


def _urgency(info: QueueInfo, totals: Totals) -> tuple[int, int, str]:
    """Sort key for attention: full, paused, failing and dead queues first, then those without workers, then those with the most
    jobs.
    """
    tally, policy = info.tally, info.policy
    full = max(tally.unfinished / max(1, policy.capacity_jobs), tally.bytes / max(1, policy.capacity_bytes))
    left_alone = tally.ready > 0 and tally.leased == 0
    if full >= _NEARLY_FULL or tally.dead or (info.paused and tally.unfinished) or totals.fails(info.name):
        rank = 0
    else:
        rank = 1 if left_alone else 2
    return rank, -tally.unfinished, info.name


def _busyness(info: QueueInfo, totals: Totals) -> tuple[int, str]:
    """Sort key by what a queue holds and has done, which changes little between two reads."""
    return -info.tally.unfinished - totals.done(info.name), info.name


async def of_tube(store: Store, totals: Totals, name: str, now: int) -> TubeFacts:
    """The statistics of one queue for the beanstalkd door."""
    info = await store.read(GetQueue(name), now)
    urgent = await store.read(CountUrgent([name]), now)
    return TubeFacts(info, totals.of(name).totals, urgent.counts.get(name, 0), now)


def of_store(store: Store, totals: Totals, oldest_batch_ms: int = 0) -> StoreStats:
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
        loop_busy_seconds=busy.LOOP.longest.seconds,
        clock_behind_ms=totals.clock_behind_ms,
        clock_steps=totals.clock_steps,
        schedules_aside=totals.schedules_aside,
        jobs_aside=totals.jobs_aside,
        operations=dict(totals.operations),
        unreadable=dict(FOUND.counts),
        set_aside=FOUND.sentences(UNREADABLE_SHOWN) if FOUND.counts else [],
        held_queues=list(health.held_queues),
        jobs_why=totals.jobs_why,
        audit=dict(totals.audit),
        backups=totals.backups,
        job_batches=dict(totals.job_batches),
        inbox=health.inbox,
        taken_in=dict(totals.taken_in),
        oldest_batch_ms=oldest_batch_ms,
    )


def refusal(error: Exception) -> Refused:
    """A query that could not be answered, as an answer."""
    if isinstance(error, HoldfastError):
        return Refused(error.code, error.detail, error.fields)
    if isinstance(error, StoreBroken):
        return Refused(StoreUnavailable.code, "The store can't be read.", {"retry_after_ms": 1_000})
    log.error("a query raised", exc_info=error)
    return Refused(InternalError.code, "A defect in Holdfast. The log has the details.")
