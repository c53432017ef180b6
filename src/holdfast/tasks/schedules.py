"""Schedules of tasks. A worker makes them when it starts, and changes those that are defined otherwise by now.

One that an operator has paused stays paused. One that is as it should be is not set again: that would forget a run that is owed, such as one
that a full queue has refused.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.client import AsyncClient
from holdfast.client.contents import encode
from holdfast.client.schedules import Schedule, ScheduleSpec
from holdfast.errors import ScheduleNotFound
from holdfast.limits import INTERVAL_MS_MAX, INTERVAL_MS_MIN, SCHEDULE_NAME
from holdfast.tasks.options import Duration, milliseconds
from holdfast.tasks.task import Task, sent

_NOT_BY_ITSELF = {
    "delay_ms": "delay: when it runs is said by the schedule",
    "run_at": "run_at: when it runs is said by the schedule",
    "batch": "batch: it would be the same one at each run",
    "on_conflict": "on_conflict: a run whose key is held is tried again, or with overlap=False left out",
    "debounce_max_ms": "debounce_max: a run is not debounced",
}


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
        for option, said in _NOT_BY_ITSELF.items():
            if option in task.fields:
                raise ValueError(f"{task.name}: a schedule takes no {said}")
        self.by_name[name] = (task, when)

    async def set(self, client: AsyncClient, names: set[str]) -> None:
        """Make or change the schedules of the tasks with these names."""
        for name, (task, when) in self.by_name.items():
            if task.name in names:
                await _set(client, name, task, when)


async def _set(client: AsyncClient, name: str, task: Task[..., Any], when: When) -> None:
    wanted = {**sent(task.job()), "payload": {}, **when.fields}
    before: Schedule | None
    try:
        before = await client.schedule(name)
    except ScheduleNotFound:
        before = None
    if before is not None and _spec(encode(before)) == _spec(encode(wanted)):
        return
    await client.set_schedule(name, **wanted, paused=before is not None and before.paused)


def _spec(json: bytes) -> ScheduleSpec:
    return msgspec.json.decode(json, type=ScheduleSpec)
