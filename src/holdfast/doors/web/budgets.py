"""Budgets: what is left of each, who waits, a block by hand, and the form by which they are made and changed."""

from contextlib import suppress

from holdfast import limits, units
from holdfast.doors.web import formats, forms
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.refill import WAS
from holdfast.errors import BudgetNotFound, NotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.budget import Budget

_EVERY = "*"  # a budget is of all queues
_BLOCK_MS = 3_600_000
_ACCOUNTS = 200  # that are shown of a budget


def worded(budget: Budget) -> str:
    """The policy in words."""
    if budget.per_ms is None:
        return f"{budget.limit:,} at once"
    burst = "" if budget.burst == budget.limit else f", burst {budget.burst:,}"
    return f"{budget.limit:,} in {formats.duration(budget.per_ms)}{burst}"


@get("/web/budgets")
async def show_budgets(view: View) -> Reply:
    """All budgets, with what is left, and how many jobs wait; the accounts of the chosen one."""
    found = await view.engine.budgets.all()
    name = view.query.get("name")
    chosen = next((info.budget for info in found.budgets if info.budget.name == name), None)  # None: it was removed meanwhile
    one, key = None, view.query.get("key") or None
    if chosen is not None:
        with suppress(BudgetNotFound):
            one = await view.engine.budgets.one(chosen.name, _ACCOUNTS, view.query.get("after", ""), key)
    shown = dict.fromkeys(("limit", "per_ms", "burst"), "") if chosen is None else texts_of(chosen)
    values = {
        "budgets": [(info, worded(info.budget)) for info in found.budgets],
        "now": found.now,
        "chosen": chosen,
        "shown": shown,
        "was": forms.shown(shown),
        "one": one,
        "key": key,
        "accounts": [] if one is None else sorted(one.some, key=lambda account: -account.waiting),
    }
    curl = view.curl("GET", "/v1/budgets" if one is None else f"/v1/budgets/{one.budget.name}", key=key)
    return view.page("budgets.html", "Budgets", "budgets", values, curl)


def texts_of(budget: Budget) -> dict[str, str]:
    """What the fields of the form show."""
    limit, burst = f"{budget.limit}", f"{budget.burst}"
    if budget.per_ms is None:
        return {"limit": limit, "per_ms": "", "burst": ""}
    return {"limit": limit, "per_ms": units.duration(budget.per_ms), "burst": "" if burst == limit else burst}


@post("/web/budgets")
async def keep(view: View) -> Reply:
    """Make a budget, or change it."""
    form = await forms.read(view.request)
    name = form.text("name").strip()
    try:
        before = (await view.engine.budgets.one(name)).budget
    except BudgetNotFound:
        if form.has(WAS):
            raise  # it was deleted meanwhile
        before = None
    limit, per_ms, burst = _policy(form, before)
    if limit is None:
        raise breach("limit", "must be a whole number of at least 1")
    await view.actions.act("budget.set", name, _EVERY, limit=limit, per_ms=per_ms, burst=burst)
    return view.back("/budgets", "budget.set")


def _policy(form: forms.Form, before: Budget | None) -> tuple[int | None, int | None, int | None]:
    """Limit, time and burst as the form has them, or as they are where it was not touched. A burst that was typed needs the time that it was typed for."""
    typed = form.int("limit"), form.duration("per_ms", 1, limits.BUDGET_PER_MS_MAX), form.int("burst")
    if before is None:
        return typed
    limit, per_ms, burst = typed
    if not form.touches("limit"):
        limit = before.limit
    if not form.touches("per_ms") and not (form.touches("burst") and before.per_ms is None):
        per_ms = before.per_ms
    if not form.touches("burst"):
        burst = None if per_ms is None or before.burst == before.limit else before.burst
    return limit, per_ms, burst


@post("/web/budgets/{name}/{verb}")
async def act(view: View, name: str, verb: str) -> Reply:
    """Block, unblock or delete."""
    form = await forms.read(view.request)
    if verb == "delete":
        forms.typed(form, f"delete {name}")
        await view.actions.act("budget.delete", name, _EVERY, force=form.has("force"))
        return view.back("/budgets", "budget.delete")
    if verb not in ("block", "unblock"):
        raise NotFound(f"There is no action {verb[:40]} for budgets.")
    for_ms = form.duration("for_ms", 1, limits.BUDGET_BLOCK_MS_MAX) or _BLOCK_MS
    key = form.text("key") if form.has("key") else None  # "": the account of jobs without a key
    await view.actions.act(f"budget.{verb}", name, _EVERY, for_ms=for_ms, key=key)
    return view.back("/budgets", f"budget.{verb}", name=None if key is None else name)


ROUTES: list[Route] = [show_budgets, keep, act]
