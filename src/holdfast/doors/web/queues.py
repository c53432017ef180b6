"""One queue: its contents and why it stands still, its plots, its settings, and actions on it as a whole."""

import asyncio
from collections import Counter
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from holdfast import limits, units
from holdfast.doors.web import attention, forms
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.overview import all_rates, line
from holdfast.doors.web.refill import WAS
from holdfast.doors.web.running_jobs import by_group, by_worker
from holdfast.engine import checks
from holdfast.errors import QueueNotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job import registry
from holdfast.job.job import PURGEABLE, State
from holdfast.job.queue import QueueSettings
from holdfast.job.retry import RetryPolicy
from holdfast.messages.queries import ListJobs
from holdfast.messages.views import QueueInfo

SETTINGS = (
    ("capacity_jobs", "Capacity, jobs", "Scheduled, ready and leased jobs count."),
    ("capacity_bytes", "Capacity, payloads", "Such as 512 MiB or 4 GiB."),
    ("max_running", "Max concurrency", "Leased at the same time; “none” is without a bound."),
    ("lease_ms", "Lease", "Such as 30s or 5m; used where neither worker nor job sets one."),
    ("max_attempts", "Max attempts", "Failures and crashes together, until a job is dead."),
    ("max_crashes", "Max crashes", "Crashes until a job is dead."),
    ("retention_ms", "Retention", "How long concluded and cancelled jobs are kept, such as 24h; “none” is for ever."),
    ("retention_jobs", "Retention, jobs", "How many of them are kept; the oldest are removed. “none” is without a bound."),
    ("retention_bytes", "Retention, bytes", "Of their payloads and results, such as 512 MiB; “none” is without a bound."),
    (
        "expires_in_ms",
        "Time to live",
        "Jobs that no worker has so long after they are due are cancelled, such as 10m; “none” is without an end.",
    ),
)
_WITHOUT_BOUND = frozenset(("max_running", "retention_ms", "retention_jobs", "retention_bytes", "expires_in_ms"))
_RETRY = (("base_ms", "First delay"), ("factor", "Factor"), ("max_ms", "Longest delay"), ("jitter", "Jitter, 0 to 1"))
_LEASES = 200  # that are read, for who runs what
_NEXT = 200  # ready jobs that are read, for what waits
_TYPES = 10
_HOLDERS = 20
_WORKERS = 10
_GROUPS = 50
_KEYS = 20  # of a fair queue: those with most jobs waiting


@get("/web/queues/{name}")
async def show_queue(view: View, name: str) -> Reply:
    """The queue's own screen."""
    checks.name_of_queue("queue", name)
    (stats, now), workers, interests, history, leased, ready = await asyncio.gather(
        view.engine.reading.stats_of(name),
        view.engine.reading.workers(),
        view.engine.reading.interests(),
        view.engine.reading.history(name),
        view.engine.reading.jobs(ListJobs(_LEASES, name, State.LEASED, payload_up_to=0)),
        view.engine.reading.jobs(ListJobs(_NEXT, name, State.READY, payload_up_to=0)),
    )
    shares = await view.engine.fair.some(name, _KEYS) if stats.info.policy.fair else None
    waits = Counter(detail.content.type for detail in ready.jobs)
    running = [detail.job for detail in leased.jobs]
    taking = [info for info in workers.workers if name in info.worker.queues]
    silent = {info.worker.id for info in taking if registry.is_silent(info.beat_at, workers.now)}
    shown = texts_of(stats.info.settings)
    values = {
        "line": line(stats),
        "rates": all_rates(stats),
        "info": stats.info,
        "totals": stats.totals,
        "problems": attention.of_queue(stats),
        "workers": taking[:_WORKERS],
        "taking": len(taking),
        "worker_count": len(taking) - len(silent),
        "silent": silent,
        "names": {info.worker.id: info.worker.name or info.worker.id for info in workers.workers},
        "holders": by_worker(running)[:_HOLDERS],
        "groups": by_group(running)[:_GROUPS],
        "waits": waits.most_common(_TYPES),
        "waits_of": len(ready.jobs),
        "waits_whole": ready.cursor is None,
        "cut": leased.cursor is not None,
        "shares": shares,
        "most_waiting": max([one.waiting for one in shares.shares], default=0) if shares is not None else 0,
        "leases": _LEASES,
        "interest": interests.interests.get(name),
        "now": now,
        "began_at": history.began_at,
        "recorded": bool(history.steps) or history.now - history.began_at < 2 * history.step_ms,
        "settings": [(key, label, hint, _shown(key, getattr(stats.info.policy, key))) for key, label, hint in SETTINGS],
        "retry": [(key, label, _shown(key, getattr(stats.info.policy.retry, key))) for key, label in _RETRY],
        "set": shown,
        "was": forms.shown(shown),
        "purgeable": PURGEABLE,
    }
    return view.page("queue.html", f"Queue {name}", "overview", values, view.curl("GET", f"/v1/queues/{name}"))


