"""One job: its timeline, why it is not running, its payload and result fetched on demand, and its actions."""

import asyncio
import re
from typing import Any

import msgspec
from msgspec.structs import replace

from holdfast import limits
from holdfast.doors.rest import bodies
from holdfast.doors.rest.parameters import JobId
from holdfast.doors.web import cures, formats, forms, related_jobs, timeline
from holdfast.doors.web.filters import pairs_of, shown_pairs
from holdfast.doors.web.layout import View, get, post
from holdfast.doors.web.operations import restore
from holdfast.doors.web.running_jobs import names_of
from holdfast.engine import checks
from holdfast.engine.failure_groups import line_of
from holdfast.errors import InvalidRequest, MalformedJson, NotFound, breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.budget import without_charges
from holdfast.job.job import NO_EXTRAS, WAITING, Content, Extras, Job, NewJob, State
from holdfast.job.meta import Meta
from holdfast.job.operation import JobFilter
from holdfast.messages.views import JobDetail

SHOWN_BYTES = 64 << 10  # of a payload or a result, on the screen
EDITED_BYTES = 256 << 10  # larger payloads are changed through the API
_ACTIONS = {"retry": "job.retry", "cancel": "job.cancel", "promote": "job.promote", "delete": "job.delete"}
_UNDONE = frozenset((State.DEAD, State.SCHEDULED, State.READY, State.LEASED))  # for these the last error says what to fix
_CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+\Z")


@get("/web/jobs/{job_id}")
async def show_job(view: View, job_id: JobId) -> Reply:
    """The job's screen, without its payload."""
    detail = await view.engine.reading.glance(job_id)
    job = detail.job
    (facts, reasons), chain = await asyncio.gather(
        view.engine.reading.why(job_id), related_jobs.around(view.engine.reading, detail)
    )
    tries = timeline.attempts(detail, facts.between)
    progress = detail.progress
    values = {
        "job": job,
        "type": detail.content.type,
        "content_type": detail.content.content_type,
        "now": detail.now,
        "reasons": [(code, sentence, cures.of(facts, code)) for code, sentence in reasons],
        "attempts": timeline.rows(tries, facts.between),
        "happened": timeline.WORDS,
        "spans": timeline.spans(detail, tries, facts.between),
        "line_end": timeline.end_of(job, detail.now),
        "width": timeline.WIDTH,
        "result_bytes": detail.result_bytes,
        "progress": formats.pretty(progress, is_json=True, whole=True) if progress is not None else None,
        "share": formats.share(progress) if progress is not None else None,
        "last_error": max(detail.errors, key=lambda error: error.attempt, default=None) if job.state in _UNDONE else None,
        "line_of": line_of,
        "names": await names_of(view, [one.worker for one in tries]),
        "lease_ms_left": max(0, job.lease.until - detail.now) if job.lease is not None else None,
        "can": _possible(job),
        "small": job.size <= EDITED_BYTES,
        "holder": job.lease or job.ended_by,
        "places": facts.group_holders,
        "chain": chain,
    }
    return view.page("job.html", f"Job {job_id}", "jobs", values, view.curl("GET", f"/v1/jobs/{job_id}"))


def _possible(job: Job) -> set[str]:
    """What the job's state allows."""
    return {
        State.SCHEDULED: {"promote", "cancel", "edit", "move", "settle", "delete"},
        State.READY: {"cancel", "edit", "move", "settle", "delete"},
        State.LEASED: {"cancel", "release"},
        State.DEAD: {"retry", "move", "settle", "delete"},
        State.CONCLUDED: {"delete"},
        State.CANCELLED: {"retry" if job.has_expired else "restore", "move", "delete"},
    }[job.state]


