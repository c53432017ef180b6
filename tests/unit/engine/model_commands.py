"""Makes up the commands of a story: each out of one number, and such that it fits the moment at which it is told."""

import random

from msgspec.structs import replace

from holdfast.job.budget import Block, Charge
from holdfast.job.closing import Closing
from holdfast.job.job import Content, Extras, IdempotencyKey, LeaseRef, NewJob, OnConflict, State, UniqueWhile
from holdfast.job.job_batch import ClosingJob
from holdfast.job.queue import QueueSettings
from holdfast.messages import beanstalk_commands as t
from holdfast.messages import commands as c
from holdfast.messages import job_batches as b
from holdfast.messages.budget_commands import BlockBudget
from holdfast.messages.time_commands import BuryOrphans, ExpireLeases, PromoteDue
from tests.unit.engine.model_budgets import BUDGETS, CHARGES
from tests.unit.engine.model_fair import FAIR_KEYS
from tests.unit.engine.model_routing import Publish

SETTINGS = {
    "small": QueueSettings(capacity_jobs=6, capacity_bytes=40, max_crashes=2, fair=True),
    "large": QueueSettings(max_running=4, max_attempts=3, max_crashes=3, expires_in_ms=1_000, budgets=(Charge("held"),)),
}
QUEUES = tuple(SETTINGS)
TYPES = ("", "a", "b", "c")
STEP_MS = 10
NEVER = LeaseRef(1, 1, 1, bytes(16))
ON_A_JOB = (c.RetryJob, c.CancelJob, c.PromoteJob, c.TakeBackLease, c.DeleteJob, c.EditJob, c.EditJob, c.SettleJob)
MATCHES = ("*", "*", "*", {"^a$": "^1$"}, {"^a$": "^[12]$"}, {"b": "^.*1"}, {"^a$": "^2$", "^b$": "^2$"}, None)
EVENTS = (b'{"a":"1"}', b'{"a":"2"}', b'{"b":"21"}', b'{"a":"3","b":"2"}', b"{}")


