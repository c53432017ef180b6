"""One attempt of a task: its arguments out of the payload, and what becomes of what it returns. For workers, and in eager mode."""

from typing import Any

import msgspec
from msgspec import Raw

from holdfast.client.types import NewJob
from holdfast.client.worker import DoNotRetry, HeldJob
from holdfast.tasks.signature import Content, InvalidArguments
from holdfast.tasks.task import THEN, Task


class Attempt:
    """A job and its task. Raises `DoNotRetry` if the payload is none of the task's: another try would find the same."""

    def __init__(self, task: Task[..., Any], held: HeldJob) -> None:
        assert task.function is not None, "only what has a function is run"
        if held.body is not None:
            raise DoNotRetry(f"{task.name}: the payload is {held.job.content_type}, and not a JSON object of its arguments")
        try:
            self.arguments = task.signature.read(held.job.payload_json)
        except InvalidArguments as error:
            raise DoNotRetry(str(error)) from None
        try:
            self._following = msgspec.json.decode(held.job.meta.get(THEN, "[]"), type=list[NewJob])
        except msgspec.DecodeError as error:
            raise DoNotRetry(f"{task.name}: its meta {THEN} can't be read: {error}") from None
        for job in self._following:  # a worker may enqueue where the job's producer may not
            if not task.known_to_follow(job):
                raise DoNotRetry(f"{task.name}: this program has no task {job.type!r} in the queue {job.queue} to follow it")
        self._held = held
        self._task = task

    def call(self) -> Any:
        """What the function returns, which may be a coroutine."""
        return self._task.run(self._held, self.arguments)

    def conclude(self, result: Any) -> Raw | None:
        """The result as JSON, if there is one. What follows the job is put with it."""
        try:
            written = None if result is None else Raw(Content.write(result))
        except (TypeError, ValueError, RecursionError) as error:
            raise DoNotRetry(f"{self._task.name}: it was done, but its result can't be written as JSON: {error}") from None
        self._held.follow_ups += self._following
        if THEN in (meta := self._held.job.meta):
            for job in self._held.follow_ups:
                # The server gives a job without meta that of the job that it follows, and with it what follows that one.
                if isinstance(job, NewJob) and not job.meta:
                    job.meta = {**meta, THEN: "[]"}
        return written
