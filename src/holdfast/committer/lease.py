"""Giving out leases: queue after queue in the caller's order, or by priority over all of them."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from holdfast.auth.scope import Scope, sees
from holdfast.committer import budgets, unreadable_jobs, worker_registry
from holdfast.committer.batch import Batch
from holdfast.errors import WorkerNotFound
from holdfast.job import lifecycle
from holdfast.job.job import NO_EXTRAS, Content, Job, Lease, without_parent
from holdfast.job.queue import Queue
from holdfast.job.registry import Worker
from holdfast.limits import BATCH_BYTES
from holdfast.messages import events
from holdfast.messages.answers import Granted, GrantedJob
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import Refused
from holdfast.stores.store import OrderedJobs, QueueHeld

LATER = Refused("later", "")
"""Instead of an answer, to a call that is to be decided again, in the next batch."""


class QueueHead:
    """The head of one queue's line, read once for all the calls of a batch that want from it."""

    __slots__ = ("line", "queue")

    def __init__(self, queue: Queue, line: OrderedJobs) -> None:
        self.queue = queue
        self.line = deque(line)

    def peek(self) -> Job | None:
        """The next job that may be leased."""
        return self.line[0][0] if self.line and self.queue.may_lease() > 0 else None


class Leases:
    """The dequeue calls of one batch."""

    def __init__(
        self,
        batch: Batch,
        workers: dict[str, Worker],
        queue_heads: dict[str, QueueHead],
        earlier: dict[str, OrderedJobs],
        own: dict[tuple[str, str], QueueHead],
        away: dict[str, QueueHeld],
    ) -> None:
        self._batch = batch
        self._workers = workers
        self._own = own
        self._queue_heads = queue_heads
        self._earlier = earlier
        self._secrets: list[bytes] = []
        self._given_bytes = 0
        self._away = away

    @classmethod
    async def load(cls, batch: Batch, commands: Sequence[LeaseJobs]) -> "Leases":
        """Read the heads of the queues that these calls name, as far as they could take from them together."""
        workers = await batch.tx.workers()
        commands = [allowed for command in commands if (allowed := _allowed(batch, command, workers)) is not None]
        requests = list({command.request for command in commands if command.request is not None})
        earlier = await batch.tx.leased_by_request(requests) if requests else {}
        wanted: dict[str, int] = {}
        for command in commands:
            for name in command.queues:
                wanted[name] = wanted.get(name, 0) + command.limit
        queue_heads: dict[str, QueueHead] = {}
        away: dict[str, QueueHeld] = {}
        for name, count in wanted.items():
            queue = await _queue(batch, name, away)
            limit = min(count, queue.may_lease()) if queue is not None else 0
            if queue is not None and limit > 0:
                queue_heads[name] = QueueHead(queue, await _readable(batch, queue, partial(batch.tx.ready, queue), limit))
        own = await _own_lines(batch, commands, workers, away) if workers else {}
        found = sum([len(queue_head.line) for queue_head in (*queue_heads.values(), *own.values())])
        await batch.tx.reserve(fences=min(found, sum([command.limit for command in commands])))
        return cls(batch, workers, queue_heads, earlier, own, away)

    async def lease(self, command: LeaseJobs) -> Granted | Refused:
        """Grant one call its jobs; the same `request` again gets the same jobs while their leases last.

        All grants of a batch together are bounded in bytes: `LATER` is the answer to a call for which nothing would be left.
        """
        now = self._batch.now
        if command.request is not None and (again := self._living(command.request, command.scope)):
            size = sum(job.size for job, _ in again)
            if self._given_bytes and self._given_bytes + size > BATCH_BYTES:
                return LATER
            self._given_bytes += size
            return Granted(
                [GrantedJob(_shown(job, command), content or await self._content(job)) for job, content in again], now
            )
        allowed = worker_registry.admitted(self._batch, command, self._workers)
        if allowed is None:
            return Granted([], now, quiet=True)
        command = allowed
        if self._away and command.queues and all(name in self._away for name in command.queues):
            raise self._away[command.queues[0]].with_traceback(None)
        granted: list[GrantedJob] = []
        cut, limit, most = False, command.limit, self._given_bytes + command.most_bytes
        for queue_head in self._heads(command):
            job, content = queue_head.line[0]
            given = self._given_bytes + job.size
            if (given > most and granted) or (given > BATCH_BYTES and self._given_bytes):
                if not granted:
                    return LATER
                cut = True
                break
            self._given_bytes = given
            queue_head.line.popleft()
            leased = self._lease(queue_head.queue, job, command)
            granted.append(GrantedJob(_shown(leased, command), content or await self._content(job)))
            if len(granted) >= limit:
                break
        if command.request is not None and granted:
            self._earlier[command.request] = [(one.job, one.content) for one in granted]
        return Granted(granted, now, cut=cut)

    def _heads(self, command: LeaseJobs) -> Iterator[QueueHead]:
        """The queue head to take the next job from, repeatedly."""
        heads = _in_order(self._lines(command), command.by_priority)
        return heads if self._batch.accounts is None else self._that_can_pay(heads)

    def _that_can_pay(self, heads: Iterator[QueueHead]) -> Iterator[QueueHead]:
        """The same without jobs that can't pay any more: these go aside."""
        for queue_head in heads:
            job = queue_head.line[0][0]
            account = budgets.cannot_pay(self._batch, job) if job.extras.budgets else None
            if account is None:
                yield queue_head
            else:
                queue_head.line.popleft()
                budgets.put_aside(self._batch, queue_head.queue, job, account)

    async def _content(self, job: Job) -> Content:
        """The content for a job's worker, if it was too large to be read with the others."""
        content = await self._batch.tx.content(job.id)
        assert content is not None, "a job that is there has its content"
        return content

    def _lines(self, command: LeaseJobs) -> list[list[QueueHead]]:
        """The queue heads for a call: for each of its queues the jobs for this worker only, if there are any, and the jobs for
        all.
        """
        if not self._own:
            return [[queue_head] for name in command.queues if (queue_head := self._queue_heads.get(name)) is not None]
        both = [(self._own.get((command.worker, name)), self._queue_heads.get(name)) for name in command.queues]
        return [[queue_head for queue_head in pair if queue_head is not None] for pair in both]

    def _living(self, request: str, scope: Scope | None) -> OrderedJobs:
        """What the request got before, as far as its leases last and its key may still see the queue, which may have changed since."""
        now = self._batch.now  # an expired lease may still be stored: the tick comes later
        return [
            pair
            for pair in self._earlier.get(request, ())
            if pair[0].lease is not None and pair[0].lease.until > now and sees(scope, pair[0].queue)
        ]

    def _lease(self, queue: Queue, job: Job, command: LeaseJobs) -> Job:
        batch = self._batch
        if not self._secrets:
            self._secrets = batch.secrets(command.limit)
        lease_ms = command.lease_ms or job.extras.lease_ms or queue.policy.lease_ms
        fence = batch.tx.take_fences(1)
        leased = lifecycle.lease(
            job, Lease(fence, self._secrets.pop(), command.worker, batch.now, batch.now + lease_ms, command.request)
        )
        batch.change(events.LEASED, queue, job, leased)
        if job.extras is not NO_EXTRAS and job.extras.budgets:
            budgets.accounts_of(batch).start(job, leased)
        return leased


