"""Schedules of tasks. A worker makes them when it starts, and changes those that are defined otherwise by now.

One that an operator has paused stays paused. One that is as it should be is not set again: that would forget a run that is owed, such as one
that a full queue has refused.
"""

from dataclasses import dataclass, field
from typing import Any

from holdfast.client import AsyncClient
from holdfast.client.schedules import Schedule
from holdfast.errors import ScheduleNotFound
from holdfast.limits import INTERVAL_MS_MAX, INTERVAL_MS_MIN, SCHEDULE_NAME
from holdfast.tasks.options import Duration, milliseconds
from holdfast.tasks.task import Task, sent

_SHOWN = ("queue", "type", "payload", "cron", "timezone", "interval_ms", "missed", "overlap")  # by the server, of a schedule


@dataclass(frozen=True)
class When:
    """When a task runs by itself: `cron` with `timezone`, or `interval_ms`; and what else the schedule says."""

    fields: dict[str, Any]
    name: str | None = None

    @classmethod
    def every(cls, interval: Duration, name: str | None, more: dict[str, Any]) -> "When":
        """At an interval, counted from when the schedule was made."""
        return cls({"interval_ms": milliseconds("every", interval, INTERVAL_MS_MIN, INTERVAL_MS_MAX), **more}, name)


@dataclass
class Schedules:
    """Those of some tasks, by name."""

    by_name: dict[str, tuple[Task[..., Any], When]] = field(default_factory=dict)

    def add(self, task: Task[..., Any], when: When) -> None:
        """Run this task by itself. Raises `ValueError`."""
        name = when.name or task.name
        if SCHEDULE_NAME.match(name) is None:
            raise ValueError(f"{task.name}: {name!r} can't be the name of a schedule: 1 to 128 of A-Z a-z 0-9 . _ : -")
        if name in self.by_name:
            raise ValueError(f"{task.name}: there is a schedule {name!r} already; give it another name=")
        if task.signature.required:
            raise ValueError(
                f"{task.name}: nobody gives it its {task.signature.required[0]} when it runs by itself: it needs a default"
            )
        self.by_name[name] = (task, when)

    async def set(self, client: AsyncClient, names: set[str]) -> None:
        """Make or change the schedules of the tasks with these names."""
        for name, (task, when) in self.by_name.items():
            if task.name in names:
                await _set(client, name, task, when)


async def _set(client: AsyncClient, name: str, task: Task[..., Any], when: When) -> None:
    job = {**sent(task.job()), "payload": {}}
    before: Schedule | None
    wanted = {"timezone": "UTC", "cron": None, "interval_ms": None} | job | when.fields
    try:
        before = await client.schedule(name)
    except ScheduleNotFound:
        before = None
    if before is not None:
        owes = before.try_at is not None or before.last_error is not None
        if _shown(before) == {key: wanted[key] for key in _SHOWN} and (owes or job.keys() <= set(_SHOWN)):
            return
    paused = before is not None and before.paused
    await client.set_schedule(name, **{key: value for key, value in wanted.items() if value is not None}, paused=paused)


def _shown(schedule: Schedule) -> dict[str, Any]:
    return {key: getattr(schedule, key) for key in _SHOWN}
