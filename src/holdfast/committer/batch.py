"""The commands of one transaction: what has been read, what has been decided, and in which order.

    time passes → leases end → managing verbs → new jobs → batches of jobs, groups and budgets settle → write → leases are given → write

The order is legal because commands that wait together are concurrent: no caller has the answer to one while sending another. It
also refuses least: jobs that end make room for new ones, and new ones can be leased at once. Every later decision about a job
sees the earlier ones through `latest`, so two commands for one job are decided one after the other.

A command that is refused raises before it has changed anything, so it does not affect the others.
"""

import os
import random
from typing import TYPE_CHECKING

import msgspec

from holdfast.auth.scope import Scope, sees
from holdfast.committer.accounts import Accounts
from holdfast.committer.by_type import ByType, Came
from holdfast.committer.members import Members, moves
from holdfast.committer.routes import Routes
from holdfast.committer.set_aside import SetAside
from holdfast.committer.shares import Shares
from holdfast.errors import QueueNotFound, UpgradeUnfinished
from holdfast.job.by_type import NOTHING_YET
from holdfast.job.job import (
    CANCELLED,
    DEAD,
    LEASED,
    NO_EXTRAS,
    READY,
    SCHEDULED,
    Content,
    IdempotencyKey,
    Job,
    JobError,
    Receipt,
)
from holdfast.job.queue import Queue, QueueSettings, Tally
from holdfast.limits import PARKED_POLLS
from holdfast.messages import events
from holdfast.messages.audit import AuditEntry
from holdfast.messages.events import Committed, JobEvent
from holdfast.routing import interests as routing
from holdfast.stores.store import Change, KeptAnswer, Transaction

if TYPE_CHECKING:
    from holdfast.committer.audit import Refusals

_SECRET_BYTES = 16
_SECRETS_AT_ONCE = 256  # one system call per so many leases
_secrets: list[bytes] = []


