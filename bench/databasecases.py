"""Cases for PostgreSQL only: a great many waiting jobs, dead rows that can't be vacuumed, jobs enqueued by SQL."""

import time
from collections.abc import Callable

from bench.cases import batch, life_few, life_many, single
from bench.database import Database
from bench.disk import fdatasync_latency
from bench.figures import Latency
from bench.orders import Outcome
from bench.server import QUEUE, Holdfast
from bench.stage import Row, Stage
from bench.transactional import pickups

WAITING_TAKEN = 10_000
WAITING_RATE = 200.0
BEHIND = 20_000  # jobs that wait while others are enqueued and run
SLICES = 5
JOBS_TO_A_PICKUP = 50  # a pick-up takes as long as running that many jobs
PICKED_UP = "pick-up of what an application enqueued in its transaction"
IDLE = 16  # transactions that have enqueued and do not end
BESIDE_IDLE = f"the same beside {IDLE} transactions that have enqueued, and idle"
EXACTLY = "the same by enqueue_exact, which locks the queue"
DATABASE_CALLERS = 16  # of lives in batches: a commit waits for other machines, so it takes more callers to fill the time
CHURN_CALLERS = 4


def waiting(stage: Stage) -> None:
    """Dequeue one by one with a great many jobs waiting: the top rate, then latency at a fixed rate."""
    sizes = stage.sizes
    _fill(stage, sizes.backlog)
    name = f"{sizes.backlog:,} waiting"
    taken = min(sizes.backlog // 4, WAITING_TAKEN)
    stage.play("dequeue", callers=sizes.few, count=taken // 10)
    stage.measure(f"dequeue, {name}", "dequeue", callers=sizes.few, count=taken)
    seconds = min(5 * sizes.seconds, taken / WAITING_RATE)
    stage.measure(f"dequeue at a fixed rate, {name}", "paced dequeue", callers=sizes.few, rate=WAITING_RATE, seconds=seconds)
    stage.play("conclude", callers=sizes.many)


def churn(stage: Stage) -> None:
    """Jobs are enqueued and run by the hundred thousand while an old snapshot keeps every dead row; after each slice, the time
    of a dequeue.
    """
    sizes = stage.sizes
    _fill(stage, BEHIND)
    stage.play("batch life", callers=CHURN_CALLERS, batch=sizes.batch, seconds=sizes.warm_s)
    requests = sizes.churn // SLICES // sizes.batch
    with _database(stage).old_snapshot():
        for number in range(1, SLICES + 1):
            stage.measure(churned(number), "batch life", callers=CHURN_CALLERS, batch=sizes.batch, count=requests)
            seconds = min(sizes.seconds, 2.0)
            stage.measure(after_churn(number), "paced dequeue", callers=sizes.few, rate=WAITING_RATE, seconds=seconds)
            stage.play("conclude", callers=sizes.few)


def transactional(stage: Stage) -> None:
    """Jobs that an application enqueues in its own transaction, picked up one by one by a waiting worker."""
    for name, function, idle in ((PICKED_UP, "enqueue", 0), (BESIDE_IDLE, "enqueue", IDLE), (EXACTLY, "enqueue_exact", 0)):
        _picked_up(stage, name, function, idle)


def _picked_up(stage: Stage, name: str, function: str, idle: int) -> None:
    sizes = stage.sizes
    disk, roles, before = fdatasync_latency(stage.directory, sizes.synced), stage.subject.roles(), stage.subject.commits()
    began = time.perf_counter()
    took = pickups(_holdfast(stage), sizes.worked_off // JOBS_TO_A_PICKUP, sizes.payload_bytes, function, idle)
    outcome = Outcome(
        operations=len(took),
        concluded=len(took),
        seconds=time.perf_counter() - began,
        latency=Latency.of(took),
        failures={},
        cpu_ns={},
        client_cpu_ns=0,
    )
    stage.concluded += len(took)
    stage.rows.append(
        Row(
            name=name,
            subject=stage.subject.name,
            run=stage.run,
            callers=1,
            outcome=outcome,
            roles=roles,
            memory={},
            fdatasync=disk,
            commits=stage.subject.commits().since(before),
        )
    )


def churned(number: int) -> str:
    """The line of a slice's own work."""
    return f"churn under an old snapshot, slice {number}: life in batches"


def after_churn(number: int) -> str:
    """The line of the dequeues after a slice."""
    return f"churn under an old snapshot, slice {number}: dequeue"


def _holdfast(stage: Stage) -> Holdfast:
    subject = stage.subject
    assert isinstance(subject, Holdfast)
    return subject


def _database(stage: Stage) -> Database:
    database = _holdfast(stage).database
    assert database is not None
    return database


def _fill(stage: Stage, count: int) -> None:
    stage.play("push", callers=1, count=1)
    _database(stage).fill(QUEUE, count)


DATABASE_CASES: dict[str, Callable[[Stage], None]] = {
    "single": single,
    "life-32": life_few,
    "life-128": life_many,
    "batch": batch,
    "waiting": waiting,
    "churn": churn,
    "transactional": transactional,
}
