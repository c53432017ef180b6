"""Giving out leases: queue after queue in the caller's order, or by priority over all of them."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial

from msgspec.structs import replace

from holdfast.auth.scope import Scope, sees
from holdfast.committer import budgets, deadlines, fair, worker_registry
from holdfast.committer.batch import Batch
from holdfast.committer.settling import settle
from holdfast.committer.unreadable_jobs import set_aside
from holdfast.errors import WorkerNotFound
from holdfast.job import lifecycle
from holdfast.job.by_type import Types, to_give
from holdfast.job.job import NO_EXTRAS, Content, Job, Lease, without_parent
from holdfast.job.queue import Queue
from holdfast.job.registry import Worker
from holdfast.limits import BATCH_BYTES, BATCH_JOBS, TYPES_HEAD
from holdfast.messages import events
from holdfast.messages.answers import Granted, GrantedJob
from holdfast.messages.commands import LeaseJobs
from holdfast.messages.frame import Answer, Refused
from holdfast.stores.by_type import OrderedJobs
from holdfast.stores.store import QueueHeld

_SETS = 8  # of types, by which one queue is read in one batch: calls with further ones are decided in the next
_PASSED_AT_ONCE = 1_000  # jobs read in one go once one of them could not be given out

LATER = Refused("later", "")
"""Instead of an answer, to a call that is to be decided again, in the next batch."""


class QueueHead:
    """The head of one queue's line, read once for all the calls of a batch that want from it."""

    __slots__ = ("line", "queue")

    def __init__(self, queue: Queue, line: OrderedJobs, turns: fair.Turns | None = None) -> None:
        self.queue = queue
        self.line: fair.Head = deque(line) if turns is None else fair.InTurn(line, turns)

    def peek(self) -> Job | None:
        """The next job that may be leased."""
        return self.line[0][0] if self.line and self.queue.may_lease() > 0 else None


ByTypeHeads = dict[tuple[str, Types], QueueHead]
"""Heads of queues for those who do not take all of their jobs."""