@post("/web/queues/{name}/pause")
async def pause(view: View, name: str) -> Reply:
    """Stop leasing from it, or go on."""
    form = await forms.read(view.request)
    paused = form.text("paused") == "yes"
    action = "queue.pause" if paused else "queue.resume"
    await view.actions.act(action, name, name, paused=paused)
    return _back(view, form, name, action)


@post("/web/queues/{name}/types")
async def pause_type(view: View, name: str) -> Reply:
    """Stop leasing jobs of one type from it, or go on."""
    form = await forms.read(view.request)
    paused = form.text("paused") == "yes"
    action = "type.pause" if paused else "type.resume"
    await view.actions.act(action, name, name, type=form.text("type"), paused=paused)
    return _back(view, form, name, action)


def _back(view: View, form: forms.Form, name: str, action: str) -> Reply:
    """To where it was done: at a group of failures, or at a job that waited; else to the queue."""
    if form.has("group"):
        return view.back("/failures", action, group=form.text("group"), queue=name)
    job = form.int("job")
    return view.back(f"/queues/{name}" if job is None else f"/jobs/{job}", action)


@post("/web/queues/{name}/fair")
async def share(view: View, name: str) -> Reply:
    """Make it fair or first in, first out; or set the weight of a key: an empty one is 1."""
    form = await forms.read(view.request)
    if form.has("fair"):
        fair = form.text("fair") == "yes"
        await view.actions.act("queue.set", name, name, settings=QueueSettings(fair=fair), whole=False)
        return view.back(f"/queues/{name}", "queue.set")
    weight = forms.whole("weight", form.text("weight")) if form.text("weight") else None
    action = "queue.fair.set" if weight is not None else "queue.fair.unset"
    await view.actions.act(action, name, name, key=form.text("key"), weight=weight)
    return view.back(f"/queues/{name}", action)


@post("/web/queues/{name}/settings")
async def settings(view: View, name: str) -> Reply:
    """Set the fields with a value; empty ones follow the server's defaults."""
    form = await forms.read(view.request)
    try:
        form = forms.merged(form, texts_of((await view.engine.reading.queue(name)).settings))
    except QueueNotFound:
        if form.has(WAS):
            raise  # it was deleted meanwhile; to make one by its settings is possible
    await view.actions.act("queue.set", name, name, settings=settings_of(form))
    return view.back(f"/queues/{name}", "queue.set")


def texts_of(settings: QueueSettings) -> dict[str, str]:
    """What the fields of the form show."""
    texts = {key: _shown(key, getattr(settings, key)) for key, _, _ in SETTINGS}
    retry = settings.retry
    return texts | {
        f"retry_{key}": "" if isinstance(retry, UnsetType) else _shown(key, getattr(retry, key)) for key, _ in _RETRY
    }


