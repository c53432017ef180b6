"""Typed tasks: functions that are enqueued by a call which type checkers check, and run by workers. `docs/tasks.md` is the guide.

    tasks.py      Tasks: what belongs together: its tasks, hooks, clients and workers     decorator.py  how a function becomes a task
    task.py       Task, and the Enqueued that a call returns                              signature.py  arguments and results as JSON
    options.py    options and durations                                                   schedules.py  cron and intervals
    batches.py    many jobs in one call                                   injection.py  parameters that are injected
    attempt.py    one attempt of a task, for workers and in eager mode                    worker.py     a Worker with a handler for each task
    many.py       several worker processes

On top of the client and its worker, of which it uses what everybody may.
"""

from holdfast.client import NotConcluded
from holdfast.client.worker import DoNotRetry
from holdfast.client.worker import HeldJob as Job
from holdfast.tasks.batches import BatchTask
from holdfast.tasks.injection import INJECTED, Depends
from holdfast.tasks.options import Retry, RetryAfter, Snooze
from holdfast.tasks.signature import InvalidArguments
from holdfast.tasks.task import Enqueued, Handle, Task
from holdfast.tasks.tasks import Tasks

__all__ = [
    "INJECTED",
    "BatchTask",
    "Depends",
    "DoNotRetry",
    "Enqueued",
    "Handle",
    "InvalidArguments",
    "Job",
    "NotConcluded",
    "Retry",
    "RetryAfter",
    "Snooze",
    "Task",
    "Tasks",
]
