# Generated from client/aio/operations.py by `make client`. Change that one.
"""Bulk work by the server: one thing done to all jobs that match."""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from holdfast.client.contents import encode
from holdfast.client.operations import Operation, OperationPage
from holdfast.client.retry import LONG_DEADLINE_S, path
from holdfast.client.sync.caller import Caller
from holdfast.client.sync.pause import pause
from holdfast.errors import WrongState

_LOOK_S = (0.02, 1.0)


class Operations(Caller):
    """`start_operation`, `operations`, `operation`, `wait_operation`, `pause_operation`, `resume_operation`, `cancel_operation` and
    `set_operation_rate`.
    """

    def start_operation(
        self,
        do: str,
        *,
        jobs: Sequence[int] | None = None,
        to: str | None = None,
        per_s: float | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        before: datetime | None = None,
        since: datetime | None = None,
        idempotency_key: str | None = None,
        **filters: Any,
    ) -> Operation:
        """Have the server `retry`, `cancel`, `restore` (undo a cancel), `delete`, `promote`, `move` (`to` a queue) or `release` the `jobs` named, or all that match the filters: those of
        `jobs()`, such as `queue`, `state`, `type`, `meta`, `field`, `worker`, and `before`, `since`, `error`. `per_s`: so many a second. With `dry_run` they are only counted.
        """
        given: dict[str, Any] = {"do": do, "dry_run": dry_run, "to": to, "per_s": per_s, "limit": limit}
        body = {name: value for name, value in given.items() if value is not None}
        if jobs is not None:
            body["jobs"] = list(jobs)
        if jobs is None or filters or before is not None or since is not None:
            wanted = filters | {"before": before and before.isoformat(), "since": since and since.isoformat()}
            body["filter"] = {name: value for name, value in wanted.items() if value not in (None, {})}
        if dry_run:
            return self._post(Operation, "/v1/operations", body, repeatable=True, deadline_s=LONG_DEADLINE_S)
        return self._create(Operation, "/v1/operations", encode(body), idempotency_key, deadline_s=LONG_DEADLINE_S)

    def operations(self, *, page: int = 200) -> Iterator[Operation]:
        """All operations, the newest first, page after page."""
        cursor: str | None = None
        while True:
            got = self._get(OperationPage, path("/v1/operations", limit=page, cursor=cursor), deadline_s=LONG_DEADLINE_S)
            yield from got.operations
            cursor = got.next_cursor
            if cursor is None:
                return

    def operation(self, operation_id: int) -> Operation:
        """One operation as it is now."""
        return self._get(Operation, path("/v1/operations/{}", operation_id))

    def wait_operation(self, operation_id: int, timeout_s: float | None = None) -> Operation:
        """The operation once it has ended; raises `TimeoutError` past the timeout."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        look_s = _LOOK_S[0]
        while not (found := self.operation(operation_id)).ended:
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"operation {operation_id} is {found.state}, with {found.left} jobs left")
            pause(look_s)
            look_s = min(2 * look_s, _LOOK_S[1])
        return found

    def pause_operation(self, operation_id: int) -> Operation:
        """Stop it for a while."""
        return self._post(Operation, path("/v1/operations/{}/pause", operation_id))

    def resume_operation(self, operation_id: int) -> Operation:
        """Let it go on."""
        return self._post(Operation, path("/v1/operations/{}/resume", operation_id))

    def cancel_operation(self, operation_id: int) -> Operation:
        """End it where it is."""
        try:
            return self._post(Operation, path("/v1/operations/{}/cancel", operation_id))
        except WrongState as error:
            if not error.repeated:
                raise
            return self.operation(operation_id)  # an earlier try may have ended it

    def set_operation_rate(self, operation_id: int, per_s: float | None) -> Operation:
        """Give it another pace; None: as fast as leaves room for others."""
        return self._send(Operation, "PATCH", path("/v1/operations/{}", operation_id), {"per_s": per_s})
