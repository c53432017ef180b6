"""What drives the operations: it finds the next jobs of each and submits steps, as fast as their pace allows, while they run.

    look at the unfinished ones ─▶ find the next ids ─▶ step ─▶ step ─▶ … ─▶ find ─▶ …
    (each second, and after a change)   (a read)        (each is one command among others)

It keeps nothing that could not be found again: where an operation is, is in its row. Of several nodes, one works on an operation: whose name is in the
row, until it has been silent for `OPERATION_CLAIM_MS`. A step of another that comes in between does nothing.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from holdfast.clock import Clock
from holdfast.committer.operations import TRIM
from holdfast.errors import HoldfastError, Unavailable
from holdfast.job import operation as rules
from holdfast.job.operation import Doing, Operation
from holdfast.limits import OPERATION_STEP_JOBS, OPERATIONS_RUNNING
from holdfast.messages.frame import Command
from holdfast.messages.operations import FindJobs, FoundJobs, ListOperations, StepOperation, Stepped
from holdfast.stores.store import Store

_LOOK_MS = 1_000
_APART_MS = 5  # between two steps of one without a pace, so that what others want is not always behind one
_SPARE = 10  # ids in a step beyond its pace: of those that are skipped
_TRIM_MS = 600_000

Submit = Callable[[Command[Any]], "asyncio.Future[Any]"]


class OperationRunner:
    """Runs the operations of a store. `worker`: this node's name, "" where it is the only one; `counts`: how many there are by state, and of how many `jobs` they were."""

    def __init__(self, store: Store, clock: Clock, submit: Submit, worker: str, counts: dict[str, int]) -> None:
        self._counts = counts
        self._store = store
        self._clock = clock
        self._submit = submit
        self._worker = worker
        self._running: dict[int, Operation] = {}
        self._found: dict[int, tuple[int, FoundJobs]] = {}  # behind which id
        self._stepped_at: dict[int, int] = {}
        self._looked_at = 0
        self._trimmed_at = 0
        self.changed = True

    async def due(self) -> float:
        """In how many seconds there is something to do."""
        await self._look()
        now = self._clock.now()
        moments = [self._due_at(one) for one in self._mine(now)]
        return min((min(moments, default=now + _LOOK_MS) - now) / 1_000, 1.0)

    async def work(self, anyhow: bool = False) -> bool:
        """One step of each that is due; whether one was taken. `anyhow`: without a pause between steps."""
        await self._look()
        now = self._clock.now()
        due = [one for one in self._mine(now) if anyhow or self._due_at(one) <= now]
        taken = await asyncio.gather(*[self._advance(one) for one in due])
        return any(taken)

    def _mine(self, now: int) -> list[Operation]:
        return [one for one in self._running.values() if not rules.is_of_another(one, self._worker, now)]

    def _due_at(self, operation: Operation) -> int:
        stepped_at = self._stepped_at.get(operation.id, 0)
        due = rules.due_at(operation, stepped_at)
        return due if operation.per_s is not None else max(due, stepped_at + _APART_MS)

    async def _look(self) -> None:
        """Which operations there are: after a change, and where others may change them each second."""
        now = self._clock.now()
        if not self.changed and not (self._store.shared and now - self._looked_at >= _LOOK_MS):
            return
        self.changed, self._looked_at = False, now
        try:
            page = await self._store.read(ListOperations(OPERATIONS_RUNNING + 1, unfinished=True), now)
        except Unavailable:
            self.changed = True
            self._running.clear()
            return
        for state in (Doing.RUNNING, Doing.PAUSED):
            self._counts[state.value] = sum(one.state is state for one in page.operations)
        self._running = {one.id: one for one in page.operations if one.state is Doing.RUNNING}
        for known in (self._found, self._stepped_at):
            for gone in known.keys() - self._running.keys():
                del known[gone]

    async def _advance(self, operation: Operation) -> bool:
        now = self._clock.now()
        try:
            found = await self._next(operation, now)
        except HoldfastError:
            return False  # it is too much for a read just now, or the store is not there
        most = OPERATION_STEP_JOBS
        if operation.per_s is not None or operation.limit is not None:
            most = min(most, rules.allowance(operation, now) + _SPARE)
        ids = tuple(found.ids[:most])
        whole = len(ids) == len(found.ids)
        queues = tuple(name for name in (operation.filter.queue, operation.to) if name)
        through = found.through if whole else ids[-1]
        answer = await self._submit(
            StepOperation(
                operation.id, operation.cursor, ids, through, whole and found.last, self._worker, queues, bool(operation.to)
            )
        )
        if not isinstance(answer, Stepped):
            self.changed = True
            return False
        self._stepped_at[operation.id] = answer.now
        self._counts["jobs"] = self._counts.get("jobs", 0) + (len(ids) if answer.taken else 0)
        self._take(operation.id, answer.operation, found)
        return answer.taken

    async def _next(self, operation: Operation, now: int) -> FoundJobs:
        """The next ids, as they were found before or are found now."""
        behind, found = self._found.get(operation.id, (-1, FoundJobs([], 0, last=False)))
        if behind == operation.cursor and (found.ids or found.last):
            return found
        wanted = operation.filter
        if wanted.jobs:
            ids = sorted(job for job in wanted.jobs if job > operation.cursor)
            found = FoundJobs(ids, max(ids[-1] if ids else 0, operation.id - 1), last=True)
        else:
            query = FindJobs(wanted, operation.states, operation.cursor, operation.id, scope=operation.scope)
            found = await self._store.read(query, now)
        self._found[operation.id] = operation.cursor, found
        return found

    def _take(self, number: int, operation: Operation | None, found: FoundJobs) -> None:
        """What it is after a step."""
        if operation is None or operation.state is not Doing.RUNNING:
            self._running.pop(number, None)
            self._found.pop(number, None)
            self.changed = True
            return
        if number in self._running:
            self._running[number] = operation
        left = [job for job in found.ids if job > operation.cursor]
        self._found[number] = operation.cursor, FoundJobs(left, found.through, found.last)

    async def trim(self) -> bool:
        """Remove what ended long ago, now and then."""
        now = self._clock.now()
        if now - self._trimmed_at >= _TRIM_MS:
            self._trimmed_at = now
            await self._submit(TRIM)
        return False
