"""Recurring jobs, as the client returns them."""

from datetime import datetime
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Raw, field

from holdfast.client.budgets import Charge
from holdfast.client.contents import NULL, read
from holdfast.client.types import Retry


class ScheduleSpec(msgspec.Struct, kw_only=True, dict=True):
    """What a schedule enqueues, and when. Options of its jobs that are None are their queue's."""

    queue: str | None = None
    publish: bool = False
    type: str = ""
    payload_json: Raw = field(default=NULL, name="payload")
    cron: str | None = None
    timezone: str = "UTC"
    interval_ms: int | None = None
    missed: str = "one"
    overlap: bool = True
    priority: int | None = None
    max_attempts: int | None = None
    lease_ms: int | None = None
    retry: Retry | None = None
    expires_in_ms: int | None = None
    unique_key: str | None = None
    unique_while: str = "unfinished"
    group_key: str | None = None
    group_limit: int = 1
    tags: list[str] = []
    meta: dict[str, str] = {}
    budgets: list[Charge] = []
    fair_key: str | None = None
    fair_cost: int = 1


class Schedule(ScheduleSpec, kw_only=True, dict=True):
    """A recurring job: what it enqueues, when it runs next, and its last runs."""

    name: str
    paused: bool = False
    created_at: datetime
    next_at: datetime | None = None
    last_at: datetime | None = None
    last_jobs: list[int] = []
    last_error: str | None = None
    fired: int = 0
    skipped: int = 0
    try_at: datetime | None = None
    set_aside: bool = False
    payload_hidden: bool = False

    @cached_property
    def payload(self) -> Any:
        """The payload of its jobs; raises `UnreadableJson` if Python can't represent it."""
        return read("payload", self.payload_json, f"the schedule {self.name}")


class SchedulePage(msgspec.Struct):
    """A page of schedules by name."""

    schedules: list[Schedule]
    next_cursor: str | None = None
