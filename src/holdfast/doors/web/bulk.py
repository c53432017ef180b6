"""What is done to many jobs: to those that were selected, or to all that match a filter.

    list ─▶ preview (count, sample) ─▶ typed confirmation ─▶ an operation of the server, which has a screen of its own

Jobs that came, or ended anew, after the preview are left alone: they are not what was shown.
"""

import asyncio
from dataclasses import dataclass, replace

import msgspec

from holdfast.doors.web import forms
from holdfast.doors.web.failures import group_of
from holdfast.doors.web.filters import NAMES, Filter
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.overview import cached_stats
from holdfast.engine import checks
from holdfast.engine.failure_groups import line_of
from holdfast.errors import JobNotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.job import Job, State
from holdfast.job.operation import JobFilter
from holdfast.limits import FAILURES_SCANNED, ID_MAX, LIST_LIMIT
from holdfast.messages.views import JobCounts, JobDetail

SAMPLE = 10
LOOKS = 200  # jobs that are read together
_PAGES = 20  # of leases that are looked through for those of one worker


@dataclass(frozen=True)
class Way:
    """Something that can be done to many: `states` are those that it applies to, `usual` those that are meant where no state is chosen; what
    destroys wants to be typed.
    """

    name: str
    action: str
    label: str
    states: tuple[State, ...]
    destroys: bool = False
    usual: tuple[State, ...] = ()

    def fits(self, job: Job) -> bool:
        """Whether it applies to a job. Of the cancelled ones only those that expired run again."""
        if job.state is State.CANCELLED and self.name in ("retry", "restore"):
            return job.has_expired is (self.name == "retry")
        return job.state in self.states


WAYS = {
    way.name: way
    for way in (
        Way("retry", "job.retry", "Retry", (State.DEAD, State.CANCELLED), usual=(State.DEAD,)),
        Way("restore", "operation.start", "Undo cancel", (State.CANCELLED,)),
        Way("promote", "job.promote", "Run now", (State.SCHEDULED,)),
        Way("move", "job.move", "Move…", (State.DEAD, State.READY, State.SCHEDULED, State.CANCELLED)),
        Way("release", "job.release_lease", "Take leases back", (State.LEASED,)),
        Way("cancel", "job.cancel", "Cancel", (State.LEASED, State.READY, State.SCHEDULED), True),
        Way(
            "delete",
            "job.delete",
            "Delete",
            (State.DEAD, State.CANCELLED, State.CONCLUDED, State.READY, State.SCHEDULED),
            True,
        ),
    )
}


@dataclass(frozen=True)
class Run:
    """The state of a run: its action, its jobs, and its position. All of it is in the page.

    It is about `ids`, selected or the members of a `group` of failures, or about `all` that match the filter: never about all because no id
    is left.
    """

    way: Way
    filter: Filter
    all: bool = False
    ids: tuple[int, ...] = ()
    group: str = ""
    holder: str | None = None
    target: str = ""
    total: int = 0
    at_least: bool = False
    asked_at: int = 0

    @property
    def states(self) -> tuple[State, ...]:
        """The states that are walked, one after the other."""
        if self.filter.state is None:
            return self.way.usual or self.way.states
        return tuple(state for state in self.way.states if state is self.filter.state)

    @property
    def phrase(self) -> str:
        """What is to be typed before anything is destroyed."""
        return f"{self.way.name} {'all' if self.at_least else self.total}"

    def fields(self) -> dict[str, str]:
        """As in a form or a URL."""
        given = self.filter.query() | {
            "way": self.way.name,
            "all": "1" if self.all else "",
            "group": self.group,
            "holder": self.holder or "",
            "target": self.target,
            "ids": ",".join(map(str, self.ids)),
        }
        given |= {"total": str(self.total), "asked_at": str(self.asked_at), "at_least": "1" if self.at_least else ""}
        return {name: value for name, value in given.items() if value}


def run_of(form: forms.Form) -> Run:
    """A run as a form has it."""
    way = WAYS.get(form.text("way"))
    if way is None:
        raise breach("way", f"must be one of {', '.join(WAYS)}")
    picked = [one for value in form.all("ids") for one in value.split(",") if one]
    if len(picked) > FAILURES_SCANNED:
        raise breach("ids", f"must be at most {FAILURES_SCANNED} jobs")
    ids = tuple(dict.fromkeys(forms.whole("ids", one) for one in picked))
    if any(not 0 < one <= ID_MAX for one in ids):
        raise breach("ids", "must be numbers of jobs")
    target = form.text("target").strip()
    if target:
        checks.queue_name("target", target)
    wanted = Filter.of({name: form.text(name) for name in NAMES})
    return Run(
        way,
        wanted,
        form.has("all"),
        () if form.has("all") else ids,
        form.text("group"),
        form.text("holder") if form.has("holder") else None,
        target,
        form.int("total") or 0,
        form.has("at_least"),
        form.int("asked_at") or 0,
    )


