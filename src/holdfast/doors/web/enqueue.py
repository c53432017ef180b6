"""Enqueuing a job from the page: a new one, or a changed copy of an existing one."""

from datetime import datetime
from typing import Any

import msgspec

from holdfast import limits
from holdfast.doors.rest import bodies
from holdfast.doors.web import formats, forms
from holdfast.doors.web.filters import shown_pairs
from holdfast.doors.web.jobs import EDITED_BYTES, copied_extras, json_of, meta_given, tags_of
from holdfast.doors.web.layout import View, get, post
from holdfast.engine import checks
from holdfast.errors import breach
from holdfast.http.reply import Reply
from holdfast.http.route import Route
from holdfast.job.job import NO_EXTRAS, Extras, NewJob
from holdfast.messages.views import JobDetail

_SHOWN = 1_000  # characters of a payload, in the command line
_TEXT = "text/plain; charset=utf-8"


@get("/web/enqueue")
async def enqueue_form(view: View) -> Reply:
    """The form; with `from`, filled in as that job is."""
    queue = view.query.get("queue", "")
    source = view.query.get("from")
    filled: dict[str, Any] = {
        "queue": queue,
        "type": "",
        "payload": "{}",
        "priority": "",
        "max_attempts": "",
        "tags": "",
        "meta": "",
        "unique_key": "",
        "group_key": "",
        "fair_key": "",
        "group_limit": "",
    }
    large = None
    if source:
        detail = await view.engine.reading.glance(forms.whole("from", source), EDITED_BYTES)
        filled |= _as_form(detail)
        large = detail.job if detail.job.size > EDITED_BYTES or detail.content.content_type is not None else None
    page = await view.engine.reading.queues(200, "")
    values = {"filled": filled, "source": source, "large": large, "queues": [info.name for info in page.queues]}
    small = len(filled["payload"]) <= _SHOWN and large is None
    body = f'{{"type": {msgspec.json.encode(filled["type"]).decode()}, "payload": {filled["payload"] if small else "…"}}}'
    curl = view.curl("POST", f"/v1/queues/{filled['queue'] or 'QUEUE'}/jobs", body)
    return view.page("enqueue.html", "Enqueue a job", "enqueue", values, curl)


def _as_form(detail: JobDetail) -> dict[str, Any]:
    job = detail.job
    return {
        "queue": job.queue,
        "type": detail.content.type,
        "payload": formats.text_of(detail.content.payload) if job.size <= EDITED_BYTES else "",
        "priority": job.priority,
        "max_attempts": job.max_attempts,
        "tags": ", ".join(job.extras.tags),
        "meta": shown_pairs(job.extras.meta),
        "unique_key": job.extras.unique_key or "",
        "group_key": job.extras.group_key or "",
        "fair_key": job.extras.fair_key or "",
        "group_limit": job.extras.group_limit if job.extras.group_key is not None else "",
    }


@post("/web/enqueue")
async def enqueue(view: View) -> Reply:
    """Enqueue it."""
    new = await described(view, await forms.read(view.request))
    put = await view.actions.act("job.enqueue", "", new.queue, job=new)
    return view.back(f"/jobs/{put}", "job.enqueue")


async def described(view: View, form: forms.Form) -> NewJob:
    """The job that the form describes; what it does not show is that of the job `from`."""
    source = form.some("from")
    if source is None:
        return _new_job(form, NO_EXTRAS)
    return _new_job(form, (await view.engine.reading.glance(forms.whole("from", source))).job.extras)


def _new_job(form: forms.Form, extras: Extras) -> NewJob:
    queue = form.text("queue").strip()
    checks.queue_name("queue", queue)
    as_text = form.text("kind") == "text"
    typed = form.text("payload")
    payload = typed.replace("\r\n", "\n").encode("utf-8", "replace") if as_text else json_of("payload", typed)
    limit = form.int("group_limit")
    return NewJob(
        queue,
        payload,
        form.text("type").strip(),
        _TEXT if as_text else None,
        form.int("priority"),
        form.duration("delay_ms", 0, limits.DELAY_MS_MAX),
        _moment(form.some("run_at")),
        form.int("max_attempts"),
        expires_in_ms=form.duration("expires_in_ms", 1, limits.EXPIRES_MS_MAX),
        extras=copied_extras(
            extras,
            unique_key=form.some("unique_key"),
            group_key=form.some("group_key"),
            fair_key=form.some("fair_key"),
            group_limit=1 if limit is None else limit,
            tags=tags_of(form.text("tags")),
            meta=meta_given(form, extras.meta),
        ),
    )


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text if text.endswith("Z") or "+" in text else f"{text}+00:00")
    except ValueError:
        raise breach("run_at", "must be a UTC time such as 2026-12-24T18:00") from None
    return bodies.millis(moment)


ROUTES: list[Route] = [enqueue_form, enqueue]
