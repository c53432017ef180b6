"""Routes about the server itself: statistics, events, health, metrics, and where people start."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

from msgspec import UNSET, Meta
from msgspec.structs import astuple

from holdfast import __version__
from holdfast.doors.rest import replies
from holdfast.doors.rest.answers import HealthOut, InboxOut, QueueStatsOut, ReplicationOut, StatsOut, StoreOut
from holdfast.doors.rest.budget_answers import BudgetStatsOut
from holdfast.doors.rest.state import AppState
from holdfast.engine.engine import Engine
from holdfast.engine.hub import Heard, Subscription
from holdfast.errors import HoldfastError
from holdfast.http.reply import Reply, redirect
from holdfast.http.route import Route, get
from holdfast.messages.views import QueueStats, Stats, StoreStats

EVENTS = b"text/event-stream; charset=utf-8"
_SIGN_OF_LIFE_S = 15.0
_HEALTH_S = 5.0


@get("/v1/stats", tags=["system"], summary="All numbers, by queue and in all", gives=StatsOut)
async def stats(
    state: AppState,
    named: Annotated[
        str,
        Meta(description="Of the queues only those whose name has this.", pattern="^[A-Za-z0-9._:-]{0,600}$"),
    ] = "",
) -> Reply:
    """Counts are exact; totals count since the server started; rates are per second over about a minute, ten seconds and an hour.

    `queues` are at most 1,000: if there are more, those that need attention first, then those with the most jobs.
    """
    found = await state.engine.reading.stats(named=named)
    shown = state.cached.get("stats")
    if shown is None or shown[0] is not found:  # once for all who were answered by the same read
        shown = state.cached["stats"] = (found, Reply(200, replies.encode(stats_out(found, state.engine))))
    reply: Reply = shown[1]
    return reply


def stats_out(given: Stats, engine: Engine) -> StatsOut:
    """Statistics for the wire."""
    queues = [_queue_stats(queue) for queue in sorted(given.queues, key=lambda queue: queue.info.name)]
    store = given.store
    return StatsOut(
        version=__version__,
        uptime_ms=store.uptime_ms,
        draining=engine.draining,
        jobs=replies.counts_out(given.tally),
        bytes=given.tally.bytes,
        rates=_rounded(given.rates),
        rates_10s=_rounded(given.rates_10s),
        rates_1h=_rounded(given.rates_1h),
        queue_count=given.all,
        queues=queues,
        store=StoreOut(
            replies.durability_out(engine.durability),
            store.commits,
            store.commands,
            store.file_bytes,
            store.wal_bytes,
            store.disk_free_bytes,
            store.accepting,
            store.reason,
            None if store.replication is None else ReplicationOut(*astuple(store.replication)),
        ),
        inbox=None if store.inbox is None else InboxOut(*astuple(store.inbox)),
        budgets=[
            BudgetStatsOut(
                name=info.budget.name,
                left=info.left,
                accounts=info.accounts,
                jobs=info.jobs,
                waiting=info.waiting,
                running=info.running,
                blocked=info.budget.blocked_until > info.now,
            )
            for info in given.budgets
        ],
    )


def _rounded(rates: dict[str, float]) -> dict[str, float]:
    return {verb: round(rate, 3) for verb, rate in rates.items()}


def _queue_stats(queue: QueueStats) -> QueueStatsOut:
    return QueueStatsOut(
        name=queue.info.name,
        paused=queue.info.paused,
        jobs=replies.counts_out(queue.info.tally),
        bytes=queue.info.tally.bytes,
        history_bytes=queue.info.tally.history_bytes,
        capacity_jobs=queue.info.policy.capacity_jobs,
        capacity_bytes=queue.info.policy.capacity_bytes,
        oldest_ready_ms=queue.oldest_ready_ms,
        paused_types=tuple(queue.info.paused_types) or UNSET,
        totals=queue.totals,
        rates=_rounded(queue.rates),
        rates_10s=_rounded(queue.rates_10s),
        rates_1h=_rounded(queue.rates_1h),
        fair_keys=UNSET if queue.fair_keys is None else queue.fair_keys,
    )


@get(
    "/v1/stream",
    tags=["system"],
    summary="What is committed, as server-sent events",
    gives=Any,
    media_type="text/event-stream",
)
async def stream(
    state: AppState,
    queue: Annotated[str | None, Meta(description="Only of this queue.", pattern="^[A-Za-z0-9._:-]{1,600}$")] = None,
) -> Reply:
    """One `job` event for each change of a job, an `operation` or `batch` event for each of an operation or a batch of jobs; a `gap` event has the number of events that a slow reader has missed."""
    subscription = state.engine.subscribe(queue)
    return Reply(200, content_type=EVENTS, extra=((b"x-accel-buffering", b"no"),), stream=_events(state.engine, subscription))


async def _events(engine: Engine, subscription: Subscription) -> AsyncIterator[bytes]:
    try:
        yield b": holdfast\n\n"
        while not subscription.ended:
            heard = await subscription.heard(_SIGN_OF_LIFE_S)
            text = b"" if heard is None else _text(heard)
            if subscription.missed:
                text += b'event: gap\ndata: {"missed": %d}\n\n' % subscription.missed
                subscription.missed = 0
            yield text or b": still here\n\n"
        yield b"event: end\ndata: %b\n\n" % (
            replies.encode({"code": subscription.end_code}) if subscription.end_code else b"{}"
        )
    finally:
        engine.hub.unsubscribe(subscription)


def _text(heard: Heard) -> bytes:
    """What every reader of these events is sent; made once for all of them."""
    if heard.text is None:
        lines = []
        for event in heard.events:
            kind, dot, _ = event.verb.partition(".")
            shown = {"event": event.verb, "id": event.id, "queue": event.queue}
            if not dot:
                shown["state"] = event.state
            data = replies.encode({**shown, "at": replies.instant(event.at)})
            lines.append(b"event: %b\ndata: %b\n\n" % (kind.encode() if dot else b"job", data))
        heard.text = b"".join(lines)
    return heard.text


@get("/healthz", tags=["system"], summary="Whether the process lives")
async def healthz() -> HealthOut:
    """Always 200 while the server can answer at all."""
    return HealthOut("ok")


@get(
    "/readyz",
    tags=["system"],
    summary="Whether new jobs are taken",
    gives=HealthOut,
    others={503: (HealthOut, "Not now; the reasons say what is missing")},
)
async def readyz(state: AppState) -> Reply:
    """503 with the reasons while the server drains, the store does not answer (also: it has not read its access keys), or the disk is at its watermark.

    `warnings` are about other conditions: `clock_behind` (time stands still), `schedules_set_aside`, `jobs_set_aside`,
    `queues_held` (by another program, in the database), `backup_failed` (the last one that was due), `tls_certificate_expires` (within two weeks),
    `tls_certificate_expired`.
    """
    engine = state.engine
    reasons, warnings = [], []
    try:
        async with asyncio.timeout(_HEALTH_S):
            answer = await engine.reading.stats_of_store()
        if not answer.accepting:
            reasons.append(answer.reason or "storage_full")
        elif not engine.keyring.is_loaded:
            reasons.append("store_unavailable")
        warnings = _warnings(answer)
    except TimeoutError:
        reasons.append("store_unavailable")
    except HoldfastError as error:
        reasons.append(error.code)
    certificate = state.certificate
    if certificate is not None and certificate.warning is not None:
        warnings.append(certificate.warning)
    if engine.draining:  # checked last: the store's answer may have taken a while
        reasons.insert(0, "draining")
    said = HealthOut("not ready" if reasons else "ready", reasons, warnings or UNSET)
    return Reply(503 if reasons else 200, replies.encode(said))


def _warnings(store: StoreStats) -> list[str]:
    seen = (
        ("clock_behind", store.clock_behind_ms),
        ("schedules_set_aside", store.schedules_aside),
        ("jobs_set_aside", store.jobs_aside),
        ("queues_held", len(store.held_queues)),
        ("backup_failed", store.backups is not None and store.backups.failing != ""),
    )
    return [name for name, count in seen if count]


@get("/metrics", tags=["system"], summary="Metrics for Prometheus", gives=str, media_type="text/plain")
async def metrics_page(state: AppState) -> Reply:
    """The text format, version 0.0.4."""
    return Reply(200, await state.metrics.page(), b"text/plain; version=0.0.4; charset=utf-8")


@get("/")
async def home(state: AppState) -> Reply:
    """To the management page; without it, to the documentation of the API."""
    return redirect(f"{state.root_path}{state.home}", 302)


ROUTES: list[Route] = [stats, stream, healthz, readyz, metrics_page, home]