class Leases:
    """The dequeue calls of one batch."""

    def __init__(
        self,
        batch: Batch,
        workers: dict[str, Worker],
        queue_heads: dict[str, QueueHead],
        earlier: dict[str, OrderedJobs],
        own: dict[tuple[str, str, Types | None], QueueHead],
        away: dict[str, QueueHeld],
        by_type: ByTypeHeads,
        turns: dict[str, fair.Turns],
    ) -> None:
        self._batch = batch
        self._workers = workers
        self._own = own
        self._queue_heads = queue_heads
        self._earlier = earlier
        self._secrets: list[bytes] = []
        self._given_bytes = 0
        self._away = away
        self._by_type = by_type
        self._turns = turns
        self._given: set[int] = set()  # that other lines may have as well
        self._paid = False  # some have paid since heads of queues were read
        self._aside = 0  # jobs that could not pay any more when it was their turn

    @classmethod
    async def load(cls, batch: Batch, commands: Sequence[LeaseJobs]) -> "Leases":
        """Read the heads of the queues that these calls name, as far as they could take from them together."""
        workers = await batch.tx.workers()
        commands = [allowed for command in commands if (allowed := _allowed(batch, command, workers)) is not None]
        requests = list({command.request for command in commands if command.request is not None})
        earlier = await batch.tx.leased_by_request(requests) if requests else {}
        wanted: dict[str, int] = {}
        typed = False
        turns: dict[str, fair.Turns] = {}
        for command in commands:
            typed = typed or command.types is not None
            for name in command.queues:
                wanted[name] = wanted.get(name, 0) + command.limit
        queue_heads: dict[str, QueueHead] = {}
        away: dict[str, QueueHeld] = {}
        for name, count in wanted.items():
            queue = await _queue(batch, name, away)
            limit = min(count, queue.may_lease()) if queue is not None else 0
            if queue is not None and limit > 0:
                line = await _readable(batch, queue, _reader(batch, queue), limit)
                if queue.sharing is not None and queue.sharing.whole and (typed or queue.paused_types or fair.pays(line)):
                    turns[name] = fair.turns_of(batch, queue, line)
                queue_heads[name] = QueueHead(queue, line, turns.get(name) if turns else None)
                typed = typed or bool(queue.paused_types)
        by_type = await _heads_by_type(batch, commands, queue_heads, wanted, turns) if typed else {}
        own = await _own_lines(batch, commands, workers, away) if workers else {}
        found = sum([len(queue_head.line) for queue_head in (*queue_heads.values(), *own.values(), *by_type.values())])
        await batch.tx.reserve(fences=min(found, sum([command.limit for command in commands])))
        return cls(batch, workers, queue_heads, earlier, own, away, by_type, turns)

    async def lease(self, command: LeaseJobs) -> Granted | Refused:
        """Grant one call its jobs; the same `request` again gets the same jobs while their leases last.

        All grants of a batch together are bounded in bytes: `LATER` is the answer to a call for which nothing would be left.
        """
        now = self._batch.now
        if command.request is not None and (again := self._living(command.request, command.scope)):
            return await self._once_more(command, again)
        allowed = worker_registry.admitted(self._batch, command, self._workers)
        if allowed is None:
            return Granted([], now, quiet=True)
        only = None if allowed.types is command.types else allowed.types
        command = allowed
        if self._away and command.queues and all(name in self._away for name in command.queues):
            raise self._away[command.queues[0]].with_traceback(None)
        lines = self._lines(command)
        granted: list[GrantedJob] = []
        aside = self._aside
        cut, limit, most = lines is None, command.limit, self._given_bytes + command.most_bytes
        for queue_head in _in_order(lines or [], command.by_priority):
            job, content = queue_head.line[0]
            if (self._given or self._paid) and self._is_passed_over(queue_head.queue, job):
                queue_head.line.popleft()
                continue
            given = self._given_bytes + job.size
            if (given > most and granted) or (given > BATCH_BYTES and self._given_bytes):
                cut = True
                break
            self._given_bytes = given
            queue_head.line.popleft()
            leased = self._lease(queue_head.queue, job, command)
            granted.append(GrantedJob(_shown(leased, command), content or await self._content(job)))
            if len(granted) >= limit:
                break
        cut = cut or self._aside > aside  # behind those that were read may be others
        if cut and not granted:
            return LATER
        if command.request is not None and granted:
            self._earlier[command.request] = [(one.job, one.content) for one in granted]
        return Granted(granted, now, cut=cut, types=only)

    async def _once_more(self, command: LeaseJobs, again: OrderedJobs) -> Granted | Refused:
        """What a call got before, once more."""
        size = sum(job.size for job, _ in again)
        if self._given_bytes and self._given_bytes + size > BATCH_BYTES:
            return LATER
        self._given_bytes += size
        return Granted(
            [GrantedJob(_shown(job, command), content or await self._content(job)) for job, content in again], self._batch.now
        )

    def _is_passed_over(self, queue: Queue, job: Job) -> bool:
        """Whether this head of a line is not to be given: another line had it as well, or it can't pay any more, and stands aside."""
        if job.id in self._given:
            return True
        account = budgets.cannot_pay(self._batch, job) if self._paid and job.extras.budgets else None
        if account is None:
            return False
        if self._by_type:
            self._given.add(job.id)
        self._aside += 1
        budgets.put_aside(self._batch, queue, job, account)
        return True

    async def _content(self, job: Job) -> Content:
        """The content for a job's worker, if it was too large to be read with the others."""
        content = await self._batch.tx.content(job.id)
        assert content is not None, "a job that is there has its content"
        return content

    def _lines(self, command: LeaseJobs) -> list[list[QueueHead]] | None:
        """The queue heads for a call: for each of its queues the jobs for this worker only, if there are any, and the jobs for
        all. None if they were not read, because there are too many sets of types among the calls of this batch.
        """
        if not self._own and not self._by_type:
            return [[queue_head] for name in command.queues if (queue_head := self._queue_heads.get(name)) is not None]
        lines = []
        for name in command.queues:
            queue_head, queue = self._queue_heads.get(name), self._batch.queues.get(name)
            types = to_give(command.types, queue.paused_types) if queue is not None else None
            if types is not None and queue_head is not None:
                queue_head = self._by_type.get((name, types))
                if queue_head is None:
                    return None
            lines.append([one for one in (self._own.get((command.worker, name, types)), queue_head) if one is not None])
        return lines

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
        if self._by_type:
            self._given.add(job.id)
        if self._turns and (turns := self._turns.get(queue.name)) is not None:
            turns.start(job)
        if not self._secrets:
            self._secrets = batch.secrets(command.limit)
        lease_ms = command.lease_ms or job.extras.lease_ms or queue.policy.lease_ms
        fence = batch.tx.take_fences(1)
        leased = lifecycle.lease(
            job, Lease(fence, self._secrets.pop(), command.worker, batch.now, batch.now + lease_ms, command.request)
        )
        batch.change(events.LEASED, queue, job, leased)
        if job.extras is not NO_EXTRAS and job.extras.budgets:
            accounts = budgets.accounts_of(batch)
            accounts.start(job, leased)
            self._paid = not accounts.sure
        return leased


