"""The first screen: problems, durability, and every queue in a line."""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from holdfast.auth.keys import Ability
from holdfast.auth.scope import Scope
from holdfast.doors.rest.state import AppState
from holdfast.doors.web import attention, formats
from holdfast.doors.web.attention import fullness, problems
from holdfast.doors.web.layout import View, get, tone
from holdfast.engine.access import caller_here
from holdfast.engine.engine import Engine
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.messages.views import QueueStats, Stats

QUEUES_SHOWN = 100
QUEUES_LOOKED_AT = 500
PROBLEMS_SHOWN = 8
_FRESH_S = 0.5
_SCOPES = 100  # of which the numbers are held
_RESTS = 4  # times as long as a look took, until the next: with very many queues the store has other things to do

SORTS: dict[str, Callable[[QueueStats, str], Any]] = {
    "name": lambda queue, _: queue.info.name,
    "backlog": lambda queue, _: -queue.info.tally.unfinished,
    "full": lambda queue, _: -fullness(queue),
    "oldest": lambda queue, _: -(queue.oldest_ready_ms or 0),
    "dead": lambda queue, _: -queue.info.tally.dead,
    "in": lambda queue, over: -rates_of(queue, over)[0],
    "out": lambda queue, over: -rates_of(queue, over)[1],
    "failed": lambda queue, over: -rates_of(queue, over)[2],
}
SPANS = {"10s": "10 s", "1min": "1 min", "1h": "1 h"}
"""What rates are shown over."""
_USUAL_SPAN = "1min"
_GONE = ("concluded", "died", "cancelled", "deadline_passed")
"""How unfinished jobs become fewer."""


class CachedStats:
    """Cached statistics: however many pages are open, the store is queried at most every half second, and less often if that is
    slow.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._fresh_until = 0.0
        self._reading: asyncio.Task[Stats] | None = None

    async def stats(self) -> Stats:
        """Sums over all queues, and the numbers of those that want attention first, or have the most jobs."""
        if self._reading is None or (self._reading.done() and time.monotonic() > self._fresh_until):
            self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._reading)

    async def _read(self) -> Stats:
        started = time.monotonic()
        try:
            stats = await self._engine.reading.stats(QUEUES_LOOKED_AT)
        except BaseException:
            self._reading = None  # a refusal is only for the requests made by then
            raise
        ended = time.monotonic()
        self._fresh_until = ended + max(_FRESH_S, _RESTS * (ended - started))
        return stats


def cached_stats(state: AppState) -> CachedStats:
    """The one of this front for all who see the same queues."""
    caller = caller_here(state.engine.keyring)
    if caller is not None:
        caller.need(Ability.READ)
    known: dict[Scope | None, CachedStats] = state.cached.setdefault("page", {})
    scope = None if caller is None else caller.scope
    if scope not in known:
        if len(known) >= _SCOPES:
            known.clear()
        known[scope] = CachedStats(state.engine)
    return known[scope]


def rates_of(numbers: QueueStats | Stats, over: str) -> tuple[float, float, float]:
    """Jobs per second that were enqueued and completed, and attempts that failed or crashed, over one of `SPANS`."""
    rates = {"10s": numbers.rates_10s, "1min": numbers.rates, "1h": numbers.rates_1h}[over]
    wrong = rates.get("failed", 0.0) + rates.get("expired", 0.0)
    return rates.get("enqueued", 0.0), rates.get("concluded", 0.0), wrong


def all_rates(numbers: QueueStats | Stats) -> list[tuple[str, list[tuple[str, float]]]]:
    """What happened, and how often a second over each of the spans."""
    spans = [(words, rates_of(numbers, over)) for over, words in SPANS.items()]
    return [
        (what, [(words, rates[place]) for words, rates in spans])
        for place, what in enumerate(("Enqueued", "Completed", "Failed"))
    ]


def line(queue: QueueStats, over: str = _USUAL_SPAN) -> dict[str, Any]:
    """A queue as the table shows it."""
    tally = queue.info.tally
    came, done, wrong = rates_of(queue, over)
    gone = sum([queue.rates.get(verb, 0.0) for verb in _GONE])
    return {
        "name": queue.info.name,
        "paused": queue.info.paused,
        "paused_types": queue.info.paused_types,
        "tally": tally,
        "policy": queue.info.policy,
        "full": fullness(queue),
        "oldest": queue.oldest_ready_ms,
        "came": came,
        "done": done,
        "wrong": wrong,
        "drains": formats.drains_in(tally.unfinished, queue.rates.get("enqueued", 0.0), gone),
    }


@get("/web")
async def overview(view: View) -> Reply:
    """Every queue."""
    stats, history = await asyncio.gather(cached_stats(view.state).stats(), view.engine.reading.history())
    asked = _asked(view.query)
    wanted, only, sort, over = asked["q"], asked["only"], asked["sort"] or "name", asked["over"] or _USUAL_SPAN
    cut = stats.all > len(stats.queues)
    some = await view.engine.reading.stats(QUEUES_LOOKED_AT, wanted) if wanted and cut else stats
    queues = sorted(
        [queue for queue in some.queues if wanted in queue.info.name and (not only or only in attention.kinds_of(queue))],
        key=lambda queue: SORTS[sort](queue, over),
    )
    pages = max(1, -(-len(queues) // QUEUES_SHOWN))
    number = min(max(1, _page_number(view.query.get("page", "1"))), pages)
    shown = queues[(number - 1) * QUEUES_SHOWN : number * QUEUES_SHOWN]
    depths = await view.engine.reading.depths([queue.info.name for queue in shown])
    tally = stats.tally
    wrong = attention.of_memory(view.engine.durability.level, view.environment, tone(view.environment))
    certificate = view.state.certificate
    if certificate is not None:
        wrong += attention.of_certificate(certificate.warning, certificate.expires)
    wrong += problems(
        stats.store, stats.queues, tally.dead, sum(step.died for step in history.steps), stats.silent, stats.budgets
    )
    totals = {
        "unfinished": tally.unfinished,
        "rates": all_rates(stats),
        "dead": tally.dead,
        "leased": tally.leased,
    }
    values = {
        "lines": [line(queue, over) for queue in shown],
        "depths": depths,
        "problems": wrong if view.query.get("problems") else wrong[:PROBLEMS_SHOWN],
        "more_problems": 0 if view.query.get("problems") else max(0, len(wrong) - PROBLEMS_SHOWN),
        "only": only,
        "only_words": attention.KINDS.get(only, ""),
        "totals": totals,
        "store": stats.store,
        "now": stats.now,
        "found": some.found if wanted and cut else len(queues) if wanted or only else stats.all,
        "listed": len(queues),
        "all": stats.all,
        "wanted": wanted,
        "sort": sort,
        "over": over,
        "spans": SPANS,
        "kept": asked,
        "number": number,
        "pages": pages,
        "began_at": history.began_at,
        "history_now": history.now,
    }
    return view.page("overview.html", "Overview", "overview", values, view.curl("GET", "/v1/stats"))


def _asked(query: Mapping[str, str]) -> dict[str, str]:
    """What an address asks for, as the links of the screen keep it; "" is usual."""
    known: dict[str, Collection[str]] = {"only": attention.KINDS, "over": SPANS, "sort": SORTS}
    given = {name: query.get(name, "") for name in known}
    return {"q": query.get("q", "")} | {name: value if value in known[name] else "" for name, value in given.items()}


def _page_number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1


ROUTES: list[Route] = [overview]