class Batch(msgspec.Struct, eq=False):  # one for each commit: a dataclass takes more than twice as long to make
    """What one transaction has read and decided. `now` is the time of everything in it."""

    tx: Transaction
    now: int
    accepting: bool = True
    listened: bool = False
    earliest: int | None = None
    puts: int = 0  # jobs enqueued by schedules
    schedules_changed: bool = False  # one began to go wrong or to go well, was made or removed
    interests: routing.Change | None = None
    keys: int | None = None  # the version of the access keys, where some changed
    scope: Scope | None = None  # of the command being decided: jobs and queues outside it are hidden
    routes: Routes | None = None
    beats: dict[str, int] = {}
    pauses: dict[str, int] = {}
    came: Came = {}  # before leases are given
    types_read: dict[int, str] = {}  # of jobs that have come back
    by_type: ByType = msgspec.field(default_factory=ByType)
    aside: SetAside = msgspec.field(default_factory=SetAside)
    graced_until: int = 0  # leases that expire just now were extended after an outage
    queues: dict[str, Queue] = {}
    changes: dict[int, Change] = {}
    written: dict[int, Change] = {}
    steps: list[Change] = []  # all that were written: a job that is released and leased again has two
    grouped: bool = False
    budgeted: set[int] = set()  # jobs with budgets that changed and that no account has counted yet
    given_back: set[int] = set()  # of these, released before any extension
    accounts: Accounts | None = None
    shares: Shares | None = None  # where a queue is fair
    uncounted: bool = False  # a job changed whose budgets can't be read
    left_group: set[int] = set()  # since the last flush; a job that left loses its slot
    touched: set[str] = set()
    arrived: set[str] = set()
    for_one: set[str] = set()  # of these, where a job is for one worker only
    reopened: set[str] = set()  # of these, where that may be so: what is ready was ready before
    freed: set[str] = set()
    removed: set[str] = set()
    counts: dict[tuple[str, str], int] = {}
    job_events: list[JobEvent] = []
    stop: list[int] = []
    lost: list[int] = []
    kept: dict[tuple[str, str], KeptAnswer] = {}
    keeping: list[tuple[IdempotencyKey, KeptAnswer]] = []
    unique: dict[tuple[str, str], int | None] = {}
    audit: dict[str, AuditEntry] = {}  # by run, if it has several parts
    audit_numbers: list[int] = []  # of these, once they are written
    audit_removed: int = 0
    refusals: "Refusals | None" = None  # that may still be stored; None: no bound
    newest_only: bool = False  # None of the release before serves the store; False: not looked yet
    passed_over: int = 0  # refusals past that
    members: Members | None = None  # of batches of jobs, where one changed
    owing: bool = False  # a closing job of a batch could not be put

    async def queue(self, name: str) -> Queue | None:
        """The queue with this name, or None."""
        known = self.queues.get(name)
        if known is None:
            known = await self.tx.queue(name)
            if known is not None:
                self.queues[name] = known
                if known.paused_until:
                    self.note_pause(known)
                if known.typed is not None and known.typed.upto is not None:
                    self.note_filling(known)
                if known.sharing is not None:
                    self.note_sharing(known)
        return known

    def note_pause(self, queue: Queue) -> None:
        """A queue that is paused for a time: resume it if the time is up, else check it again then."""
        if queue.paused_until <= self.now:
            if queue.paused_until:
                queue.paused, queue.paused_until = False, 0
                self.may_give(queue)
            return
        self.pauses[queue.name] = queue.paused_until
        self.earliest = queue.paused_until if self.earliest is None else min(self.earliest, queue.paused_until)

    def note_filling(self, queue: Queue) -> None:
        """A queue whose jobs are being given their types: go on with that soon."""
        self.by_type.filling.add(queue.name)
        self.earliest = self.now

    def shares_here(self) -> Shares:
        """The lines of fair queues."""
        if self.shares is None:
            self.shares = Shares(self.tx)
        return self.shares

    def note_sharing(self, queue: Queue) -> None:
        """A queue that is fair, or is being sorted or cleared: go on with that soon."""
        self.shares_here().queues[queue.name] = queue
        if queue.sharing is not None and not queue.sharing.whole:
            self.by_type.sharing.add(queue.name)
            self.earliest = self.now

    async def keep_by_type(self, queue: Queue) -> None:
        """Begin to keep what is ready in a queue by its type, unless nodes of the release before may serve, which would not."""
        if not self.newest_only:
            self.newest_only = await self.tx.newest_only()
        if self.newest_only:
            queue.typed = NOTHING_YET
            self.touched.add(queue.name)
            self.note_filling(queue)

    def members_here(self) -> Members:
        """The batches of jobs that this transaction touches."""
        members = self.members
        if members is None:
            members = self.members = Members()
        return members

    def may_give(self, queue: Queue) -> None:
        """A queue has changed, and may let calls go on that wait for what it has had before."""
        self.touched.add(queue.name)
        self.arrived.add(queue.name)
        self.reopened.add(queue.name)

    async def queue_here(self, name: str) -> Queue:
        """The queue of this name, or `QueueNotFound`."""
        known = await self.queue(name) if sees(self.scope, name) else None
        if known is None:
            raise QueueNotFound(f"There is no queue {name}.", queue=name)
        return known

    async def queue_made(self, name: str) -> Queue:
        """The queue of this name, created now if it is new."""
        return await self.queue(name) or await self.queue_begun(name)

    async def queue_begun(self, name: str) -> Queue:
        """A queue that `queue` did not find: create it."""
        made = self.queues[name] = await self.tx.create_queue(name, self.now)
        self.touched.add(name)
        return made

    def queue_imagined(self, name: str) -> Queue:
        """A queue that does not exist, with the defaults it would get: a refused job must not create one."""
        return Queue(0, name, QueueSettings(), self.tx.policy(QueueSettings()), False, self.now, Tally())

    async def demand_newest_only(self, field: str) -> None:
        """Raise `UpgradeUnfinished` while nodes of the release before may serve the store, which can't read what this field adds to it."""
        if not self.newest_only:
            self.newest_only = await self.tx.newest_only()
        if not self.newest_only:
            raise UpgradeUnfinished(
                f"{field} is not there until the upgrade is finished: nodes of the release before may still serve this database. "
                "Once they are gone: holdfast upgrade --finish",
                field=field,
            )

    async def latest(self, job_id: int) -> Job | None:
        """A job as this batch has left it."""
        change = self.changes.get(job_id) or self.written.get(job_id)
        return await self.tx.job(job_id) if change is None else change.after

    async def visible(self, job_id: int) -> Job | None:
        """A job as this batch has left it, if the caller of the current command may see it."""
        job = await self.latest(job_id)
        return job if job is not None and sees(self.scope, job.queue) else None

    async def queue_if_locked(self, name: str) -> Queue | None:
        """The queue of a job that may be changed without a lock that this transaction does not have yet; else None."""
        return self.queues.get(name) or (await self.queue(name) if self.tx.has_queue(name) else None)

    async def own(self, job: Job) -> Queue:
        """The queue that a loaded job is in."""
        return self.queues.get(job.queue) or await self.queue_here(job.queue)

    def change(
        self,
        verb: str,
        queue: Queue,
        before: Job | None,
        after: Job | None,
        content: Content | None = None,
        error: JobError | None = None,
        result: bytes | None = None,
        progress: bytes | None = None,
        then: list[Receipt] | None = None,
    ) -> None:
        """Record a decision: the row to write, the tally, the event, and which callers it may wake."""
        some = after or before
        assert some is not None, "a change is about a job"
        state = after.state if after is not None else None
        if state is LEASED or state is SCHEDULED:
            moment = some.lease.until if some.lease is not None else some.ready_at
            if self.earliest is None or moment < self.earliest:
                self.earliest = moment
        if some.extras is not NO_EXTRAS and not (state is LEASED and before is not None and before.state is READY):
            self._note_extras(
                some, before, after
            )  # all of it stays as it is when a job is leased, and who leases counts its budgets
        if state is READY and some.extras.worker is not None:
            self.for_one.add(queue.name)
        job_id = some.id
        pending = self.changes.get(job_id)
        if pending is None:
            self.changes[job_id] = Change(before, after, content, error, result, progress, then)
        else:
            pending.after = after
            pending.content = content or pending.content
            pending.error = error or pending.error
            pending.result = result if result is not None else pending.result
            pending.progress = progress if progress is not None else pending.progress
            pending.then = then or pending.then
        self._count(verb, queue, before, after)
        if self.listened:
            self.job_events.append(JobEvent(verb, job_id, some.queue, state, self.now))

    def tell(self, verb: str, number: int, queue: str = "") -> None:
        """Something else than a job was changed: an operation, or a batch of jobs."""
        if self.listened:
            self.job_events.append(JobEvent(verb, number, queue, None, self.now))

    def _note_extras(self, some: Job, before: Job | None, after: Job | None) -> None:
        """What else depends on the state of a job that is not like most."""
        extras = some.extras
        if extras.group_key is not None:
            self.grouped = True
            if after is None or not after.holds_group_slot:
                self.left_group.add(some.id)
        if extras.expires_at is not None and (deadline := some.deadline) is not None:
            self.earliest = deadline if self.earliest is None else min(self.earliest, deadline)
        if extras.batch is not None and moves(before, after):
            (self.members or self.members_here()).note(extras.batch, before, after)
        if extras.budgets:
            self.budgeted.add(some.id)
        if extras.unreadable is not None:
            self.uncounted = True
        if before is not None and before.extras is not extras:
            self._note_former(before)

    def _note_former(self, before: Job) -> None:
        """The same of what it had before."""
        if before.extras.budgets:
            self.budgeted.add(before.id)
        if before.extras.unreadable is not None:
            self.uncounted = True

    def _count(self, verb: str, queue: Queue, before: Job | None, after: Job | None) -> None:
        old = before.state if before is not None else None
        new = after.state if after is not None else None
        name = queue.name
        self.touched.add(name)
        if before is not None and after is not None and before.size != after.size:
            queue.tally.move(old, None, before.size)
            queue.tally.move(None, new, after.size)
            self.freed.add(name)  # a smaller payload makes room
        elif old is not new:
            some = after or before
            queue.tally.move(old, new, some.size, some.result_size)  # type: ignore[union-attr]
        if new is READY:
            self.arrived.add(name)
        elif old is not None and new is not LEASED:
            self.freed.add(name)
        counts, key = self.counts, (verb, name)
        counts[key] = counts.get(key, 0) + 1
        if new is DEAD and old is not DEAD:
            counts[events.DIED, name] = counts.get((events.DIED, name), 0) + 1
        elif new is CANCELLED and verb != events.DEADLINE_PASSED and after is not None and after.has_expired:
            counts[events.DEADLINE_PASSED, name] = counts.get((events.DEADLINE_PASSED, name), 0) + 1

    async def set_interest(self, queue: Queue, match: routing.Match | None) -> bool:
        """Write or remove a queue's interest, and take note of it; whether there was one to remove or change."""
        before = await self.tx.interests_version()
        changed = await self.tx.set_interest(queue, match)
        if changed:
            earlier = self.interests or routing.Change(before, before, {})
            after = await self.tx.interests_version()
            self.interests = routing.Change(earlier.before, after, earlier.matches | {queue.name: match})
        return changed

    async def flush(self) -> None:
        """Write what has been decided, so that later reads from the store see it."""
        if self.changes:
            if self.shares is not None:
                await self.shares.count(self.changes.values())
            changes = list(self.changes.values())
            await self.tx.write(changes)
            self.steps += changes
            self.written.update(self.changes)
            self.changes.clear()
            self.left_group.clear()

    async def _save_job_batches(self, members: Members) -> None:
        if members.made:
            await self.tx.add_job_batches(members.made)
            members.changed -= {made.id for made, _ in members.made}
        loaded = members.loaded
        changed = [found for number in members.changed if (found := loaded[number]) is not None]
        if changed or members.gone or members.owed:
            await self.tx.save_job_batches(changed, members.gone, members.owed)

    def is_blocked(self, account: str) -> bool:
        """Whether an account that this transaction has to do with is blocked now."""
        return self.accounts is not None and self.accounts.blocked_until(account) > self.now

    async def _save_accounts(self) -> None:
        self.accounts = self.accounts or Accounts(self.tx, self.now, self.queues)
        if self.uncounted:
            await self.accounts.count_anew()
        moment = await self.accounts.save()
        if moment is not None and (self.earliest is None or moment < self.earliest):
            self.earliest = moment

    async def finish(self) -> Committed:
        """Write the rest, and say what will be news once it is committed."""
        await self.flush()
        if self.shares is not None:
            await self.shares.save()
            if self.shares.idle:
                self.by_type.idle_lines = True
                self.by_type.idle_written += self.shares.idle
        if self.members is not None:
            await self._save_job_batches(self.members)
        if self.keeping:
            await self.tx.keep_answers(self.keeping, self.now)
        queues = [self.queues[name] for name in self.touched if name in self.queues]
        if queues:
            for some in queues:
                if some.typed is not None and some.tally.ready == 0:
                    some.typed = None  # what is ready next comes without its type
            await self.tx.save_queues(queues)
        if self.accounts is not None or self.uncounted:
            await self._save_accounts()
        if self.audit:
            self.audit_numbers = await self.tx.write_audit(list(self.audit.values()))
        ready = await self._may_give()
        types = await self.by_type.came(self, ready) if self.by_type.named else {}
        return Committed(ready, sorted(self.freed), self.job_events, self.interests, self.stop, self.lost, self.keys, types)

    async def _may_give(self) -> dict[str, int]:
        """How many jobs each queue may give to callers that wait, where there is something new."""
        if self.reopened:
            takers = {queue for worker in (await self.tx.workers()).values() for queue in worker.queues}
            self.for_one |= self.reopened & takers
        ready: dict[str, int] = {}
        for name in self.arrived | self.freed:
            queue = self.queues.get(name)
            if queue is not None and (count := queue.may_lease()) > 0:
                ready[name] = count if name not in self.for_one else PARKED_POLLS  # whom it is for may be the last in line
        return ready

    @staticmethod
    def chance() -> float:
        """A number in [0, 1), for jitter."""
        return random.random()  # noqa: S311  (it spreads retries; it guards nothing)

    @staticmethod
    def secrets(count: int) -> list[bytes]:
        """Secrets of 128 bits from the operating system, each used once."""
        while len(_secrets) < count:
            block = os.urandom(_SECRET_BYTES * max(count, _SECRETS_AT_ONCE))
            _secrets.extend(block[i : i + _SECRET_BYTES] for i in range(0, len(block), _SECRET_BYTES))
        return [_secrets.pop() for _ in range(count)]
