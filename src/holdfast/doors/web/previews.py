"""What a form means before it is sent: whether it would be taken, its times in words, the next runs of a schedule, and the same call as commands.

Nothing is changed. With scripts it stands below the form and follows what is typed; without, a button leads to it.
"""

import shlex
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from holdfast import units
from holdfast.doors.web import formats, forms
from holdfast.doors.web.enqueue import described
from holdfast.doors.web.layout import View, post
from holdfast.doors.web.overview import cached_stats
from holdfast.doors.web.schedules import known, spec_of, worded
from holdfast.engine import checks
from holdfast.errors import HoldfastError
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job import schedule as rules
from holdfast.job.budget import Charge
from holdfast.job.cron import CronUnreadable, NoMoreFires, ZoneUnknown
from holdfast.job.job import NewJob, UniqueWhile
from holdfast.job.schedule import Missed, ScheduleSpec

_AHEAD = 5
_SHOWN_BYTES = 1_000  # of a payload in a command
_NO_FLAGS = frozenset(("run_at", "group_limit", "lease_ms", "retry", "unique_while"))
"""What the command line has no options for."""
_NO_FLAGS_OF_SCHEDULES = _NO_FLAGS | {"budgets", "fair_cost"}
Facts = list[tuple[str, str]]


@post("/web/enqueue/preview")
async def preview_job(view: View) -> Reply:
    """What the form for a job means."""
    form = await forms.read(view.request)
    now = (await cached_stats(view.state).stats()).now
    values: dict[str, Any] = {"facts": [], "commands": [], "runs": [], "error": ""}
    try:
        job = await described(view, form)
        checks.new_job(job, view.state.engine.payload_bytes, "")
        values |= {"facts": _job_facts(job, now), "commands": _job_commands(view, job)}
    except HoldfastError as error:
        values["error"] = error.detail
    return _shown(view, "Preview of a job", "enqueue", values, now)


@post("/web/schedules/preview")
async def preview_schedule(view: View) -> Reply:
    """What the form for a schedule means: when it runs, in its own time zone."""
    form = await forms.read(view.request)
    now = (await cached_stats(view.state).stats()).now
    values: dict[str, Any] = {"facts": [], "commands": [], "runs": [], "error": ""}
    try:
        if name := form.text("name").strip():
            checks.schedule_name(name)
        before = await known(view, name) if name else None
        spec = spec_of(form, before)
        rules.check(spec, now)
        if not spec.publish:
            checks.queue_name("queue", spec.job.queue)
        runs = _runs(spec, now)
        values |= {
            "facts": [("Runs", worded(spec)), ("Time zone", spec.timezone if spec.cron else "UTC")],
            "runs": [(moment, _local(spec, moment)) for moment in runs],
            "commands": _schedule_commands(view, name or "NAME", spec, before is not None and before.paused),
        }
    except HoldfastError as error:
        values["error"] = error.detail
    return _shown(view, "Preview of a schedule", "schedules", values, now)


def _shown(view: View, title: str, here: str, values: dict[str, Any], now: int) -> Reply:
    values |= {"now": now, "back": view.at(f"/{here}")}
    if view.request.header("hx-request") == "true":
        return view.part("_preview.html", values)
    return view.page("preview.html", title, here, values)


def _job_facts(job: NewJob, now: int) -> Facts:
    facts = [("Payload", f"{'text' if job.content_type else 'JSON'}, {formats.size(len(job.payload))}")]
    ready_at = job.run_at if job.run_at is not None else now + (job.delay_ms or 0)
    if ready_at > now:
        facts.append(("Ready", f"{formats.ago(ready_at, now)}, {formats.moment(ready_at)}"))
    else:
        facts.append(("Ready", "at once"))
    if job.expires_in_ms is not None:
        ends_at = max(ready_at, now) + job.expires_in_ms
        facts.append(("Cancelled", f"unless a worker has it by {formats.moment(ends_at)}"))
    return facts


def _payload(job: NewJob) -> Any:
    return msgspec.Raw(job.payload) if len(job.payload) <= _SHOWN_BYTES else "…"


def _options(job: NewJob) -> dict[str, Any]:
    extras = job.extras
    given = {
        "type": job.type,
        "priority": job.priority,
        "delay_ms": job.delay_ms,
        "run_at": None if job.run_at is None else formats.iso(job.run_at),
        "max_attempts": job.max_attempts,
        "expires_in_ms": job.expires_in_ms,
        "lease_ms": extras.lease_ms,
        "retry": None if extras.retry is None else msgspec.to_builtins(extras.retry),
        "unique_key": extras.unique_key,
        "unique_while": None if extras.unique_while is UniqueWhile.UNFINISHED else extras.unique_while.value,
        "group_key": extras.group_key,
        "group_limit": extras.group_limit if extras.group_key is not None and extras.group_limit != 1 else None,
        "fair_key": extras.fair_key,
        "fair_cost": None if extras.fair_cost == 1 else extras.fair_cost,
        "budgets": [msgspec.to_builtins(charge) for charge in extras.budgets],
        "tags": list(extras.tags),
        "meta": dict(extras.meta),
    }
    return {name: value for name, value in given.items() if value not in (None, "", [], {})}


