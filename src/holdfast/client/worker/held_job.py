"""The job that a handler gets."""

import asyncio
import builtins
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import Raw

from holdfast.client.contents import encode
from holdfast.client.types import Job, Lease, NewJob
from holdfast.client.worker.outcomes import GiveBack
from holdfast.limits import PROGRESS_BYTES

T = TypeVar("T")


def progress_json(progress: Any) -> bytes:
    """Progress as it is sent; raises if it is not JSON, or too large."""
    encoded = encode(progress)
    if len(encoded) > PROGRESS_BYTES:
        raise ValueError(f"progress of {len(encoded):,} bytes; at most {PROGRESS_BYTES:,} can be noted")
    return encoded


class HeldJob:
    """A job that this worker holds under a lease. All methods may be used from any thread.

    `cancel_requested`: the job has a cancel request. `lost`: the lease is no longer held, so the outcome of the handler will be
    refused. `stopping`: the worker is shutting down and gives its handlers `grace_s` to finish.
    """

    def __init__(self, job: Job, note: Callable[["HeldJob", Any], None] | None = None) -> None:
        assert job.lease is not None, "a job that is taken has a lease"
        self.job = job
        self.lease: Lease = job.lease
        self.cancel_requested = False
        self.lost = False
        self.stopping = False
        self.must_end = False
        self.is_retried = True  # after a timeout
        self.in_thread = False
        self.cut_off = False
        self.task: asyncio.Task[None] | None = None
        self.follow_ups: list[NewJob | Raw] = []
        self._note = note

    def cut(self) -> None:
        """Break its handler off; for the event loop only."""
        self.cut_off = True
        if self.task is not None:
            self.task.cancel()

    @property
    def token(self) -> str:
        """The token of the lease."""
        return self.lease.token

    @property
    def id(self) -> int:
        """The job's number."""
        return self.job.id

    @property
    def queue(self) -> str:
        """The job's queue."""
        return self.job.queue

    @property
    def type(self) -> str:
        """Its type, which chose the handler."""
        return self.job.type

    @property
    def payload(self) -> Any:
        """Its payload, if that is JSON; else see `body`."""
        return self.job.payload

    @property
    def body(self) -> bytes | None:
        """A payload that is not JSON."""
        return self.job.body

    @property
    def attempt(self) -> int:
        """The how-manieth lease this is."""
        return self.job.attempt

    @property
    def traceparent(self) -> str | None:
        """The trace that it belongs to (W3C Trace Context): current while its handler runs, where `opentelemetry-api` is installed."""
        return self.job.meta.get("traceparent")

    @property
    def noted(self) -> Any:
        """The progress that an earlier attempt noted last; None without one."""
        return self.job.progress

    def payload_as(self, kind: builtins.type[T]) -> T:
        """The payload as a dataclass or another type."""
        return self.job.payload_as(kind)

    def note(self, progress: Any) -> None:
        """Report progress: any JSON of up to 64 KiB. It is sent at once, replaces earlier progress, and is passed to the next
        attempt.
        """
        if self._note is not None:
            self._note(self, progress)

    def follow(self, job: NewJob) -> None:
        """Put this job when the handler has returned, in the transaction that concludes this one: both or neither."""
        self.follow_ups.append(job)

    @property
    def should_stop(self) -> bool:
        """Whether a handler that runs in a thread had better stop: see `check`."""
        return self.cancel_requested or self.lost or self.must_end

    def check(self) -> None:
        """Raise if the handler should stop. For handlers in threads, which can't be cancelled from outside: call it now and
        then.
        """
        if self.should_stop:
            raise GiveBack
