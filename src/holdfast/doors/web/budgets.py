"""Budgets: what is left of each, who waits, and a block by hand. They are made by the API and the command line."""

from holdfast import limits
from holdfast.doors.web import formats, forms
from holdfast.doors.web.layout import View, get, post
from holdfast.errors import NotFound
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.budget import Budget

_EVERY = "*"  # a budget is of all queues
_BLOCK_MS = 3_600_000


def worded(budget: Budget) -> str:
    """The policy in words."""
    if budget.per_ms is None:
        return f"{budget.limit:,} at once"
    burst = "" if budget.burst == budget.limit else f", burst {budget.burst:,}"
    return f"{budget.limit:,} in {formats.duration(budget.per_ms)}{burst}"


@get("/web/budgets")
async def show_budgets(view: View) -> Reply:
    """All budgets, with what is left, and how many jobs wait."""
    found = await view.engine.budgets.all()
    values = {"budgets": [(info, worded(info.budget)) for info in found.budgets], "now": found.now}
    return view.page("budgets.html", "Budgets", "budgets", values, view.curl("GET", "/v1/budgets"))


@post("/web/budgets/{name}/{verb}")
async def act(view: View, name: str, verb: str) -> Reply:
    """Block or unblock."""
    form = await forms.read(view.request)
    if verb not in ("block", "unblock"):
        raise NotFound(f"There is no action {verb[:40]} for budgets.")
    for_ms = form.duration("for_ms", 1, limits.BUDGET_BLOCK_MS_MAX) or _BLOCK_MS
    await view.actions.act(f"budget.{verb}", name, _EVERY, for_ms=for_ms)
    return view.back("/budgets", f"budget.{verb}")


ROUTES: list[Route] = [show_budgets, act]