def _reader(batch: Batch, queue: Queue, types: Types | None = None) -> Callable[[int], Awaitable[OrderedJobs]]:
    """What reads the first jobs of a queue in its order, or those of some types."""
    if queue.sharing is not None and queue.sharing.whole:
        return partial(fair.next_jobs, batch, queue, types)
    return partial(batch.tx.ready, queue) if types is None else partial(batch.tx.ready_of, queue, types)


async def _readable(batch: Batch, queue: Queue, read: Callable[[int], Awaitable[OrderedJobs]], limit: int) -> OrderedJobs:
    """The first jobs in a queue's order. Jobs with unreadable rows and those that can't pay are set aside, those past their deadline end, and
    others take their places: none, after as many as a transaction changes, and then callers look again after it.
    """
    passed = 0
    while True:
        head = await read(max(limit, _PASSED_AT_ONCE) if passed else limit)
        unfit, paying = _sorted_out(batch, head)
        held_up = await budgets.hold_up(batch, queue, paying) if paying else 0
        if not held_up and not unfit:
            return head[:limit] if passed else head
        for job in unfit:
            if job.extras.unreadable is not None:
                set_aside(batch, queue, job)
            else:
                deadlines.end(batch, queue, job)
        passed += held_up + len(unfit)
        await settle(batch)
        await batch.flush()
        limit = min(limit, queue.may_lease())
        if limit <= 0:
            return []
        if passed >= BATCH_JOBS:
            batch.may_give(queue)
            return []


def _sorted_out(batch: Batch, head: OrderedJobs) -> tuple[list[Job], list[Job]]:
    """Of these, the jobs that can't be given out at all, and the others that have to pay."""
    unfit: list[Job] = []
    paying: list[Job] = []
    for job, _ in head:
        if job.extras is NO_EXTRAS:
            continue
        if job.extras.unreadable is not None or deadlines.has_passed(batch, job):
            unfit.append(job)
        elif job.extras.budgets:
            paying.append(job)
    return unfit, paying


async def _queue(batch: Batch, name: str, away: dict[str, QueueHeld]) -> Queue | None:
    """A queue to lease from; a held one is left out, so that the others can be leased from."""
    try:
        return batch.queues.get(name) or await batch.queue(name)
    except QueueHeld as error:
        away[name] = error
        return None