class CommandMaker:
    """Makes a command out of a number, of the jobs, leases and workers that there are at that moment."""

    def __init__(self, number, model, refs, worker_numbers):
        self.dice = random.Random(number)
        self.model = model
        self.refs = refs
        self.worker_numbers = worker_numbers

    def command(self):
        kinds = [self.put] * 3 + [self.lease] * 3 + [self.end] * 4 + [self.manage] * 3 + [self.over_a_queue, self.tick]
        kinds += [self.publish] * 2 + [self.interest] + [self.attend] * 2 + [self.by_tube] * 3
        kinds += [self.batch] * 4 + [self.block]
        return self.dice.choice(kinds)()

    def put(self):
        jobs = [self.new() for _ in range(self.dice.randint(1, 3))]
        for job in jobs if self.dice.random() < 0.4 else ():
            job.extras = replace(job.extras, batch=self.batch_id())
        return c.Enqueue(jobs, self.key())

    def batch_id(self):
        """Mostly one of those that are there."""
        return self.dice.choice([*self.model.batches, *self.model.batches, self.model.last_id + 1])

    def batch(self):
        chance, pick = self.dice.random(), self.dice.choice
        if chance < 0.5 and len(self.model.batches) < 8:
            kinds = [on for on in Closing if self.dice.random() < 0.6]
            closing = [ClosingJob(on, NewJob(pick(QUEUES), self.payload())) for on in kinds]
            jobs = [self.new() for _ in range(self.dice.randint(0, 3))]
            return b.MakeJobBatch(jobs, closed=self.dice.random() < 0.5, closing=closing)
        if chance < 0.8:
            return b.CloseJobBatch(self.batch_id())
        number = self.batch_id()
        members = [row.id for row in self.model.jobs.values() if row.batch == number]
        return b.CancelJobBatch(number, self.dice.sample(members, min(2, len(members))))

    def key(self):
        key = IdempotencyKey("s", self.dice.choice("1234"), self.dice.choice((b"a", b"a", b"b")))
        return self.dice.choice((None, None, key))

    def publish(self):
        event = replace(self.new(), queue="-", payload=self.dice.choice(EVENTS))
        return Publish(event, self.key(), *(self.dice.random() < share for share in (0.3, 0.6, 0.3)))

    def interest(self):
        return c.SetInterest(self.dice.choice(QUEUES), self.dice.choice(MATCHES))

    def attend(self):
        known, chance = [*self.model.workers, "nobody"], self.dice.random()
        if chance < 0.1:
            return c.RemoveWorkers(None, self.dice.choice(QUEUES))
        if chance < 0.6 and len(known) < 5:
            return c.RegisterWorker(
                f"w{next(self.worker_numbers):06d}", "", self.dice.choice((QUEUES, QUEUES, QUEUES[:1])), self.types()
            )
        return self.dice.choice((c.BeatWorker, c.BeatWorker, c.QuietWorker, c.RemoveWorkers))(self.dice.choice(known))

    def new(self):
        pick = self.dice.choice
        key, group = pick((None, None, None, "u", "v")), pick((None, "g", "h"))
        extras = Extras(
            unique_key=key,
            unique_while=pick(tuple(UniqueWhile)) if key else UniqueWhile.UNFINISHED,
            group_key=group,
            group_limit=pick((1, 1, 2)) if group else 1,
            budgets=pick(((), (), *CHARGES)),
            fair_key=pick(FAIR_KEYS),
        )
        delay_ms = self.delay()
        ways = [OnConflict.REFUSE, *OnConflict] if key else [OnConflict.REFUSE]
        way = pick([way for way in ways if way is not OnConflict.DEBOUNCE or delay_ms])
        return NewJob(
            pick(QUEUES),
            self.payload(),
            pick(TYPES),
            priority=pick((None, 1, 2)),
            delay_ms=delay_ms,
            max_attempts=pick((None, 1, 2)),
            extras=extras,
            on_conflict=way,
            debounce_max_ms=pick((None, 4 * STEP_MS)) if way is OnConflict.DEBOUNCE else None,
            expires_in_ms=self.lasting(),
        )

    def payload(self):
        return self.dice.choice((b"", b"1", b"1234567", b"x" * 15))

    def types(self):
        return self.dice.choice((None, None, None, TYPES[:1], TYPES[1:], ("b", "c"), (*TYPES, "d")))

    def delay(self):
        return self.dice.choice((0, 0, STEP_MS, 3 * STEP_MS))

    def lasting(self):
        return self.dice.choice((None, None, None, 1, 2 * STEP_MS, 5 * STEP_MS))

    def lease(self):
        queues = self.dice.choice((QUEUES, QUEUES[::-1], QUEUES[:1], QUEUES[1:], ("small", "large", "small")))
        lease_ms = self.dice.choice((STEP_MS, 5 * STEP_MS, 50 * STEP_MS))
        waited_for = [row.worker for row in self.model.jobs.values() if row.worker is not None and row.state == "ready"]
        worker = self.dice.choice(["w", "w", *self.model.workers, *waited_for])
        registered = worker != "w" and self.dice.random() < 0.3
        queues = () if registered and self.dice.random() < 0.5 else queues
        return c.LeaseJobs(
            queues,
            self.dice.randint(1, 3),
            worker,
            lease_ms,
            by_priority=self.dice.random() < 0.5,
            registered=registered,
            types=self.types(),
        )

    def ref(self):
        pick = self.dice.choice
        current = [row.ref for row in self.model.jobs.values() if row.ref is not None]
        ref = pick(current if current and self.dice.random() < 0.8 else self.refs)
        if self.dice.random() < 0.05:
            ref = pick((replace(ref, secret=bytes(16)), replace(ref, attempt=ref.attempt + 1)))
        return ref

    def by_tube(self):
        """What only beanstalkd's verbs ask for."""
        pick = self.dice.choice
        return pick(
            (
                t.BuryLease(self.ref(), pick((1, 2))),
                t.KickJob(self.job_id()[0]),
                t.KickJobs(pick(QUEUES), pick((True, False)), self.dice.randint(1, 3)),
                t.PutJobs([self.new() for _ in range(self.dice.randint(1, 3))]),
            )
        )

    def end(self):
        pick, ref = self.dice.choice, self.ref()
        return pick(
            (
                c.ConcludeLease(ref, pick((None, b"1", b"12345"))),
                c.FailLease(ref, "no", self.dice.random() < 0.6, self.delay()),
                c.FailLease(ref, "no", True, 0, block=self.word(ref)),
                c.FailLease(ref, "killed", pick((True, True, False)), pick((None, 0, STEP_MS)), crashed=True),
                c.ReleaseLease(ref, self.delay(), pick((None, 1, 2)), block=self.word(ref)),
                c.ExtendLease(ref, pick((STEP_MS, 5 * STEP_MS))),
            )
        )

    def block(self):
        pick = self.dice.choice
        return BlockBudget(pick(tuple(BUDGETS)), pick((None, "", "k")), pick((1, STEP_MS, 5 * STEP_MS)))

    def word(self, ref):
        """What the holder of a job may say of its budgets."""
        row = self.model.jobs.get(ref.job)
        charges = (*(row.budgets if row is not None else ()), Charge("rate"))
        if self.dice.random() < 0.5:
            return None
        charge = self.dice.choice(charges)
        return Block(charge.name, self.dice.choice((1, STEP_MS, 3 * STEP_MS)), self.dice.choice((None, charge.key)))

    def job_id(self):
        """Jobs of each state are named equally often, and now and then one that is not there."""
        states = sorted({row.state for row in self.model.jobs.values()})
        state = self.dice.choice([*states, "none"])
        there = [row.id for row in self.model.jobs.values() if row.state == state]
        return self.dice.choice(there or [self.model.last_id + 1]), state

    def manage(self):
        job_id, state = self.job_id()
        verb = c.RetryJob if state in ("dead", "cancelled") and self.dice.random() < 0.5 else self.dice.choice(ON_A_JOB)
        if verb is c.RetryJob:
            return verb(job_id, self.lasting())
        if verb is c.SettleJob:
            return verb(job_id, self.dice.random() < 0.5, "seen")
        if verb is not c.EditJob:
            return verb(job_id)
        content = self.dice.choice((None, Content(self.dice.choice(TYPES), None, self.payload())))
        priority, delay = self.dice.choice((None, 1, 2)), self.dice.choice((None, self.delay()))
        kind = self.dice.choice((None, None, *TYPES))
        lasts = self.lasting()
        no_end = 0 if lasts is None and self.dice.random() < 0.2 else None
        return c.EditJob(job_id, content, kind, priority=priority, delay_ms=delay, expires_in_ms=lasts, expires_at=no_end)

    def over_a_queue(self):
        states = self.dice.choice(((State.READY,), (State.SCHEDULED, State.CANCELLED), (State.DEAD,), (State.CONCLUDED,)))
        name = self.dice.choice(QUEUES)
        pauses = self.dice.random() < 0.3
        by_type = c.PauseType(name, self.dice.choice(TYPES), pauses)
        return self.dice.choice((c.PauseQueue(name, pauses), c.PurgeQueue(name, states, 0, 1_000), by_type))

    def tick(self):
        ticks = [ExpireLeases(1_000), PromoteDue(1_000), b.PutClosingJobs(1_000)]
        if not any(until > self.model.now for until in self.model.blocked.values()):
            ticks.append(BuryOrphans(1_000))  # a job that waits for a budget comes to its own line first
        return self.dice.choice(ticks)