def _shown(key: str, value: float | UnsetType | None) -> str:
    """A setting as its field shows it, with its unit; nothing if it is not set."""
    if value is UNSET:
        return ""
    if value is None:
        return "none"
    if key.endswith("_ms"):
        return units.duration(int(value))
    return units.size(int(value)) if key.endswith("_bytes") else f"{value}"


def _read(key: str, given: str, name: str, bounds: tuple[int, int]) -> int:
    """The value of a field, whose unit the end of `key` says; `name` is that of the field."""
    if key.endswith("_ms"):
        return forms.milliseconds(name, given, *bounds)
    return forms.size(name, given, *bounds) if key.endswith("_bytes") else forms.whole(name, given)


def settings_of(form: forms.Form) -> QueueSettings:
    """The settings that a form has."""
    chosen: dict[str, Any] = {}
    for key, _, _ in SETTINGS:
        given = form.some(key)
        if given is not None and given.lower() == "none" and key in _WITHOUT_BOUND:
            chosen[key] = None
        elif given is not None:
            chosen[key] = _read(key, given, key, checks.SETTINGS[key])
    retry: dict[str, Any] = {key: value for key, _ in _RETRY if (value := form.some(f"retry_{key}"))}
    if retry:
        for key in retry.keys() & {"base_ms", "max_ms"}:
            retry[key] = forms.milliseconds(f"retry_{key}", retry[key], 0, limits.DELAY_MS_MAX)
        try:
            chosen["retry"] = msgspec.convert(retry, RetryPolicy, strict=False)
        except msgspec.ValidationError as error:
            raise breach("retry", f"is not a retry policy ({error})") from None
    return QueueSettings(**chosen)


@get("/web/queues/{name}/purge")
async def purge_form(view: View, name: str) -> Reply:
    """What would be removed, before it is."""
    info = await view.engine.reading.queue(name)
    states = _states(
        view.query.get("states", "").split(",") if view.query.get("states") else [key for key in PURGEABLE if key in view.query]
    )
    count = _count(info, states)
    values = {"info": info, "states": states, "count": count, "phrase": purge_phrase(name, count)}
    body = msgspec.json.encode({"states": states}).decode()
    return view.page("purge.html", f"Purge {name}", "overview", values, view.curl("POST", f"/v1/queues/{name}/purge", body))


@post("/web/queues/{name}/purge")
async def purge(view: View, name: str) -> Reply:
    """Remove the jobs in these states that exist now, once the confirmation was typed."""
    form = await forms.read(view.request)
    states = _states(form.text("states").split(","))
    forms.typed(form, purge_phrase(name, forms.whole("count", form.text("count"))))
    gone = await view.actions.act("queue.purge", name, name, states=tuple(State(one) for one in states))
    return view.back(f"/queues/{name}", "queue.purge", n=gone)


@post("/web/queues/{name}/delete")
async def delete(view: View, name: str) -> Reply:
    """Remove the queue, once its name was typed."""
    form = await forms.read(view.request)
    forms.typed(form, f"delete {name}")
    await view.actions.act("queue.delete", name, name)
    return view.back("", "queue.delete")


def purge_phrase(name: str, count: int) -> str:
    """What is to be typed."""
    return f"remove {count} from {name}"


def _states(names: list[str]) -> list[str]:
    chosen: list[str] = [name for name in PURGEABLE if name in names]
    if not chosen:
        raise breach("states", f"must name one or more of {', '.join(PURGEABLE)}")
    return chosen


def _count(info: QueueInfo, states: list[str]) -> int:
    return sum(getattr(info.tally, state) for state in states)


@post("/web/queues")
async def make(view: View) -> Reply:
    """Make a queue with the defaults."""
    form = await forms.read(view.request)
    name = form.text("name").strip()
    checks.queue_name("name", name)
    try:
        await view.engine.reading.queue(name)
    except QueueNotFound:
        await view.actions.act("queue.set", name, name, settings=QueueSettings())
    return view.back(f"/queues/{name}")


ROUTES: list[Route] = [show_queue, pause, pause_type, share, settings, purge_form, purge, delete, make]