@get("/web/bulk")
async def preview(view: View) -> Reply:
    """How many jobs would be affected, and the first of them. Nothing is done."""
    run, more = run_of(view.asked), False
    if run.group:
        group, asked_at = await group_of(view, run.group, run.filter.queue)
        ids = tuple(job.id for job in group.dead)
        run = replace(run, filter=Filter(group.queue), all=False, ids=ids, asked_at=asked_at)
    elif run.holder is not None and not run.ids:
        ids, more = await _leased(view, Filter(worker=run.holder), run.holder)
        run = replace(run, filter=Filter(), all=False, ids=ids)
    elif run.all and run.way.name == "release" and run.states:
        ids, more = await _leased(view, run.filter)
        run = run if more else replace(run, all=False, ids=ids)  # a filter would match leases that begin after the preview
    elif not run.all and not run.ids:
        raise breach("ids", "is empty: select some jobs first, or all that match")
    run, sample = await (_preview_filter(view, run) if run.all else _preview_ids(view, run))
    # The time of the sample, which was read after the count: later jobs are left alone, and none that was counted is.
    if not run.group:
        run = replace(run, asked_at=sample[-1].now if sample else (await cached_stats(view.state).stats()).now)
    values = {
        "run": run,
        "sample": sample,
        "errors": latest_errors(sample),
        "more": more,
        "words": [] if not run.all else [pair for pair in run.filter.words() if pair[0] != "state"],
        "list": _list(view, run),
    }
    return view.page("bulk.html", f"{run.way.label.rstrip('…')} jobs", "jobs", values, _command(view, run))


def _list(view: View, run: Run) -> str:
    """The screen that it was started from."""
    if run.holder is not None:
        return view.at("/workers")
    return view.at("/failures" if run.group else "/jobs", **run.filter.query())


async def _leased(view: View, wanted: Filter, worker: str | None = None) -> tuple[tuple[int, ...], bool]:
    """The running jobs that match, and whether there are more; of a `worker` those that it runs itself: a registered one by its id, another by the
    name that its leases have.
    """
    found: list[int] = []
    cursor = None
    for _ in range(_PAGES):
        page = await view.engine.reading.jobs(wanted.listing(LIST_LIMIT, cursor, State.LEASED))
        found += [one.job.id for one in page.jobs if _is_of(worker, one)]  # others have it of a failed attempt
        cursor = page.cursor
        if cursor is None or len(found) >= FAILURES_SCANNED:
            break
    return tuple(found[:FAILURES_SCANNED]), cursor is not None or len(found) > FAILURES_SCANNED


def latest_errors(jobs: list[JobDetail]) -> dict[int, str]:
    """The latest error of each of these that failed, in a line, by its id; empty where none of them did. They were listed with it."""
    return {
        detail.job.id: line_of(detail.errors[-1].reason if detail.errors else detail.job.reason or "")
        for detail in jobs
        if detail.job.state is State.DEAD or detail.job.failures or detail.job.crashes
    }


def _command(view: View, run: Run) -> str:
    body: dict[str, object] = {"do": run.way.name}
    if run.target or run.way.name == "move":
        body["to"] = run.target or "QUEUE"
    if run.all:
        body["filter"] = run.filter.body()
    else:
        body["jobs"] = run.ids
    return view.curl("POST", "/v1/operations", msgspec.json.encode(body).decode())


async def _preview_ids(view: View, run: Run) -> tuple[Run, list[JobDetail]]:
    found = [detail for detail in await _look(view, run.ids) if detail is not None]
    fit = [detail for detail in found if run.way.fits(detail.job) and _is_of(run.holder, detail)]
    return replace(run, ids=tuple(detail.job.id for detail in fit), total=len(fit)), fit[:SAMPLE]


def _is_of(worker: str | None, detail: JobDetail) -> bool:
    """Whether this worker runs the job, if the run is about one: another may have got it in between."""
    return worker is None or (detail.job.lease is not None and detail.job.lease.worker == worker)


async def _look(view: View, ids: tuple[int, ...]) -> list[JobDetail | None]:
    async def one(job_id: int) -> JobDetail | None:
        try:
            return await view.engine.reading.glance(job_id)
        except JobNotFound:
            return None

    found: list[JobDetail | None] = []
    for start in range(0, len(ids), LOOKS):
        found += await asyncio.gather(*[one(job_id) for job_id in ids[start : start + LOOKS]])
    return found


async def _preview_filter(view: View, run: Run) -> tuple[Run, list[JobDetail]]:
    total, at_least = 0, False
    sample: list[JobDetail] = []
    for state in run.states:
        counts = await view.engine.reading.counts(run.filter.counting(state))
        total += counts.counts.get(state.value, 0)
        at_least = at_least or bool(counts.at_least)
        if len(sample) < SAMPLE:
            sample += (await view.engine.reading.jobs(run.filter.listing(SAMPLE - len(sample), state=state))).jobs
    return replace(run, total=total, at_least=at_least), sample


@post("/web/bulk", status=303)
async def start(view: View) -> Reply:
    """Have the server do it."""
    form = await forms.read(view.request)
    run = run_of(form)
    if run.way.name == "move" and not run.target:
        raise breach("target", "must name the queue to move to")
    if not run.all and not run.ids:
        raise breach("ids", "is empty: the jobs are gone")
    if run.way.destroys:
        forms.typed(form, run.phrase)
    wanted = JobFilter(jobs=run.ids) if not run.all else run.filter.jobs()
    number = await view.actions.act(
        "operation.start",
        run.way.name,
        run.filter.queue or "",
        wanted=msgspec.structs.replace(wanted, before=min(run.asked_at, wanted.before or run.asked_at)),
        to=run.target or None,
        per_s=form.number("per_s"),
        states=run.states if run.all else run.way.states,
        counted=JobCounts({"": run.total}, ["" for _ in range(run.at_least)]),
    )
    return view.back(f"/operations/{number}", "operation.start", queue="" if run.all else run.filter.queue)


ROUTES: list[Route] = [preview, start]
