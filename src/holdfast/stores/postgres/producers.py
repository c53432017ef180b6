"""Support for applications that enqueue by SQL: a node writes the current bounds for the SQL functions, and polls for jobs
that `holdfast.enqueue_exact` has put. Those of `holdfast.enqueue` are taken in by `inbox.py`.

No notification announces such a job: a NOTIFY in the application's transaction would hold a server-wide lock until its commit,
which waits for standbys. So nodes poll. A sequence counts the calls, uncommitted ones included: a node with waiting callers
reads it often, because that costs next to nothing, and while it has moved recently the node polls the queues of its waiting
callers as often.
"""

import time
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from holdfast import limits
from holdfast.job.queue import QueuePolicy
from holdfast.logs import structlog
from holdfast.stores.postgres.sql import SQL

log = structlog.get_logger(__name__)
_TELL_S = 10.0  # longer than a lock is waited for
LATELY_S = 60.0  # longer than a transaction ought to stay open after its call


def bounds(defaults: QueuePolicy, payload_bytes: int) -> tuple[object, ...]:
    """The row of `enqueue_bounds`, in the order of its columns."""
    return (
        limits.QUEUE_NAME_SQL,
        limits.QUEUE_NAME_CHARS,
        limits.QUEUES,
        payload_bytes,
        limits.JSON_DEPTH,
        limits.TYPE_CHARS,
        limits.CONTENT_TYPE_CHARS,
        limits.KEY_CHARS,
        limits.REQUEST_ID_CHARS,
        limits.TAGS,
        limits.TAG_CHARS,
        limits.PRIORITY_DEFAULT,
        limits.PRIORITY_MAX,
        limits.DELAY_MS_MAX,
        limits.ATTEMPTS_MAX,
        limits.LEASE_MS_MAX,
        limits.GROUP_LIMIT_MAX,
        defaults.capacity_jobs,
        defaults.capacity_bytes,
        defaults.max_attempts,
        limits.SQL_HOLD_MS,
        limits.READY_FLOORS,
        limits.SQL_OPTIONS_BYTES,
        limits.SQL_INBOX_ROWS,
        limits.SQL_INBOX_BYTES,
    )


async def tell_bounds(
    connection: Any, defaults: QueuePolicy, payload_bytes: int, options: Mapping[str, str] | None = None
) -> None:
    """Write the bounds that `holdfast.enqueue` enforces, and the names of the options that it takes, where they are known."""
    try:
        await connection.execute(SQL["save_bounds"], *bounds(defaults, payload_bytes), timeout=_TELL_S)
        if options is not None:
            await connection.execute(SQL["save_options"], msgspec.json.encode(options).decode(), timeout=_TELL_S)
    except asyncpg.LockNotAvailableError:  # a node does not wait for it with all that it has to do
        log.warning("the bounds for enqueueing by SQL are locked by another transaction; the earlier ones stay in force")


class Producers:
    """Whether applications enqueue by SQL just now."""

    def __init__(self) -> None:
        self._calls: int | None = None
        self._moved_at = float("-inf")

    def seen(self, calls: int | None) -> None:
        """How often the function has been called; None: never."""
        if calls != self._calls:
            self._calls, self._moved_at = calls, time.monotonic()

    @property
    def at_work(self) -> bool:
        """Whether any did lately."""
        return time.monotonic() - self._moved_at < LATELY_S
