"""What `failures` of a client gives."""

from datetime import datetime

import msgspec


class FailureGroup(msgspec.Struct, kw_only=True):
    """Jobs that failed alike. `example` is the latest of them."""

    key: str
    queue: str
    type: str
    kind: str
    error: str
    error_class: str = ""
    place: str = ""
    dead: int
    waiting: int
    recovered: int
    workers: int
    first_at: datetime
    last_at: datetime
    example: int


class FailedJob(msgspec.Struct):
    """A dead job of a group, with its latest error in a line."""

    id: int
    error: str
    worker: str
    attempt: int
    at: datetime


class FailureMembers(FailureGroup, kw_only=True):
    """A group with its dead jobs, the newest first."""

    jobs: list[FailedJob]


class Failures(msgspec.Struct):
    """The newest failures, alike ones together. `jobs` were looked at; `whole`: there are no more."""

    groups: list[FailureGroup]
    jobs: int
    whole: bool