async def _heads_by_type(
    batch: Batch,
    commands: Sequence[LeaseJobs],
    queue_heads: dict[str, QueueHead],
    wanted: dict[str, int],
    turns: dict[str, fair.Turns],
) -> ByTypeHeads:
    """The heads of these queues for calls that do not take everything, by queue and by what they take. Each has as many jobs as all calls
    could take from the queue, since these may be the same.
    """
    heads: ByTypeHeads = {}
    sets: dict[str, int] = {}
    for command in commands:
        if command.types is not None:
            batch.by_type.note_named(command.queues)
        for name in command.queues:
            queue_head = queue_heads.get(name)
            types = to_give(command.types, queue_head.queue.paused_types) if queue_head is not None else None
            if queue_head is None or types is None or (name, types) in heads:
                continue
            sets[name] = sets.get(name, 0) + 1
            if sets[name] <= _SETS:
                limit = min(wanted[name], queue_head.queue.may_lease())
                line = await _head_of_types(batch, queue_head, types, limit)
                if (of_queue := turns.get(name)) is not None:
                    fair.turns_of(batch, queue_head.queue, line, of_queue)
                heads[name, types] = QueueHead(queue_head.queue, line, of_queue)
    return heads


async def _head_of_types(batch: Batch, queue_head: QueueHead, types: Types, limit: int) -> OrderedJobs:
    """The next jobs of these types. Mostly the head of the queue has nothing else; only where it has, the queue is searched."""
    queue, line = queue_head.queue, queue_head.line
    if not types.names and types.only:
        return []
    fitting = [pair for pair in line if pair[1] is not None and types.fit(pair[1].type)]
    if len(fitting) >= limit or (len(line) < limit and all(content is not None for _, content in line)):
        return fitting
    found = await _readable(batch, queue, _reader(batch, queue, types), limit)
    if len(found) < limit and queue.typed is None and queue.tally.ready > TYPES_HEAD:
        await batch.keep_by_type(queue)
    return [pair for pair in found if pair[1] is None or types.fit(pair[1].type)]


async def _own_lines(
    batch: Batch, commands: Sequence[LeaseJobs], workers: dict[str, Worker], away: dict[str, QueueHeld]
) -> dict[tuple[str, str, Types | None], QueueHead]:
    """The heads of the lines that registered workers have to themselves, by worker, queue and what is taken."""
    wanted: dict[tuple[str, str], int] = {}
    asked: dict[tuple[str, str, tuple[str, ...] | None], None] = {}
    for command in commands:
        if command.worker in workers:
            for name in command.queues:
                wanted[command.worker, name] = wanted.get((command.worker, name), 0) + command.limit
                asked[command.worker, name, command.types] = None
    lines: dict[tuple[str, str, Types | None], QueueHead] = {}
    for worker, name, named in asked:
        queue = await _queue(batch, name, away)
        if queue is not None and queue.may_lease() > 0:
            types = to_give(named, queue.paused_types)
            read = partial(batch.tx.ready_for, worker, queue, types=types)
            lines[worker, name, types] = QueueHead(queue, await _readable(batch, queue, read, wanted[worker, name]))
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


async def add_progress(batch: Batch, results: list[Answer], indexes: list[int]) -> None:
    """Give each granted job what an earlier attempt noted."""
    noted = await _with_progress(batch, [result for i in indexes if isinstance(result := results[i], Granted)])
    if not noted:
        return
    for i in indexes:
        result = results[i]
        if isinstance(result, Granted):
            jobs = [GrantedJob(granted.job, granted.content, noted.get(granted.job.id)) for granted in result.jobs]
            results[i] = replace(result, jobs=jobs)


async def _with_progress(batch: Batch, results: Sequence[Granted]) -> dict[int, bytes]:
    again = [granted.job.id for result in results for granted in result.jobs if granted.job.attempt > 1]
    return await batch.tx.progress(again) if again else {}


def _shown(job: Job, command: LeaseJobs) -> Job:
    return job if command.scope is None else without_parent(job)
