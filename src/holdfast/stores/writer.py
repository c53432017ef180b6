"""From changes to rows, for every SQL store: which statements run for a batch of decided changes, in which order, with which
values.
"""

from collections import defaultdict
from collections.abc import Collection

from holdfast.job.job import FORGOTTEN, LEASED, NO_EXTRAS, READY, SCHEDULED, Content, Extras, Job
from holdfast.limits import ERRORS_KEPT
from holdfast.stores import formats
from holdfast.stores.rows import Row
from holdfast.stores.store import Change

LOOSE = frozenset(("delete_errors", "delete_progress", "save_progress", "delete_job_expiry", "delete_job_batch_member"))
"""Statements that may find nothing: most jobs have no errors and no progress, and a lost deadline or place in a batch must not hold a job back."""

ANYHOW = {
    "delete_ready": (0, 2),
    "delete_held": (0, 2),
    "delete_ready_for": (1, 3),
    "delete_unique": (0, 2),
    "delete_group_place": (0, 2),
    "delete_waiting": (1, 2),
}
"""Statements that find their row by a text, and where in their values the queue and the job are. Where that text is not what the job's own row
says, one of the two is damaged: `…_anyhow` finds it by these numbers alone.
"""
ENTERING = ("insert_ready", "insert_ready_typed", "insert_ready_fair", "insert_ready_fair_typed")
"""Statements that put jobs in a queue's order."""

MAY_BE_MISSING = frozenset(("delete_unique", "delete_group_place"))
"""Rows that only guard something: a job that has lost its own must be able to go on."""