@get("/web/jobs/{job_id}/{part}")
async def content(view: View, job_id: JobId, part: str) -> Reply:
    """Payload or result: the beginning as text, or with `download` the whole as a file."""
    if part == "edit":
        return await _edit_form(view, job_id)
    if part not in ("payload", "result"):
        raise NotFound(f"A job has no {part[:40]}.")
    if "download" in view.query:
        return _download(await view.engine.reading.job(job_id), part)
    detail = await view.engine.reading.glance(job_id, SHOWN_BYTES)
    data, whole_size = (detail.content.payload, detail.job.size) if part == "payload" else (detail.result, detail.result_bytes)
    is_json = part == "result" or detail.content.content_type is None
    values = {
        "part": part,
        "job": detail.job,
        "missing": data is None,
        "size": whole_size,
        "whole": data is not None and len(data) >= whole_size,
        "shown_bytes": SHOWN_BYTES,
        "text": formats.pretty(data or b"", is_json, len(data or b"") >= whole_size),
        "content_type": (None if is_json else detail.content.content_type) or "application/json",
    }
    curl = view.curl("GET", f"/v1/jobs/{job_id}")
    if view.request.header("hx-request") == "true":
        return view.part("_content.html", values)
    return view.page("content.html", f"{part.capitalize()} of job {job_id}", "jobs", values, curl)


def _download(detail: JobDetail, part: str) -> Reply:
    """The stored bytes, never rendered by the browser."""
    data = detail.content.payload if part == "payload" else detail.result
    if data is None:
        raise NotFound(f"Job {detail.job.id} has no result.")
    is_json = part == "result" or detail.content.content_type is None
    kind = "application/json" if is_json else detail.content.content_type or ""
    name = f"job-{detail.job.id}-{part}.{'json' if is_json else 'bin'}"
    headers = (
        (b"content-disposition", f'attachment; filename="{name}"'.encode()),
        (b"content-security-policy", b"default-src 'none'; sandbox"),
    )
    return Reply(200, data, kind.encode() if _CONTENT_TYPE.match(kind) else b"application/octet-stream", headers)


@post("/web/jobs/{job_id}/restore")
async def undo_cancel(view: View, job_id: JobId) -> Reply:
    """Let a job that was cancelled wait again."""
    await forms.read(view.request)
    await restore(view, (await view.engine.reading.glance(job_id)).job.queue, JobFilter(jobs=(job_id,)))
    return view.back(f"/jobs/{job_id}", "operation.start")


@post("/web/jobs/{job_id}/{verb}")
async def act(view: View, job_id: JobId, verb: str) -> Reply:
    """Retry, cancel, promote, delete, move, edit or clone it, or take its lease back."""
    form = await forms.read(view.request)
    detail = await view.engine.reading.glance(job_id)
    queue = detail.job.queue
    if verb == "move":
        target = form.text("target").strip()
        checks.queue_name("target", target)
        put = await view.actions.act("job.move", str(job_id), queue, to_queue=target)
        return view.back(f"/jobs/{put}", "job.move")
    if verb == "settle":
        outcome = form.text("outcome")
        if outcome not in ("concluded", "dead"):
            raise breach("outcome", 'must be "concluded" or "dead"')
        await view.actions.act("job.settle", str(job_id), queue, outcome=outcome, reason=form.text("reason").strip())
        return view.back(f"/jobs/{job_id}", "job.settle")
    if verb == "clone":
        put = await _clone(view, job_id, queue)
        return view.back(f"/jobs/{put}", "job.enqueue")
    if verb == "edit":
        await view.actions.act("job.edit", str(job_id), queue, **_edited(form, detail))
        return view.back(f"/jobs/{job_id}", "job.edit")
    if verb == "release-lease":
        await view.actions.act("job.release_lease", str(job_id), queue, attempt=form.int("attempt"))
        return view.back(f"/jobs/{job_id}", "job.release_lease")
    if verb not in _ACTIONS:
        raise NotFound(f"There is no action {verb[:40]} for jobs.")
    if verb == "delete":
        forms.typed(form, f"delete {job_id}")
    await view.actions.act(_ACTIONS[verb], str(job_id), queue)
    if verb == "delete":
        return view.back(f"/queues/{queue}", "job.delete")
    return view.back(f"/jobs/{job_id}", _ACTIONS[verb])


async def _clone(view: View, job_id: int, queue: str) -> int:
    """Enqueue the same again, to run now; its payload does not pass through the browser."""
    detail = await view.engine.reading.job(job_id)
    put: int = await view.actions.act("job.enqueue", "", queue, job=again(detail))
    return put


def again(detail: JobDetail) -> NewJob:
    """The same job copied_extras, to run at once; any worker may take it."""
    job, content = detail.job, detail.content
    return NewJob(
        job.queue,
        content.payload,
        content.type,
        content.content_type,
        job.priority,
        max_attempts=job.max_attempts,
        extras=copied_extras(job.extras),
    )


