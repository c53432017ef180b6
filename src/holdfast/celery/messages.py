"""A message of kombu as a job, and a job as a message.

The payload of a job is the message whole, as kombu's own transports store it; one that came through an exchange stands in the field `message`,
beside the routing key for which it was sent. What is of the server's concern is said in the options of the job as well:

    header `task`            type          so that one can look for, pause and count the tasks of one name
    header `id`              meta.task_id
    header `eta`             delay_ms      the server holds it until it is due: a worker has no timer, and no lease, meanwhile
    property `priority`      priority      the highest first, as AMQP has it
    property `expiration`    expires_in_ms

A job that no Celery has sent, of whatever client or of a schedule, is a call of the task that its type names: an object of arguments, or a list.
"""

import sys
import uuid
from datetime import datetime, tzinfo
from typing import Any

import msgspec
from kombu.utils.json import dumps, loads

from holdfast.client import Job

Message = dict[str, Any]

USUAL_PRIORITY = 1_024
_MAX_PRIORITY = 255  # as AMQP
_TYPE_CHARS = 128
_META_CHARS = 256
_LONGEST_MS = 316_224_000_000  # 3,660 days, the bound of the server
_DELAY = "holdfast_delay_ms"
_OUR_NAMES = uuid.UUID("6f1f5c4e-5a0b-4d7e-9b5d-6b1f0d7c9a11")


class NotAMessage(ValueError):
    """The job is neither a message of kombu nor a call of a task."""


def encoded(message: Message) -> msgspec.Raw:
    """The payload of a job that is put into a queue."""
    return msgspec.Raw(dumps(message).encode())


def copied(message: Message, field: str, routing_key: str) -> msgspec.Raw:
    """The data of an event for an exchange: subscriptions look at one field of it."""
    return msgspec.Raw(dumps({"exchange": {field: routing_key}, "message": dumps(message)}).encode())


def options(message: Message, lowest_first: bool) -> dict[str, Any]:
    """The options of the job."""
    headers, properties = message["headers"], message["properties"]
    found: dict[str, Any] = {}
    task, task_id = headers.get("task"), headers.get("id")
    if isinstance(task, str) and len(task) <= _TYPE_CHARS:
        found["type"] = task
    if isinstance(task_id, str) and len(task_id) <= _META_CHARS:
        found["meta"] = {"task_id": task_id}
    given = _number(properties.get("priority")) or 0
    if given:
        by = min(max(given, 0), _MAX_PRIORITY)
        found["priority"] = USUAL_PRIORITY + by if lowest_first else USUAL_PRIORITY - by
    delay = _delay_ms(headers, properties)
    if delay:
        found["delay_ms"] = delay
    expiration = _number(properties.get("expiration"))
    if expiration is not None:
        found["expires_in_ms"] = min(max(1, expiration - delay), _LONGEST_MS)  # it is counted from when the job is due
    return found


def _when(eta: str) -> datetime | None:
    """An ETA with its time zone: one that names none is read as Celery does."""
    try:
        due = datetime.fromisoformat(eta)
    except ValueError:
        return None
    if due.tzinfo is None:
        zone = _zone_of_celery()
        due = due.astimezone() if zone is None else due.replace(tzinfo=zone)
    return due


def _due(eta: str) -> str:
    """The ETA of a message that is due by the server's clock. The worker's may be behind: it is not to wait for what it takes for the future."""
    due = _when(eta)
    return eta if due is None else min(due, datetime.now(due.tzinfo)).isoformat()


def _delay_ms(headers: Message, properties: Message) -> int:
    """How long until its ETA. It is found once: kombu sends the same message again if a connection breaks, and then it has to be the same."""
    eta = headers.get("eta")
    if not isinstance(eta, str):
        return 0
    if _DELAY not in properties:
        due = _when(eta)
        if due is None:
            return 0
        left = due - datetime.now(due.tzinfo)
        properties[_DELAY] = min(max(0, round(left.total_seconds() * 1_000)), _LONGEST_MS)
    delay: int = properties[_DELAY]
    return delay


def _zone_of_celery() -> tzinfo | None:
    """The time zone in which Celery reads an ETA that names none."""
    state = sys.modules.get("celery._state")
    return None if state is None else state.get_current_app().timezone


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def decoded(job: Job, queue: str, tag: str) -> Message:
    """The message of a job that was leased; raises `NotAMessage`. `tag` names this delivery."""
    message = _message(job)
    properties, headers = message["properties"], message["headers"]
    properties.pop(_DELAY, None)
    if isinstance(eta := headers.get("eta"), str):
        headers["eta"] = _due(eta)
    properties["delivery_tag"] = tag
    info = properties.setdefault("delivery_info", {})
    info["redelivered"] = job.attempt > 1
    info["queue"] = queue
    return message


def _message(job: Job) -> Message:
    if job.body is not None:
        raise NotAMessage(f"its payload is {job.content_type}, and no JSON")
    try:
        found = loads(bytes(job.payload_json))
    except ValueError as error:
        raise NotAMessage(f"its payload can't be read: {error}") from error
    if isinstance(found, dict) and isinstance(found.get("message"), str) and isinstance(found.get("exchange"), dict):
        found = loads(found["message"])
    if isinstance(found, dict) and isinstance(found.get("properties"), dict) and isinstance(found.get("headers"), dict):
        headers = found["headers"]
        if "task" in headers and not (isinstance(headers["task"], str) and isinstance(headers.get("id"), str)):
            raise NotAMessage("a message that calls a task has its name and an id in its headers, which are texts")
        return found
    return _call(job, found)


def _call(job: Job, payload: Any) -> Message:
    """A message that calls the task that the type of a plain job names."""
    if not job.type:
        raise NotAMessage("it is no message of kombu, and has no type that would name a task")
    args: list[Any] = payload if isinstance(payload, list) else []
    kwargs: dict[str, Any] = payload if isinstance(payload, dict) else {}
    if payload is not None and not isinstance(payload, list | dict):
        args = [payload]
    task_id = job.meta.get("task_id") or str(uuid.uuid5(_OUR_NAMES, f"{job.queue}/{job.id}/{job.created_at.isoformat()}"))
    headers: Message = {
        "lang": "py",
        "task": job.type,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "retries": 0,
    }
    headers |= {"eta": None, "expires": None, "timelimit": [None, None], "argsrepr": repr(args), "kwargsrepr": repr(kwargs)}
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return {
        "body": dumps([args, kwargs, embed]),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": {"correlation_id": task_id, "reply_to": "", "body_encoding": None, "delivery_mode": 2, "priority": 0},
    }
