"""What is done to many jobs: to those that were selected, or to all that match a filter.

    list ─▶ preview (count, sample) ─▶ typed confirmation ─▶ chunk ─▶ chunk ─▶ … ─▶ done
                                                              ▲ the open page asks for each; it may stop between two, and go on later

The page drives it, chunk by chunk, and carries its position. So no front has a task that another does not know of, a restart
loses nothing, stopping is certain, and what was done is what is shown. Jobs that came after the preview are left alone, so it
always ends.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

from holdfast.doors.rest.routes import cursor_of, cursor_text
from holdfast.doors.web import forms
from holdfast.doors.web.failures import group_of
from holdfast.doors.web.filters import Filter
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.overview import cached_stats
from holdfast.engine import checks
from holdfast.engine.failure_groups import line_of
from holdfast.errors import HoldfastError, InternalError, JobNotFound, OutcomeUnknown, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.job import State
from holdfast.limits import BULK_CHUNK, FAILURES_SCANNED, ID_MAX
from holdfast.messages.audit import Bulk
from holdfast.messages.views import JobDetail

SAMPLE = 10
LOOKS = 200  # jobs that are read together
CHUNK_BYTES = 8 << 20
REFUSALS_SHOWN = 5


@dataclass(frozen=True)
class Way:
    """Something that can be done to many: `states` are those that it applies to; what destroys wants to be typed."""

    name: str
    action: str
    label: str
    states: tuple[State, ...]
    past: str
    destroys: bool = False
    command: tuple[str, str] = ("POST", "")


WAYS = {
    way.name: way
    for way in (
        Way("retry", "job.retry", "Retry", (State.DEAD,), "are ready again", command=("POST", "/retry")),
        Way("promote", "job.promote", "Run now", (State.SCHEDULED,), "are ready now", command=("POST", "/promote")),
        Way(
            "move",
            "job.move",
            "Move…",
            (State.DEAD, State.READY, State.SCHEDULED, State.CANCELLED),
            "were moved",
            command=("POST", "/move"),
        ),
        Way(
            "release",
            "job.release_lease",
            "Take leases back",
            (State.LEASED,),
            "are ready again",
            command=("POST", "/release-lease"),
        ),
        Way(
            "cancel",
            "job.cancel",
            "Cancel",
            (State.LEASED, State.READY, State.SCHEDULED),
            "were cancelled, or asked to stop",
            True,
            ("POST", "/cancel"),
        ),
        Way(
            "delete",
            "job.delete",
            "Delete",
            (State.DEAD, State.CANCELLED, State.CONCLUDED, State.READY, State.SCHEDULED),
            "were deleted",
            True,
            ("DELETE", ""),
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
    target: str = ""
    total: int = 0
    at_least: bool = False
    asked_at: int = 0
    state: int = 0
    cursor: str = ""
    done: int = 0
    refused: int = 0
    ended: bool = False

    @property
    def states(self) -> tuple[State, ...]:
        """The states that are walked, one after the other."""
        if self.filter.state is None:
            return self.way.states
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
            "target": self.target,
            "ids": ",".join(map(str, self.ids)),
        }
        numbers = {
            "total": self.total,
            "asked_at": self.asked_at,
            "at": self.state,
            "done_so_far": self.done,
            "refused": self.refused,
        }
        given |= {name: str(value) for name, value in numbers.items()} | {
            "cursor": self.cursor,
            "at_least": "1" if self.at_least else "",
        }
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
    wanted = Filter.of({name: form.text(name) for name in ("queue", "state", "type", "tag", "text", "meta")})
    return Run(
        way,
        wanted,
        form.has("all"),
        () if form.has("all") else ids,
        form.text("group"),
        target,
        form.int("total") or 0,
        form.has("at_least"),
        form.int("asked_at") or 0,
        form.int("at") or 0,
        form.text("cursor"),
        form.int("done_so_far") or 0,
        form.int("refused") or 0,
    )


@get("/web/bulk")
async def preview(view: View) -> Reply:
    """How many jobs would be affected, and the first of them. Nothing is done."""
    run = run_of(view.asked)
    if run.group:
        group, asked_at = await group_of(view, run.group, run.filter.queue)
        ids = tuple(job.id for job in group.dead)
        run = replace(run, filter=Filter(group.queue), all=False, ids=ids, asked_at=asked_at)
    elif not run.all and not run.ids:
        raise breach("ids", "is empty: select some jobs first, or all that match")
    run, sample = await (_preview_filter(view, run) if run.all else _preview_ids(view, run))
    # The time of the sample, which was read after the count: later jobs are left alone, and none that was counted is.
    if not run.group:
        run = replace(run, asked_at=sample[-1].now if sample else (await cached_stats(view.state).stats()).now)
    values = {
        "run": run,
        "sample": sample,
        "errors": await _errors(view, sample),
        "words": [] if not run.all else [pair for pair in run.filter.words() if pair[0] != "state"],
        "list": _list(view, run),
    }
    return view.page("bulk.html", f"{run.way.label.rstrip('…')} jobs", "jobs", values, _command(view, run))


def _list(view: View, run: Run) -> str:
    """The screen that it was started from."""
    return view.at("/failures" if run.group else "/jobs", **run.filter.query())


async def _errors(view: View, sample: list[JobDetail]) -> dict[int, str]:
    """The latest error of each dead job of a sample, by its id; empty where none of them is dead."""
    dead = [detail.job for detail in sample if detail.job.state is State.DEAD]
    looked = await _look(view, tuple(job.id for job in dead))
    return {
        job.id: line_of(detail.errors[-1].reason if detail is not None and detail.errors else job.reason or "")
        for job, detail in zip(dead, looked, strict=True)
    }


def _command(view: View, run: Run) -> str:
    method, path = run.way.command
    body = f""" --json '{{"queue": "{run.target or "QUEUE"}"}}'""" if run.way.name == "move" else ""
    one = f"curl -X {method}{body} {view.curl('GET', '/v1/jobs/{}')[5:]}{path}"
    if not run.all:
        return f"printf '%s\\n' {' '.join(map(str, run.ids[:20]))}{' …' if len(run.ids) > 20 else ''} | xargs -I {{}} {one}"
    query = run.filter.query() | {"state": run.states[0].value if run.states else ""}
    return f"{view.curl('GET', '/v1/jobs', **query, payload='false', limit='1000')} | jq '.jobs[].id' | xargs -I {{}} {one}"


async def _preview_ids(view: View, run: Run) -> tuple[Run, list[JobDetail]]:
    found = [detail for detail in await _look(view, run.ids) if detail is not None]
    fit = [detail for detail in found if detail.job.state in run.way.states]
    return replace(run, ids=tuple(detail.job.id for detail in fit), total=len(fit)), fit[:SAMPLE]


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


@post("/web/bulk", status=200)
async def chunk(view: View) -> Reply:
    """Run a bounded part of it, and report the progress."""
    form = await forms.read(view.request)
    run = run_of(form)
    if run.way.name == "move" and not run.target:
        raise breach("target", "must name the queue to move to")
    if form.has("start") and run.way.destroys:
        forms.typed(form, run.phrase)
    refusals: list[str] = []
    stopped = form.has("stop")
    if not stopped:
        run = await (_run_on_filter(view, run, refusals) if run.all else _run_on_ids(view, run, refusals))
    values = {
        "run": run,
        "stopped": stopped,
        "refusals": refusals[:REFUSALS_SHOWN],
        "list": _list(view, run),
    }
    if view.request.header("hx-request") == "true":
        return view.part("_bulk_run.html", values)
    return view.page("bulk_run.html", f"{run.way.label.rstrip('…')} jobs", "jobs", values, _command(view, run))


def _bulk(run: Run) -> Bulk:
    """What each part of a run belongs to: one entry of the audit log, however many parts it has. What is searched for may be of a payload."""
    what = ", ".join(f"{name} {value}" for name, value in run.filter.words() if name != "text")
    what += (", " if what else "") + "with a text" if run.filter.text is not None else ""
    target = (f"all jobs with {what}" if what else "all jobs") if run.all else "selected jobs" + (f" ({what})" if what else "")
    if run.target:
        target += f" → {run.target}"
    return Bulk(f"{run.way.name} {run.asked_at} {target}", target, run.filter.queue or "")


async def _run_on_ids(view: View, run: Run, refusals: list[str]) -> Run:
    now, later = run.ids[:BULK_CHUNK], run.ids[BULK_CHUNK:]
    found = [detail for detail in await _look(view, now) if detail is not None and not _has_ended_anew(detail, run)]
    done, refused = await _do(view, run, found, refusals)
    return replace(run, ids=later, done=run.done + done, refused=run.refused + refused + len(now) - len(found), ended=not later)


def _has_ended_anew(detail: JobDetail, run: Run) -> bool:
    """Whether it ended after the preview: with another error, perhaps, than the one that was shown."""
    return detail.job.ended_at is not None and detail.job.ended_at > run.asked_at


async def _run_on_filter(view: View, run: Run, refusals: list[str]) -> Run:
    """The next jobs of the current state; at its end, of the next state that has any."""
    while run.state < len(run.states):
        page = await view.engine.reading.jobs(
            run.filter.listing(BULK_CHUNK, cursor_of(run.cursor or None), run.states[run.state])
        )
        meant = [detail for detail in page.jobs if detail.job.created_at <= run.asked_at]
        done, refused = await _do(view, run, meant, refusals)
        following = cursor_text(page.cursor) or ""
        number = run.state if following else run.state + 1
        run = replace(run, done=run.done + done, refused=run.refused + refused, state=number, cursor=following)
        if page.jobs or following:
            break
    return replace(run, ended=run.state >= len(run.states))


async def _do(view: View, run: Run, details: list[JobDetail], refusals: list[str]) -> tuple[int, int]:
    """Run it on each of these; a refused one does not affect the others."""
    given: dict[str, object] = {"to_queue": run.target} if run.way.name == "move" else {}
    bulk = _bulk(run)
    count, wrong = 0, 0
    for some in _chunks([detail for detail in details if detail.job.queue != run.target]):
        results = await asyncio.gather(*[_one(view, run.way.action, detail, bulk, given) for detail in some])
        refused = [error for error in results if error]
        refusals += refused
        count, wrong = count + len(results) - len(refused), wrong + len(refused)
    return count, wrong


def _chunks(details: list[JobDetail]) -> Iterator[list[JobDetail]]:
    """In chunks whose answers, with the payloads, have a bounded size."""
    chunk: list[JobDetail] = []
    weight = 0
    for detail in details:
        if chunk and weight + detail.job.size > CHUNK_BYTES:
            yield chunk
            chunk, weight = [], 0
        chunk.append(detail)
        weight += detail.job.size
    if chunk:
        yield chunk


async def _one(view: View, action: str, detail: JobDetail, bulk: Bulk, given: dict[str, object]) -> str:
    """Why it was refused; nothing if it was done."""
    job = detail.job
    if action == "job.release_lease":
        given = {"attempt": job.attempt}  # as it was shown: who has leased it since keeps it
    try:
        await view.actions.act(action, str(job.id), job.queue, bulk=bulk, **given)
    except (OutcomeUnknown, InternalError):
        raise
    except HoldfastError as error:
        return error.detail
    return ""


ROUTES: list[Route] = [preview, chunk]