def _flags(options: dict[str, Any]) -> list[str]:
    words = []
    for name, value in options.items():
        flag = "--" + name.removesuffix("_ms").replace("_", "-")
        match name:
            case "tags":
                words += [word for tag in value for word in ("--tag", tag)]
            case "meta":
                words += [word for pair in value.items() for word in ("--meta", "=".join(pair))]
            case "budgets":
                words += [word for charge in value for word in ("--budget", _charge(msgspec.convert(charge, Charge)))]
            case "delay_ms" | "expires_in_ms":
                words += [flag, units.duration(value).replace(" ", "")]
            case _:
                words += [flag, str(value)]
    return words


def _charge(charge: Charge) -> str:
    return f"{charge.account if charge.key else charge.name}={charge.cost}"


def _line(words: list[str], names: list[str], flags: list[str]) -> str:
    """A command; what would be taken for an option stands behind `--`."""
    if any(name.startswith("-") for name in names):
        return shlex.join([*words, *flags, "--", *names])
    return shlex.join([*words, *names, *flags])


def _job_commands(view: View, job: NewJob) -> list[str]:
    options = _options(job)
    if job.content_type:
        asked = {
            name: value if isinstance(value, int | str) else msgspec.json.encode(value).decode()
            for name, value in options.items()
        }
        text = job.payload.decode(errors="replace") if len(job.payload) <= _SHOWN_BYTES else "…"
        curl = view.curl("POST", f"/v1/queues/{job.queue}/jobs", text, **asked)
        # --data-raw: of any other way curl sends the file that a text with an @ in front names
        return [curl.replace("--json", f"-H {shlex.quote(f'Content-Type: {job.content_type}')} --data-raw", 1)]
    body = msgspec.json.encode({"payload": _payload(job), **options}).decode()
    found = [view.curl("POST", f"/v1/queues/{job.queue}/jobs", body)]
    if not _NO_FLAGS & options.keys():
        payload = job.payload.decode() if len(job.payload) <= _SHOWN_BYTES else "…"
        found.append(_line(["holdfast", "job", "push"], [job.queue, payload], _flags(options)))
    return found


def _schedule_commands(view: View, name: str, spec: ScheduleSpec, paused: bool) -> list[str]:
    when: dict[str, Any] = {"cron": spec.cron, "timezone": spec.timezone} if spec.cron else {"interval_ms": spec.interval_ms}
    target: dict[str, Any] = {"publish": True} if spec.publish else {"queue": spec.job.queue}
    how: dict[str, Any] = {} if spec.missed is Missed.ONE else {"missed": spec.missed.value}
    if not spec.overlap:
        how["overlap"] = False
    if paused:
        how["paused"] = True
    options = _options(spec.job)
    body = msgspec.json.encode({**when, **target, "payload": _payload(spec.job), **how, **options}).decode()
    found = [view.curl("PUT", f"/v1/schedules/{name}", body)]
    if _NO_FLAGS_OF_SCHEDULES & options.keys():
        return found
    words = (
        ["--cron", spec.cron, "--timezone", spec.timezone]
        if spec.cron
        else ["--every", units.duration(spec.interval_ms or 0).replace(" ", "")]
    )
    words += ["--publish"] if spec.publish else ["--queue", spec.job.queue]
    words += ["--payload", spec.job.payload.decode() if len(spec.job.payload) <= _SHOWN_BYTES else "…"]
    words += ["--missed", spec.missed.value] if "missed" in how else []
    words += ["--no-overlap"] if not spec.overlap else []
    words += ["--paused"] if paused else []
    return [*found, _line(["holdfast", "schedule", "set"], [name], [*words, *_flags(options)])]


def _runs(spec: ScheduleSpec, now: int) -> list[int]:
    found: list[int] = []
    try:
        while len(found) < _AHEAD:
            found.append(rules.next_after(spec, found[-1] if found else now, now))
    except (CronUnreadable, NoMoreFires, ZoneUnknown):
        pass
    return found


def _local(spec: ScheduleSpec, moment: int) -> str:
    """A moment where the schedule is, with the abbreviation of the zone: it tells summer time from winter time."""
    zone = ZoneInfo(spec.timezone) if spec.cron else UTC
    return datetime.fromtimestamp(moment / 1_000, zone).strftime("%a %Y-%m-%d %H:%M:%S %Z")


ROUTES: list[Route] = [preview_job, preview_schedule]
