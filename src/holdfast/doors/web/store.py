"""The store: whether it accepts new jobs, its durability, commit times and disk space."""

import math

from holdfast.doors.web import attention
from holdfast.doors.web.layout import View, get, tone
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.messages.buckets import BATCH_BUCKETS, COMMIT_BUCKETS, quantile
from holdfast.messages.views import StoreStats

_SHARES = (0.5, 0.95, 0.99)


@get("/web/store")
async def show_store(view: View) -> Reply:
    """The store's own screen."""
    store = await view.engine.reading.store()
    values = {
        "problems": attention.of_memory(view.engine.durability.level, view.environment, tone(view.environment))
        + attention.of_store(store)
        + attention.of_time(store),
        "store": store,
        "held": [(one.name, attention.holder(one), attention.how_to_end(one)) for one in store.held_queues],
        "percents": [round(100 * share) for share in _SHARES],
        "commit_ms": [_ms(quantile(store.commit_buckets, share, COMMIT_BUCKETS)) for share in _SHARES],
        "proof_ms": _proof_ms(store),
        "batch": quantile(store.batch_buckets, 0.5, BATCH_BUCKETS) if store.commits else None,
        "busy": 100 * store.commit_seconds / max(1.0, store.uptime_ms / 1000),
    }
    return view.page("store.html", "Store", "overview", values, view.curl("GET", "/v1/stats"))


def _ms(seconds: float) -> float | None:
    return None if math.isnan(seconds) else 1_000 * seconds


def _proof_ms(store: StoreStats) -> float | None:
    kept = store.replication
    return 1_000 * kept.proof_seconds / kept.proofs if kept is not None and kept.proofs else None


ROUTES: list[Route] = [show_store]
