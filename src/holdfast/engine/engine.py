"""The verbs. Every door calls these and nothing else: check the bounds, submit, wait for the commit.

    door ─▶ engine ─▶ committer ─▶ lifecycle ─▶ store          (the committer may be in another process; the engine does not know)
      ◀── answer ── after the commit ◀──┘
    committed news ─▶ waiters (long polls), hub (streams)

Everything in progress is bounded in commands and in bytes.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from holdfast import limits
from holdfast.auth.keys import Ability
from holdfast.budget import Budget
from holdfast.engine import checks
from holdfast.engine.access import caller_here
from holdfast.engine.budgets import Budgets
from holdfast.engine.change_signal import ChangeSignal
from holdfast.engine.fair import Fair
from holdfast.engine.hub import Hub, Subscription
from holdfast.engine.job_batches import JobBatches
from holdfast.engine.key_watch import KeyWatch
from holdfast.engine.keys import Keys
from holdfast.engine.operations import Operations
from holdfast.engine.pipeline import Pipeline
from holdfast.engine.publisher import Publisher, Unwaited
from holdfast.engine.reader import Reader, hidden_content
from holdfast.engine.schedules import Schedules
from holdfast.engine.submitter import new_run
from holdfast.engine.wait import Call
from holdfast.engine.waiters import Patience, Waiters
from holdfast.engine.workers import Workers
from holdfast.errors import Draining, HoldfastError, OutcomeUnknown, QueueNotFound, breach
from holdfast.job.job import PURGEABLE, IdempotencyKey, LeaseRef, NewJob, State
from holdfast.job.job_batch import ClosingJob
from holdfast.job.queue import QueueSettings
from holdfast.messages.answers import Changed, Counted, Enqueued, Granted
from holdfast.messages.audit import Managed
from holdfast.messages.backend import Backend
from holdfast.messages.commands import (
    AddJob,
    CancelJob,
    ConcludeLease,
    DeleteJob,
    DeleteQueue,
    EditJob,
    Enqueue,
    ExtendLease,
    FailLease,
    LeaseJobs,
    MoveJob,
    PauseQueue,
    PauseType,
    PromoteJob,
    PurgeQueue,
    ReleaseLease,
    RetryJob,
    SetInterest,
    SetQueue,
    SettleJob,
    TakeBackLease,
)
from holdfast.messages.events import Committed
from holdfast.messages.frame import A, Answer, Command
from holdfast.messages.job_batches import JobBatchMade
from holdfast.messages.views import Durability, QueueInfo
from holdfast.routing.interests import Match, Share
from holdfast.units import counted

LeaseVerb = ConcludeLease | FailLease | ReleaseLease | ExtendLease
JobVerb = RetryJob | CancelJob | PromoteJob | TakeBackLease | DeleteJob | EditJob | SettleJob


class Engine(Pipeline):
    """All verbs of Holdfast."""

    def __init__(
        self, backend: Backend, payload_bytes: int = limits.PAYLOAD_BYTES, memory_budget: int = limits.MEMORY_BUDGET_BYTES
    ) -> None:
        largest = payload_bytes + limits.BODY_BYTES_OVER_PAYLOAD
        super().__init__(backend, Budget(max(memory_budget, 2 * largest)))  # else the largest body would never get its turn
        self.payload_bytes = payload_bytes
        self.workers = Workers(self)
        self.schedules = Schedules(self, payload_bytes)
        self.arrivals = Waiters()
        self.room = Waiters()
        self.hub = Hub(backend.want_job_events)
        self.change_signal = ChangeSignal()
        self.reading = Reader(backend, self.hub, self.keyring)
        self.batches = JobBatches(self, self.reading, payload_bytes)
        self.key_watch = KeyWatch(self.keyring, self.reading, backend, self.hub, self.arrivals)
        self.budgets = Budgets(self, self.reading)
        self.fair = Fair(self, self.reading)
        self.keys = Keys(self, self.reading, self.key_watch.renewed)
        self.operations = Operations(self, self.reading)
        self._publishing = Publisher(self.reading, self._put_copies)
        self.unwaited = Unwaited()
        self.draining = False
        backend.listen(self._news, lambda: [*self.arrivals.names(), *self.room.names()])

    @property
    def durability(self) -> Durability:
        """How an answered job is stored."""
        return self._backend.durability

    # Producing

    async def enqueue(
        self,
        jobs: list[NewJob],
        key: IdempotencyKey | None = None,
        wait_ms: int = 0,
        at: str = "",
        patience: Patience | None = None,
        member: LeaseRef | None = None,
    ) -> Enqueued:
        """Enqueue all of these jobs or none; with `wait_ms`, wait for room in a full queue. `at` names the jobs in errors: ""
        or "jobs". `member`: the lease of a running job, which adds to its own batch even if that is closed.
        """
        checks.new_jobs(jobs, self.payload_bytes, at)
        if wait_ms:
            checks.number("wait_ms", wait_ms, 0, limits.WAIT_MS_MAX)
        if self.draining:
            raise Draining(retry_after_ms=1_000)
        weight = len(jobs[0].payload) if len(jobs) == 1 else sum([len(job.payload) for job in jobs])
        command = Enqueue(jobs, self._own(key), member=member)
        if not wait_ms:
            return await self.ask(command, weight)
        names = tuple(dict.fromkeys(job.queue for job in jobs))
        call: Call[Enqueued] = Call(self, self.room, names, weight)
        return await call.answer(command, wait_ms, None, patience)

    async def make_batch(
        self,
        jobs: list[NewJob],
        name: str = "",
        closed: bool = False,
        closing: Sequence[ClosingJob] = (),
        key: IdempotencyKey | None = None,
    ) -> JobBatchMade:
        """Make a batch with its first jobs, all of it or nothing."""
        if self.draining:
            raise Draining(retry_after_ms=1_000)
        return await self.batches.make(jobs, name, closed, closing, self._own(key))

    def _own(self, key: IdempotencyKey | None) -> IdempotencyKey | None:
        """The stored form of an idempotency key for calls over several queues: a caller that may see only some queues has keys
        of its own.
        """
        if key is None or key.scope:
            return key
        caller = caller_here(self.keyring)
        return key if caller is None or caller.scope is None else replace(key, scope=f"/{caller.key.id}")

    async def publish(
        self,
        event: NewJob,
        key: IdempotencyKey | None = None,
        require_interest: bool = False,
        to_workers: bool = False,
        skip_held: bool = False,
    ) -> Enqueued:
        """Enqueue a copy of `event` in each queue whose interest matches its payload, all or none. Its own queue is ignored.

        `to_workers`: a copy for every running worker registered on such a queue; only that worker can lease it. `skip_held`: a
        queue where a job has the event's unique key is skipped instead of causing a refusal.

        Copies in queues that the caller may not see are counted in the answer and not named.
        """
        caller = caller_here(self.keyring)
        if caller is not None:
            caller.need(Ability.PUBLISH)
        checks.new_job(event, self.payload_bytes)
        if self.draining:
            raise Draining(retry_after_ms=1_000)
        try:
            published = await self._publishing.publish(event, self._own(key), require_interest, to_workers, skip_held)
        except HoldfastError as error:
            if caller is None or caller.sees(error.fields.get("queue", "")) or "queue" not in error.fields:
                raise
            again = {name: error.fields[name] for name in ("retry_after_ms",) if name in error.fields}
            raise type(error)(
                "A queue that this key may not see does not take its copy; nothing was enqueued.", **again
            ) from None
        if caller is None or caller.scope is None:
            return published
        seen = [receipt for receipt in published.jobs if caller.sees(receipt.queue)]
        held = [queue for queue in published.held if caller.sees(queue)]
        return replace(published, jobs=seen, held=held, others=len(published.jobs) - len(seen))

    async def publish_unwaited(
        self, event: NewJob, require_interest: bool = False, to_workers: bool = False, skip_held: bool = False
    ) -> list[str]:
        """Publish to the queues that match now, without waiting for the commit. A crash or a refusal by the store loses the
        event.
        """
        caller = caller_here(self.keyring)
        if caller is not None:
            caller.need(Ability.PUBLISH)
        wanting = await self._publishing.queues_for(event.payload)
        await self.unwaited.begin(self.publish(event, None, require_interest, to_workers, skip_held))
        return [queue for queue in wanting if caller is None or caller.sees(queue)]

    async def _put_copies(self, command: Enqueue) -> Enqueued:
        return await self.ask(command, sum([len(copy.payload) for copy in command.jobs]))

    async def queues_for(self, data: bytes) -> list[str]:
        """The queues that would get this event, of those that the caller may see."""
        return (await self.reached_by(data))[0]

    async def reached_by(self, data: bytes) -> tuple[list[str], int]:
        """The same, and the number of further queues that the caller may not see."""
        caller = caller_here(self.keyring)
        if caller is not None and Ability.PUBLISH not in caller.abilities:
            caller.need(Ability.READ)
        found = await self._publishing.queues_for(data)
        seen = [queue for queue in found if caller is None or caller.sees(queue)]
        return seen, len(found) - len(seen)

    async def set_interest(self, queue: str, match: Match | None) -> bool:
        """Set which events a queue wants; None removes the interest. Returns False if there was nothing to remove."""
        command = SetInterest(queue, match)
        share = Share()
        async with self.audited(command):
            if match is None:
                checks.name_of_queue("queue", queue)
            else:
                checks.queue_name("queue", queue)
                share = await self._publishing.reserve(queue, match)
        try:
            answer = await self.manage(command)
        finally:
            self._publishing.let_go(share)
        return answer.count > 0

    # Consuming

    async def lease(
        self,
        queues: tuple[str, ...],
        limit: int = 1,
        worker: str = "",
        lease_ms: int | None = None,
        wait_ms: int = 0,
        request: str | None = None,
        by_priority: bool = False,
        registered: bool = False,
        patience: Patience | None = None,
        types: tuple[str, ...] | None = None,
    ) -> Granted:
        """Lease up to `limit` jobs, waiting up to `wait_ms` for the first. A caller that disconnects while it waits gets none.

        `registered`: the worker must be registered; without `queues` its registered queues are used, without waiting. `types`: only jobs
        of these.
        """
        checks.leases(queues, limit, lease_ms, worker, request, registered)
        if types is not None:
            checks.types("types", types)
        checks.number("wait_ms", wait_ms, 0, limits.WAIT_MS_MAX)
        if self.draining:
            raise Draining(retry_after_ms=1_000)
        if request is not None and (caller := caller_here(self.keyring)) is not None:
            request = f"{caller.key.id}/{request}"  # another key's answer for the same request id is not available to this one
        command = LeaseJobs(queues, limit, worker, lease_ms, request, by_priority, registered, waits=wait_ms > 0, types=types)
        if not wait_ms:
            return await self.ask(command)
        call: Call[Granted] = Call(self, self.arrivals, queues)
        return await call.answer(command, wait_ms, request, patience)

    async def end(self, command: Command[A]) -> A:
        """Conclude, fail, release or extend one lease."""
        weight = self._check_verb(command, "")
        return await self.ask(command, weight)

    async def end_many(self, commands: list[LeaseVerb], place: Callable[[int], str] = "[{}].".format) -> list[Answer]:
        """Many lease verbs at once: one result each, in order; a refused one is `Refused` and does not affect the others.

        `place` gives the n-th item's path in the request for errors, such as "fail[3].". A breach of a bound refuses the whole
        request.
        """
        if len(commands) > limits.BATCH_VERBS:
            raise breach("batch", f"must have at most {limits.BATCH_VERBS} entries")
        weight = 0
        try:
            for command in commands:
                if type(command) is not ConcludeLease or command.result is not None or command.then:
                    weight += self._check_verb(command, "")
        except HoldfastError:
            for index, command in enumerate(commands):
                self._check_verb(command, place(index))
            raise
        return await self._ask_many(commands, weight)

    def _check_verb(self, command: Command[Answer], at: str) -> int:
        if isinstance(command, ConcludeLease):
            size = 0 if command.result is None else len(command.result)
            if size > self.payload_bytes:
                checks.payload(at + "result", size, self.payload_bytes)
            if command.then:
                if self.draining:
                    raise Draining(retry_after_ms=1_000)
                checks.new_jobs(command.then, self.payload_bytes, at + "then")
                size += sum([len(job.payload) for job in command.then])
            return size
        if isinstance(command, ExtendLease):
            if command.lease_ms is not None:
                checks.number(at + "lease_ms", command.lease_ms, 1, limits.LEASE_MS_MAX)
            if command.progress is not None:
                checks.payload(at + "progress", len(command.progress), limits.PROGRESS_BYTES)
            return 0
        if isinstance(command, FailLease | ReleaseLease):
            return _check_return(command, at)
        return 0

    # Listening

    def subscribe(self, queue: str | None) -> Subscription:
        """Subscribe to job events of one queue or of all that the caller may see; `hub.unsubscribe` ends it."""
        if queue is not None:
            checks.name_of_queue("queue", queue)
        caller = caller_here(self.keyring)
        if caller is not None:
            caller.need(Ability.READ)
            if queue is not None and not caller.sees(queue):
                raise QueueNotFound(f"There is no queue {queue}.", queue=queue)
        return self.hub.subscribe(queue, caller)

    # Managing

    async def change_job(self, command: JobVerb) -> Changed:
        """Retry, cancel, promote, edit, settle or delete one job, or take back its lease."""
        async with self.audited(command):
            weight = self._check_change(command)
        changed = await self.manage(command, weight)
        caller = caller_here(self.keyring)
        if caller is not None and not caller.key.sees_payloads:
            return replace(changed, content=hidden_content(changed.content), payload_hidden=True)
        return changed

    def _check_change(self, command: JobVerb) -> int:
        weight = 0
        if isinstance(command, EditJob):
            checks.number("priority", command.priority, 0, limits.PRIORITY_MAX)
            checks.number("max_attempts", command.max_attempts, 1, limits.ATTEMPTS_MAX)
            checks.when("", command.delay_ms, command.run_at)
            checks.deadline("", command.expires_in_ms, command.expires_at)
            checks.text("type", command.type, limits.TYPE_CHARS)
            checks.tags("tags", command.tags or ())
            checks.meta("meta", command.meta or ())
            if command.content is not None:
                weight = len(command.content.payload)
                checks.payload("payload", weight, self.payload_bytes)
                checks.text("content_type", command.content.content_type, limits.CONTENT_TYPE_CHARS)
        elif isinstance(command, RetryJob):
            checks.deadline("", command.expires_in_ms, command.expires_at)
        elif isinstance(command, SettleJob):
            checks.text("reason", command.reason, limits.SETTLED_CHARS)
            if not command.reason:
                raise breach("reason", "must not be empty")
            weight = len(command.result or b"")
            checks.payload("result", weight, self.payload_bytes)
        return weight

    async def add_job(self, job: NewJob) -> Enqueued:
        """Enqueue one job by hand: recorded in the audit log, unlike `enqueue`, which is for programs."""
        command = AddJob(job)
        async with self.audited(command):
            checks.new_job(job, self.payload_bytes)
            if self.draining:
                raise Draining(retry_after_ms=1_000)
        return await self.manage(command, len(job.payload))

    async def move_job(self, job_id: int, queue: str) -> Enqueued:
        """Enqueue a job that is not leased again in another queue and remove the old one, in one transaction."""
        command = MoveJob(job_id, queue)
        async with self.audited(command):
            checks.queue_name("queue", queue)
            if self.draining:
                raise Draining(retry_after_ms=1_000)
        return await self.manage(command)

    async def set_queue(self, name: str, settings: QueueSettings, whole: bool, only_change: bool = False) -> QueueInfo:
        """Create a queue or change its settings; `whole` resets those not named. `only_change`: never create one."""
        command = SetQueue(name, settings, whole, only_change)
        async with self.audited(command):
            checks.queue_name("queue", name)
            checks.settings(settings)
        return await self.manage(command)

    async def pause(self, name: str, paused: bool) -> QueueInfo:
        """Stop or resume leasing from a queue."""
        return await self.manage(PauseQueue(name, paused))

    async def pause_type(self, name: str, job_type: str, paused: bool) -> QueueInfo:
        """Stop or resume leasing jobs of one type from a queue."""
        command = PauseType(name, job_type, paused)
        async with self.audited(command):
            checks.text("type", job_type, limits.TYPE_CHARS)
        return await self.manage(command)

    async def purge(self, name: str, states: tuple[str, ...]) -> int:
        """Remove every job in these states that existed when the purge began; returns how many. Runs in many small commits."""
        chosen = tuple(State(state) for state in dict.fromkeys(states) if state in PURGEABLE)
        command = PurgeQueue(name, chosen, 0, limits.PURGE_CHUNK, bulk=new_run())
        async with self.audited(command):
            checks.purgeable(states)
        purged, more = 0, True
        while more:
            answer = await self._go_on(command, purged)
            command, more = replace(command, up_to=answer.up_to), answer.more
            purged += answer.count
        return purged

    async def delete_queue(self, name: str) -> None:
        """Remove a queue without unfinished and dead jobs, and its history. Runs in many small commits."""
        removed, more, command = 0, True, DeleteQueue(name, bulk=new_run())
        while more:
            answer = await self._go_on(command, removed)
            removed += answer.count
            more = answer.more

    async def _go_on(self, command: Managed[Counted], done: int) -> Counted:
        """One of several steps: a refusal after the first means that the work is done in part."""
        try:
            return await self.manage(command)
        except HoldfastError as error:
            if not done:
                raise
            raise OutcomeUnknown(
                f"{counted(done, 'job')} deleted, then: {error.detail} Repeat the purge.", retry_after_ms=1_000
            ) from error

    # Lifecycle of the server

    def drain(self) -> None:
        """Accept nothing new, and end all waits. Leases can still be ended."""
        self.draining = True
        self.arrivals.drain()
        self.room.drain()
        self.hub.drain()
        self.change_signal.end()

    def _news(self, news: Committed) -> None:
        self.change_signal.beat()
        if news.keys is not None:
            self.key_watch.take(news)
        for name, count in news.ready.items():
            self.arrivals.notify(name, count, news.types.get(name))
        for name in news.freed:
            self.room.notify(name, 1)
        if news.interests is not None:
            self._publishing.take(news)
        if news.jobs:
            self.hub.take(news)


def _check_return(command: FailLease | ReleaseLease, at: str) -> int:
    if command.delay_ms:
        checks.number(at + "delay_ms", command.delay_ms, 0, limits.DELAY_MS_MAX)
    if command.block is not None:
        checks.block(command.block.key, command.block.for_ms, at + "block.")
    if isinstance(command, FailLease):
        raised = command.raised
        return 0 if raised is None else len(raised.message) + len(raised.traceback)
    if command.priority is not None:
        checks.number(at + "priority", command.priority, 0, limits.PRIORITY_MAX)
    return 0