async def _readable(batch: Batch, queue: Queue, read: Callable[[int], Awaitable[OrderedJobs]], limit: int) -> OrderedJobs:
    """The first jobs in a queue's order; jobs with unreadable rows, and those that can't pay, are set aside, and others take their places."""
    while True:
        head = await read(limit)
        unlike = [job for job, _ in head if job.extras is not NO_EXTRAS]
        if not unlike:
            return head
        aside = [job for job in unlike if job.extras.unreadable is not None]
        paying = [job for job in unlike if job.extras.budgets]
        if not aside and not (paying and await budgets.hold_up(batch, queue, paying)):
            return head
        for job in aside:
            unreadable_jobs.set_aside(batch, queue, job)
        await budgets.settle(batch)
        await batch.flush()
        limit = min(limit, queue.may_lease())
        if limit <= 0:
            return []


async def _queue(batch: Batch, name: str, away: dict[str, QueueHeld]) -> Queue | None:
    """A queue to lease from; a held one is left out, so that the others can be leased from."""
    try:
        return batch.queues.get(name) or await batch.queue(name)
    except QueueHeld as error:
        away[name] = error
        return None


async def _own_lines(
    batch: Batch, commands: Sequence[LeaseJobs], workers: dict[str, Worker], away: dict[str, QueueHeld]
) -> dict[tuple[str, str], QueueHead]:
    """The heads of the lines that registered workers have to themselves, by (worker, queue)."""
    wanted: dict[tuple[str, str], int] = {}
    for command in commands:
        if command.worker in workers:
            for name in command.queues:
                wanted[command.worker, name] = wanted.get((command.worker, name), 0) + command.limit
    lines: dict[tuple[str, str], QueueHead] = {}
    for (worker, name), count in wanted.items():
        queue = await _queue(batch, name, away)
        if queue is not None and queue.may_lease() > 0:
            lines[worker, name] = QueueHead(
                queue, await _readable(batch, queue, partial(batch.tx.ready_for, worker, queue), count)
            )
    return lines


def _allowed(batch: Batch, command: LeaseJobs, workers: dict[str, Worker]) -> LeaseJobs | None:
    try:
        return worker_registry.admitted(batch, command, workers)
    except WorkerNotFound:
        return None  # refused with its reason when it is decided


def _in_order(queues: list[list[QueueHead]], by_priority: bool) -> Iterator[QueueHead]:
    """The queue head to take the next job from, repeatedly, as long as there is one.

    A queue has up to two: jobs for this worker only, and jobs for all. Within a queue, or over all queues, the lowest priority
    comes first, then the oldest job.
    """
    for queue_heads in [[queue_head for several in queues for queue_head in several]] if by_priority else queues:
        if len(queue_heads) == 1:
            queue_head = queue_heads[0]
            while queue_head.line and queue_head.queue.may_lease() > 0:
                yield queue_head
        else:
            while heads := [
                (job.priority, job.id, n) for n, queue_head in enumerate(queue_heads) if (job := queue_head.peek()) is not None
            ]:
                yield queue_heads[min(heads)[2]]


async def with_progress(batch: Batch, results: Sequence[Granted]) -> dict[int, bytes]:
    """What earlier attempts of the granted jobs noted, for those that had one."""
    again = [granted.job.id for result in results for granted in result.jobs if granted.job.attempt > 1]
    return await batch.tx.progress(again) if again else {}


def _shown(job: Job, command: LeaseJobs) -> Job:
    return job if command.scope is None else without_parent(job)
