"""The inbox of a database: jobs that applications enqueued in transactions of their own, and that a node takes in after their commit."""

from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import msgspec

from holdfast.job.job import IdempotencyKey, NewJob
from holdfast.messages.frame import Answer, Command, Phase

REFUSED_QUEUE = "inbox.refused"
"""Where a refused job is kept if the queue that it was meant for can't be."""


class InboxRow(NamedTuple):
    """A job as the application's transaction has left it. `options` is JSON by the names of the HTTP API."""

    job: int
    queue: str
    options: str
    content_type: str | None
    payload: bytes
    idempotency_key: str | None = None
    digest: bytes | None = None


class InboxReading(NamedTuple):
    """How rows are read. `options`: the names that a job's options may have, with their JSON types; `new_job` raises what refuses a row."""

    options: Mapping[str, str]
    new_job: Callable[[InboxRow], NewJob]


class InboxState(msgspec.Struct, frozen=True, array_like=True):
    """What waits in the inbox: how many jobs, how many bytes, and for how long the first of them has. As of the last look, about once a second."""

    rows: int = 0
    bytes: int = 0
    oldest_ms: int = 0


class Arrival(msgspec.Struct, frozen=True, array_like=True):
    """A row that was read. `refused`: why it is none that can be enqueued, as a code and a sentence; `new` then has what can be kept of it."""

    job: int
    new: NewJob
    key: IdempotencyKey | None = None
    refused: tuple[str, str] | None = None


class TakenIn(Answer, frozen=True, tag=168):
    """What became of them. `existing` and `duplicate` are no new jobs; `gone` were taken in before, and `left` could not be decided yet."""

    enqueued: int = 0
    existing: int = 0
    duplicate: int = 0
    refused: int = 0
    gone: int = 0
    left: int = 0


class TakeIn(Command[TakenIn], frozen=True, tag=59):
    """Enqueue these jobs, each by itself, and take them out of the inbox in the same transaction."""

    phase: ClassVar[Phase] = Phase.ENQUEUE

    arrivals: list[Arrival]
