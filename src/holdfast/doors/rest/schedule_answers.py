"""What native HTTP answers about schedules."""

import msgspec
from msgspec import UNSET, UnsetType

from holdfast.doors.rest import job_fields as of_a_job
from holdfast.doors.rest.types import Attempts, ExpiresInMs, Instant, Json, LeaseMs, Priority, QueueName
from holdfast.job.job import UniqueWhile
from holdfast.job.retry import RetryPolicy


class ScheduleOut(msgspec.Struct, kw_only=True):
    """A schedule: what it enqueues, its next fire, and the result of its last fires. Of the options of its jobs, those that it says."""

    name: str
    queue: QueueName | None
    publish: bool
    type: str
    payload: Json
    cron: str | None
    timezone: str
    interval_ms: int | None
    missed: str
    overlap: bool
    paused: bool
    created_at: Instant
    next_at: Instant | None
    last_at: Instant | None
    last_jobs: tuple[int, ...]
    last_error: str | None
    fired: int
    skipped: int
    try_at: Instant | UnsetType = UNSET
    set_aside: bool | UnsetType = UNSET
    payload_hidden: bool | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    max_attempts: Attempts | UnsetType = UNSET
    lease_ms: LeaseMs | UnsetType = UNSET
    retry: RetryPolicy | UnsetType = UNSET
    expires_in_ms: ExpiresInMs | UnsetType = UNSET
    unique_key: of_a_job.UniqueKey | UnsetType = UNSET
    unique_while: UniqueWhile | UnsetType = UNSET
    group_key: of_a_job.GroupKey | UnsetType = UNSET
    group_limit: of_a_job.GroupLimit | UnsetType = UNSET
    tags: tuple[str, ...] | UnsetType = UNSET
    meta: of_a_job.Named | UnsetType = UNSET
    budgets: of_a_job.Budgets | UnsetType = UNSET
    fair_key: of_a_job.FairKey | UnsetType = UNSET
    fair_cost: of_a_job.FairCost | UnsetType = UNSET


class SchedulesOut(msgspec.Struct):
    """A page of schedules by name."""

    schedules: list[ScheduleOut]
    next_cursor: str | None