def copied_extras(extras: Extras, **changes: Any) -> Extras:
    """The same for another job, but for what belongs to the one that had it."""
    made = replace(
        extras,
        worker=None,
        follows=None,
        beanstalk=None,
        expires_at=None,
        batch=None,
        closes=None,
        budgets=without_charges(extras.budgets, extras.queue_budgets),
        queue_budgets=(),
        **changes,
    )
    return NO_EXTRAS if made == NO_EXTRAS else made


async def _edit_form(view: View, job_id: int) -> Reply:
    detail = await view.engine.reading.glance(job_id, EDITED_BYTES)
    job = detail.job
    if job.state not in WAITING:
        raise NotFound(f"Job {job_id} is {job.state.value}: only a scheduled or ready job can be edited.")
    text_can = detail.content.content_type is None and job.size <= EDITED_BYTES
    shown = texts_of(detail)
    values = {
        "job": job,
        "now": detail.now,
        "shown": shown,
        "was": forms.shown(shown),
        "payload": formats.text_of(detail.content.payload) if text_can else None,
    }
    body = msgspec.json.encode({"priority": job.priority}).decode()
    return view.page("edit.html", f"Edit job {job_id}", "jobs", values, view.curl("PATCH", f"/v1/jobs/{job_id}", body))


def texts_of(detail: JobDetail) -> dict[str, str]:
    """What the fields of the form show, but for the payload."""
    job = detail.job
    return {
        "type": detail.content.type,
        "priority": f"{job.priority}",
        "max_attempts": f"{job.max_attempts}",
        "tags": ", ".join(job.extras.tags),
        "meta": shown_pairs(job.extras.meta),
    }


def _edited(form: forms.Form, detail: JobDetail) -> dict[str, Any]:
    """What is different from what the form showed, and from what it is now."""
    job, given = detail.job, dict[str, Any]()
    for name, was in (("priority", job.priority), ("max_attempts", job.max_attempts)):
        value = form.int(name) if form.touches(name) else None
        if value is not None and value != was:
            given[name] = value
    delay = form.duration("delay_ms", 0, limits.DELAY_MS_MAX)
    if delay is not None:
        given["delay_ms"] = delay
    given |= _deadline(form)
    if form.has("tags") and form.touches("tags"):
        tags = tags_of(form.text("tags"))
        if tags != job.extras.tags:
            given["tags"] = tags
    if form.touches("meta"):
        meta = meta_given(form, job.extras.meta)
        if meta != job.extras.meta:
            given["meta"] = meta
    if form.has("type") and form.touches("type") and form.text("type") != detail.content.type:
        given["type"] = form.text("type")
    if form.has("payload") and form.text("payload") != form.text("payload_was"):
        given["content"] = Content("", None, json_of("payload", form.text("payload")))
        given.setdefault("type", detail.content.type)
    return given


def _deadline(form: forms.Form) -> dict[str, Any]:
    """What a form says of the time to live, if anything; “none” takes it away."""
    if (lasts := form.some("expires_in_ms")) is None:
        return {}
    if lasts.lower() == "none":
        return {"expires_at": 0}
    return {"expires_in_ms": form.duration("expires_in_ms", 1, limits.EXPIRES_MS_MAX)}


def meta_given(form: forms.Form, was: Meta) -> Meta:
    """What a form says of `meta`. What it showed, and nobody changed, stays as it was, line breaks in values included."""
    typed = form.text("meta").replace("\r\n", "\n").strip()
    return was if not form.has("meta") or typed == shown_pairs(was).strip() else pairs_of("meta", typed)


def tags_of(text: str) -> tuple[str, ...]:
    """Tags as they are typed, with commas between them."""
    return tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))


def json_of(field: str, text: str) -> bytes:
    """A typed JSON document as its bytes: as it was typed, so that no number changes."""
    data = text.strip().encode("utf-8", "replace")
    try:
        bodies.decode(data or b"null", msgspec.Raw)
    except MalformedJson as error:
        raise InvalidRequest(error.detail.replace("The body", f"The {field}", 1), field=field) from None
    bodies.check_json(field, data)
    return data or b"null"


ROUTES: list[Route] = [show_job, content, undo_cancel, act]
