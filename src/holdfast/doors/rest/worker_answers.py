"""Registered workers as the HTTP API answers them, as types."""

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from holdfast.doors.rest.types import Id, Instant, QueueName


class WorkOut(msgspec.Struct):
    """A job that a worker has leased."""

    id: Id
    queue: QueueName
    attempt: int
    leased_at: Instant
    ms_left: int


class WorkerOut(msgspec.Struct, kw_only=True):
    """A registered worker; `draining` in the answer to a heartbeat asks it to finish and use another node."""

    id: str
    name: str
    queues: tuple[QueueName, ...]
    state: str
    registered_at: Instant
    types: Annotated[tuple[str, ...], Meta(description="The only types that it takes.")] | UnsetType = UNSET
    host: Annotated[str, Meta(description="The machine that it runs on, where it told that.")] | UnsetType = UNSET
    pid: int | UnsetType = UNSET
    version: Annotated[str, Meta(description="That of its program.")] | UnsetType = UNSET
    draining: bool | UnsetType = UNSET
    beat_at: Instant | UnsetType = UNSET
    silent: Annotated[bool, Meta(description="No heartbeat for more than 60 s: the worker may be gone.")] | UnsetType = UNSET
    jobs: list[WorkOut] | UnsetType = UNSET


class WorkersOut(msgspec.Struct):
    """A page of registered workers."""

    workers: list[WorkerOut]
    next_cursor: str | None = None