class Writer:
    """Collects rows of changes by statement. Deletes run before inserts, so that a key can move to another job in one batch."""

    def __init__(self, queue_ids: dict[str, int], typed: Collection[int] = (), fair: Collection[int] = ()) -> None:
        """The queues by name; `typed`: those that keep their ready jobs by type; `fair`: by fair key."""
        self._queue_ids = queue_ids
        self._typed = typed
        self._fair = fair
        self.trim: set[int] = set()
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)

    def add(self, change: Change) -> None:
        """Note the rows of one change."""
        before, after = change.before, change.after
        job = after or before
        if job is None:
            return  # made and removed within one batch
        queue = self._queue_ids[job.queue]
        if before is None:
            self._insert_job(queue, job, change.content)
            self._enter(queue, job, change)
        elif after is None:
            self._leave(queue, before)
        else:
            self._update(queue, before, after, change)
        extras = job.extras
        if extras is not NO_EXTRAS or (before is not None and before.extras is not NO_EXTRAS):
            if before is None or after is None:
                self._member(before, after)
            if _has_keys(extras) or (before is not None and before.extras is not extras and _has_keys(before.extras)):
                self._keys(queue, before, after)
        if change.error is not None or change.errors or change.progress is not None or after is None:
            self._notes(change, job.id)

    def _update(self, queue: int, before: Job, after: Job, change: Change) -> None:
        if _body_differs(before, after):
            row = (after.priority, after.max_attempts, after.size, formats.extras_text(after.extras), after.id)
            self._add("update_job", row)
        if (content := change.content) is not None:
            self._add("update_content", (content.type, content.content_type, content.payload, after.id))
        lease = after.lease
        if lease is not None and before.lease is not None and lease.fence == before.lease.fence:
            self._add("update_leased", (lease.until, lease.cancel_requested, lease.fence, after.id, before.attempt))
        else:
            self._leave(queue, before)
            self._enter(queue, after, change)

    def _insert_job(self, queue: int, job: Job, content: Content | None) -> None:
        assert content is not None, "a new job brings its content"
        self._add(
            "insert_job",
            (
                job.id,
                queue,
                job.priority,
                job.max_attempts,
                job.size,
                job.created_at,
                content.type,
                None if job.extras is NO_EXTRAS else formats.extras_text(job.extras),
                content.content_type,
                content.payload,
            ),
        )

    def _leave(self, queue: int, job: Job) -> None:
        state = job.state
        if state is READY:
            if job.waits is not None:
                self._add("delete_waiting", (job.waits, queue, job.id))
            elif job.held:
                self._add("delete_held", (queue, job.extras.group_key, job.id))
            elif job.extras.worker is not None:
                self._add("delete_ready_for", (job.extras.worker, queue, job.priority, job.id))
            else:
                self.rows["delete_ready"].append((queue, job.priority, job.id))
        elif state is LEASED:
            assert job.lease is not None
            self.rows["delete_leased"].append((job.lease.fence, job.id, job.attempt))
        elif state is SCHEDULED:
            self._add("delete_scheduled", (job.id,))
        else:
            self._add("delete_ended", (job.id, state.value))

    def _enter(self, queue: int, job: Job, change: Change) -> None:
        state = job.state
        if state is READY:
            self._enter_line(queue, job, change.content)
        elif state is LEASED:
            lease = job.lease
            assert lease is not None
            self.rows["insert_leased"].append(
                (
                    lease.fence,
                    job.id,
                    queue,
                    job.priority,
                    lease.until,
                    lease.leased_at,
                    job.ready_at,
                    job.attempt,
                    job.failures,
                    job.crashes,
                    lease.cancel_requested,
                    lease.secret,
                    lease.worker,
                    lease.request,
                )
            )
        elif state is SCHEDULED:
            counts = (job.attempt, job.failures, job.crashes)
            self._add("insert_scheduled", (job.id, queue, job.ready_at, job.priority, *counts))
        else:
            self._enter_history(queue, job, change)

    def _enter_line(self, queue: int, job: Job, content: Content | None) -> None:
        attempt, failures, crashes = job.attempt, job.failures, job.crashes
        if job.waits is not None:
            row: Row = (job.waits, job.id, queue, job.priority, job.ready_at, attempt, failures, crashes)
            self._add("insert_waiting", row)
        elif job.held:
            row = (queue, job.extras.group_key, job.id, job.priority, job.ready_at, attempt, failures, crashes)
            self._add("insert_held", row)
        elif job.extras.worker is not None:
            row = (job.extras.worker, queue, job.priority, job.id, job.ready_at, attempt, failures, crashes)
            self._add("insert_ready_for", row)
        elif self._fair and queue in self._fair:
            row = (queue, job.priority, job.id, job.ready_at, attempt, failures, crashes, job.extras.fair_key or "")
            if queue in self._typed:
                self._add("insert_ready_fair_typed", (*row, None if content is None else content.type))
            else:
                self._add("insert_ready_fair", row)
        elif self._typed and queue in self._typed:
            job_type = None if content is None else content.type
            row = (queue, job.priority, job.id, job.ready_at, attempt, failures, crashes, job_type)
            self._add("insert_ready_typed", row)
        else:
            self.rows["insert_ready"].append((queue, job.priority, job.id, job.ready_at, attempt, failures, crashes))

    def _enter_history(self, queue: int, job: Job, change: Change) -> None:
        by = job.ended_by
        fence, secret, worker = (by.fence, by.secret, by.worker) if by is not None else (None, None, None)
        self.rows["insert_ended"].append(
            (
                job.id,
                queue,
                job.state.value,
                job.priority,
                job.ended_at or 0,
                job.ready_at,
                job.leased_at,
                job.attempt,
                job.failures,
                job.crashes,
                job.reason,
                fence,
                secret,
                worker,
                change.result,
                formats.receipts_json(change.then) if change.then else None,
            )
        )

    def _keys(self, queue: int, before: Job | None, after: Job | None) -> None:
        held_key = before.extras.unique_key if before is not None and before.holds_unique_key else None
        holds_key = after.extras.unique_key if after is not None and after.holds_unique_key else None
        if held_key != holds_key:
            if held_key is not None and before is not None:
                self._add("delete_unique", (queue, held_key, before.id))
            if holds_key is not None and after is not None:
                self._add("insert_unique", (queue, holds_key, after.id))
        was = before.deadline if before is not None else None
        deadline = after.deadline if after is not None else None
        if was != deadline:
            if was is not None and before is not None:
                self._add("delete_job_expiry", (before.id,))
            if deadline is not None and after is not None:
                self._add("insert_job_expiry", (after.id, queue, deadline))
        had = before is not None and before.holds_group_slot
        has = after is not None and after.holds_group_slot
        if had and not has and before is not None:
            self._add("delete_group_place", (queue, before.extras.group_key, before.id))
        elif has and not had and after is not None:
            self._add("insert_group_place", (queue, after.extras.group_key, after.id))

    def _member(self, before: Job | None, after: Job | None) -> None:
        if before is None and after is not None and after.extras.batch is not None:
            self._add("insert_job_batch_member", (after.extras.batch, after.id))
        elif after is None and before is not None and before.extras.batch is not None:
            self._add("delete_job_batch_member", (before.extras.batch, before.id))

    def _notes(self, change: Change, job_id: int) -> None:
        for error in change.errors if change.error is None else (*change.errors, change.error):
            raised = error.raised
            told = (None,) * 4 if raised is None else (raised.kind, raised.message, raised.traceback, raised.place)
            begun = (job_id, error.attempt, error.at, error.worker, error.kind, error.reason, error.secret, error.leased_at)
            self._add("insert_error", (*begun, *told))
            if error.attempt > ERRORS_KEPT:
                self.trim.add(job_id)
        if change.after is None:
            self._add("delete_job", (job_id,))
            self._add("delete_errors", (job_id,))
        if change.after is None or change.progress == FORGOTTEN:
            self._add("delete_progress", (job_id,))
        elif change.progress is not None:
            self._add("save_progress", (job_id, change.progress))

    def _add(self, statement: str, row: Row) -> None:
        self.rows[statement].append(row)


ORDER = (
    "delete_ready",
    "delete_held",
    "delete_ready_for",
    "delete_waiting",
    "delete_leased",
    "delete_scheduled",
    "delete_ended",
    "delete_unique",
    "delete_group_place",
    "delete_job_expiry",
    "insert_job",
    "update_job",
    "update_content",
    "insert_ready",
    "insert_ready_typed",
    "insert_ready_fair",
    "insert_ready_fair_typed",
    "insert_held",
    "insert_ready_for",
    "insert_waiting",
    "insert_leased",
    "update_leased",
    "insert_scheduled",
    "insert_ended",
    "insert_unique",
    "insert_group_place",
    "insert_job_expiry",
    "insert_job_batch_member",
    "insert_error",
    "save_progress",
    "delete_job",
    "delete_errors",
    "delete_progress",
    "delete_job_batch_member",
)
PLACES = {name: place for place, name in enumerate(ORDER)}


def _has_keys(extras: Extras) -> bool:
    """Whether a job with these has something for which other tables are kept while it is in some states."""
    return extras.unique_key is not None or extras.expires_at is not None or extras.group_key is not None


def _body_differs(before: Job, after: Job) -> bool:
    """Whether any column of the job's own row changed."""
    return (
        before.priority != after.priority
        or before.max_attempts != after.max_attempts
        or before.size != after.size
        or (before.extras is not after.extras and before.extras != after.extras)
    )
