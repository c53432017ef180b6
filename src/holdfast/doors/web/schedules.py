"""Recurring jobs: next fires, the last result, pause, run now, create and remove."""

import contextlib
import time

from msgspec.structs import replace

from holdfast import limits, units
from holdfast.doors.rest.bodies import NO_QUEUE
from holdfast.doors.web import formats, forms
from holdfast.doors.web.jobs import json_of, tags_of
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.overview import cached_stats
from holdfast.doors.web.refill import WAS
from holdfast.engine import checks
from holdfast.errors import Forbidden, NotFound, ScheduleNotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.cron import CronUnreadable, NoMoreFires, ZoneUnknown
from holdfast.job.job import NO_EXTRAS, Extras, NewJob
from holdfast.job.schedule import Missed, Schedule, ScheduleSpec, next_after

_SHOWN = 200
_AHEAD = 3
_AHEAD_S = 0.03
_NEW = ScheduleSpec(NewJob("", b"{}"))
_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def worded(spec: ScheduleSpec) -> str:
    """When it fires, in words where they are short; else the expression."""
    if spec.interval_ms is not None:
        return f"every {formats.duration(spec.interval_ms)}"
    if not spec.cron:
        return "–"
    minute, hour, day, month, weekday = (spec.cron or "* * * * *").split()
    daily = day == "*" and month == "*"
    if daily and weekday == "*" and hour == "*" and minute.startswith("*/"):
        return f"every {minute[2:]} minutes"
    if daily and weekday == "*" and hour == "*" and minute.isdigit():
        return f"every hour at :{int(minute):02d}"
    if minute.isdigit() and hour.isdigit():
        at = f"at {int(hour):02d}:{int(minute):02d}"
        if daily and weekday == "*":
            return f"every day {at}"
        if daily and weekday.isdigit() and int(weekday) < 8:
            return f"every {_DAYS[int(weekday)]} {at}"
    return "every minute" if daily and weekday == hour == minute == "*" else f"by {spec.cron}"


def upcoming(schedule: Schedule) -> list[int]:
    """The next few fires: none of one that can't fire, and fewer if no more follow."""
    if schedule.aside:
        return []
    found = [schedule.next_at]
    with contextlib.suppress(CronUnreadable, NoMoreFires, ZoneUnknown):
        while len(found) < _AHEAD:
            found.append(next_after(schedule.spec, found[-1], schedule.created_at))
    return found


def _rows(schedules: list[Schedule]) -> list[tuple[Schedule, str, list[int]]]:
    """The rows of the table. Fires after the next are left out once computing them has taken too long."""
    began, rows = time.perf_counter(), []
    for schedule in schedules:
        late = time.perf_counter() - began > _AHEAD_S
        ahead = upcoming(schedule) if not late or schedule.aside else [schedule.next_at]
        rows.append((schedule, worded(schedule.spec), ahead))
    return rows


@get("/web/schedules")
async def show_schedules(view: View) -> Reply:
    """All schedules, and a form for a new one or for a change."""
    page = await view.engine.reading.schedules(_SHOWN, view.query.get("after", ""))
    chosen = None
    if view.query.get("name"):
        with contextlib.suppress(ScheduleNotFound):  # it was removed meanwhile: the form is for a new one
            chosen = await view.engine.reading.schedule(view.query["name"])
    shown = texts_of(_NEW if chosen is None else chosen.spec)
    values = {
        "schedules": _rows(page.schedules),
        "next": view.at("/schedules", after=page.after) if page.after else "",
        "chosen": chosen,
        "shown": shown,
        "was": forms.shown(shown),
        "ways": [one.value for one in Missed],
        "now": (await cached_stats(view.state).stats()).now,
    }
    return view.page("schedules.html", "Schedules", "schedules", values, view.curl("GET", "/v1/schedules"))


@post("/web/schedules")
async def keep(view: View) -> Reply:
    """Make a schedule, or change it."""
    form = await forms.read(view.request)
    name = form.text("name").strip()
    checks.schedule_name(name)
    before = await known(view, name)
    if before is None and form.has(WAS):
        raise ScheduleNotFound(f"There is no schedule {name} any more: it was deleted since the form was shown.")
    spec = spec_of(form, before)
    await view.actions.act(
        "schedule.set", name, spec.job.queue, spec=spec, paused=before.paused if before is not None else False
    )
    return view.back("/schedules", "schedule.set")


async def known(view: View, name: str) -> Schedule | None:
    """The schedule that a form is to change; None if it is for a new one."""
    try:
        before = await view.engine.reading.schedule(name)
    except ScheduleNotFound:
        return None
    if before.payload_hidden:
        raise Forbidden("This key sees no payloads: what the form says would take the place of one that it does not show.")
    return before


def texts_of(spec: ScheduleSpec) -> forms.Texts:
    """What the fields of the form show."""
    return {
        "cron": spec.cron or "",
        "timezone": spec.timezone,
        "interval_ms": "" if spec.interval_ms is None else units.duration(spec.interval_ms),
        "queue": "" if spec.publish else spec.job.queue,
        "type": spec.job.type,
        "missed": spec.missed.value,
        "tags": ", ".join(spec.job.extras.tags),
        "publish": ["1"] if spec.publish else [],
        "overlap": ["1"] if spec.overlap else [],
        "payload": formats.text_of(spec.job.payload),
    }


def spec_of(form: forms.Form, before: Schedule | None) -> ScheduleSpec:
    """The values of the form; fields that it does not show, or that were not touched, stay as they were."""
    old = before.spec if before is not None else ScheduleSpec(NewJob(NO_QUEUE, b"null"))
    job, publish, extras = old.job, old.publish, old.job.extras

    def given(*names: str) -> bool:
        return before is None or form.touches(*names)

    queue = job.queue
    if given("queue", "publish"):
        publish = form.has("publish")
        queue = NO_QUEUE if publish else form.text("queue").strip()
    if given("tags"):
        extras = replace(extras, tags=tags_of(form.text("tags")))
    cron, interval_ms = old.cron, old.interval_ms
    if given("cron", "interval_ms"):
        cron = form.some("cron")
        interval_ms = form.duration("interval_ms", limits.INTERVAL_MS_MIN, limits.INTERVAL_MS_MAX)
    missed = form.text("missed", Missed.ONE.value)
    if missed not in set(Missed):
        raise breach("missed", f"must be one of {', '.join(one.value for one in Missed)}")
    return ScheduleSpec(
        replace(
            job,
            queue=queue,
            payload=json_of("payload", form.text("payload")) if given("payload") else job.payload,
            type=form.text("type").strip() if given("type") else job.type,
            extras=NO_EXTRAS if extras == Extras() else extras,
        ),
        publish,
        cron,
        (form.some("timezone") or "UTC") if given("timezone") else old.timezone,
        interval_ms,
        Missed(missed) if given("missed") else old.missed,
        form.has("overlap") if given("overlap") else old.overlap,
    )


@post("/web/schedules/{name}/{verb}")
async def act(view: View, name: str, verb: str) -> Reply:
    """Pause, resume, run now or remove."""
    form = await forms.read(view.request)
    if verb not in ("pause", "resume", "run", "delete"):
        raise NotFound(f"There is no action {verb[:40]} for schedules.")
    if verb == "delete":
        forms.typed(form, f"delete {name}")
    queue = (await view.engine.reading.schedule(name)).spec.job.queue
    await view.actions.act(f"schedule.{verb}", name, queue, paused=verb == "pause")
    return view.back("/schedules", f"schedule.{verb}")


ROUTES: list[Route] = [show_schedules, keep, act]
