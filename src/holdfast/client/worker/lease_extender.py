"""Extends leases, from a thread with a connection of its own: a blocked event loop, or a handler that computes, loses no lease.

Due extensions and progress go out in one batch; while that is being sent, the next one gathers. A lease is extended after a
third of its time. The answers say whether it is extended, lost, or has a cancel request.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from msgspec import UNSET, Raw

from holdfast.client.sync.client import Client
from holdfast.client.types import Extend, Extended
from holdfast.client.worker.connectivity import Reach, about, log
from holdfast.client.worker.held_job import HeldJob, progress_json
from holdfast.errors import HoldfastError, InvalidRequest, LeaseLost
from holdfast.limits import BATCH_VERBS

_PAUSE_S = 0.5  # after a failure, before the next try
_BEAT_S = 15.0
_SOON_S = 0.5  # when a lease is cut that is longer than it is to be: most jobs are done by then
_SLACK_MS = 1_000
_NEVER = float("inf")
_NOTHING: Any = object()


class TrackedLease:
    """One lease: when to extend it, and what was noted and not sent."""

    def __init__(self, held: HeldJob, wanted_ms: int | None) -> None:
        self.held = held
        left_ms = held.lease.ms_left
        too_long = wanted_ms is not None and left_ms > wanted_ms + _SLACK_MS
        self.due = time.monotonic() + (_SOON_S if too_long else left_ms / 3_000)
        self.progress: Any = _NOTHING
        self.on_its_way: Any = _NOTHING
        self.not_before = 0.0  # after a failure: when noted progress is worth another try

    @property
    def at(self) -> float:
        """When to send something."""
        return self.due if self.progress is _NOTHING else self.not_before


class LeaseExtender:
    """The thread. `lease_of` says how long the lease of a job is to be, None: as it is. `news` is called from it, whenever something about a held
    job has changed.
    """

    def __init__(
        self,
        client: Client,
        lease_of: Callable[[HeldJob], int | None],
        reach: Reach,
        news: Callable[[HeldJob], None],
        draining: Callable[[], None],
    ) -> None:
        self._client = client
        self._reach = reach
        self._lease_of = lease_of
        self._news = news
        self._draining = draining
        self._kept: dict[str, TrackedLease] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._sleeps_until = _NEVER  # what is due later need not wake the thread
        self._ended = False
        self._beat_due = _NEVER
        self._beat: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="holdfast-leases", daemon=True)
        self._thread.start()

    def hold(self, held: HeldJob) -> None:
        """Keep this lease from now on."""
        kept = TrackedLease(held, self._lease_of(held))
        with self._lock:
            self._kept[held.token] = kept
            if kept.at < self._sleeps_until:
                self._changed.notify()

    def let_go(self, held: HeldJob) -> None:
        """Keep it no more."""
        with self._lock:
            self._kept.pop(held.token, None)

    def note(self, held: HeldJob, progress: Any) -> None:
        """Send progress with the next batch; raises if it is not JSON, or too large."""
        encoded = progress_json(progress)
        with self._changed:
            keeping = self._kept.get(held.token)
            if keeping is not None:
                keeping.progress = Raw(encoded)
                self._changed.notify()

    def unsent(self, held: HeldJob) -> Any:
        """Progress that the server may not have yet, to be sent by the caller; UNSET without any."""
        with self._lock:
            keeping = self._kept.get(held.token)
            if keeping is None:
                return UNSET
            progress = keeping.on_its_way if keeping.progress is _NOTHING else keeping.progress
            keeping.progress = keeping.on_its_way = _NOTHING
            return UNSET if progress is _NOTHING else progress

    def told(self, token: str, what: str) -> None:
        """News of a lease from the channel: it is `lost`, its job is to be cancelled, or it is `unknown` and the server is to
        be asked.
        """
        with self._changed:
            keeping = self._kept.get(token)
            if keeping is not None and what == "unknown":
                keeping.due = time.monotonic()
                self._changed.notify()
        if keeping is None:
            return
        if what == "lost":
            self._lost(keeping)
        elif what == "cancel" and not keeping.held.cancel_requested:
            keeping.held.cancel_requested = True
            self._news(keeping.held)

    def beat_with(self, beat: Callable[[], None]) -> None:
        """Send the worker's heartbeat from time to time."""
        with self._changed:
            self._beat, self._beat_due = beat, time.monotonic() + _BEAT_S
            self._changed.notify()

    def end(self) -> None:
        """Stop; leases that are still held end by themselves."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._ended and (left := self._seconds_left()) > 0:
                    self._sleeps_until = time.monotonic() + left
                    self._changed.wait(None if left == _NEVER else left)
                if self._ended:
                    return
                batch = self._due()
                entries = [self._entry(keeping) for keeping in batch]
            try:
                self._extend(batch, entries)
                self._beat_if_due()
            except HoldfastError as error:
                self._reach.hindered("leases could not be extended", error)
                self._again(batch, entries, keep_progress=not isinstance(error, InvalidRequest))
            except Exception:  # noqa: BLE001  (whatever it is, the leases must be kept)
                log.exception("leases could not be extended, trying again")
                self._again(batch, entries, keep_progress=True)

    def _seconds_left(self) -> float:
        return min([self._beat_due, *(kept.at for kept in self._kept.values())]) - time.monotonic()

    def _due(self) -> list[TrackedLease]:
        now = time.monotonic()
        return [kept for kept in self._kept.values() if kept.at <= now][:BATCH_VERBS]

    def _entry(self, keeping: TrackedLease) -> Extend:
        progress, keeping.progress = keeping.progress, _NOTHING
        keeping.on_its_way = progress
        lease_ms = self._lease_of(keeping.held)
        lease = UNSET if lease_ms is None else lease_ms
        return Extend(token=keeping.held.token, lease_ms=lease, progress=UNSET if progress is _NOTHING else progress)

    def _extend(self, batch: list[TrackedLease], entries: list[Extend]) -> None:
        if not batch:
            return
        for keeping, ended in zip(batch, self._client.batch(entries), strict=True):
            keeping.on_its_way = _NOTHING
            if isinstance(ended, Extended):
                keeping.due = time.monotonic() + ended.ms_left / 3_000
                if ended.draining:
                    self._client.nodes.leave(self._client.nodes.current)
                    self._draining()
                if ended.cancel_requested and not keeping.held.cancel_requested:
                    keeping.held.cancel_requested = True
                    self._news(keeping.held)
            elif isinstance(ended, LeaseLost):
                self._lost(keeping)
            else:
                keeping.due = time.monotonic() + _PAUSE_S
                about(logging.WARNING, keeping.held, "its lease could not be extended, trying again: %s", ended)

    def _lost(self, keeping: TrackedLease) -> None:
        with self._changed:
            if self._kept.pop(keeping.held.token, None) is None:
                return  # it was ended meanwhile
        keeping.held.lost = True
        self._news(keeping.held)

    def _again(self, batch: list[TrackedLease], entries: list[Extend], keep_progress: bool) -> None:
        """Try all of it again soon; but progress that the server refuses must not cost the leases."""
        with self._changed:
            for keeping, entry in zip(batch, entries, strict=True):
                keeping.due = keeping.not_before = time.monotonic() + _PAUSE_S
                unsent = keep_progress and keeping.on_its_way is not _NOTHING
                keeping.on_its_way = _NOTHING
                if unsent and keeping.progress is _NOTHING:
                    keeping.progress = entry.progress

    def _beat_if_due(self) -> None:
        if self._beat_due <= time.monotonic():
            self._beat_due = time.monotonic() + _BEAT_S
            self._beat()
