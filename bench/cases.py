"""What is measured at Holdfast: each case a few phases on a server with an empty store.

A case warms up first: the first requests of a process pay for imports, caches and page faults that later ones do not.
"""

from collections.abc import Callable

from bench.events import SHAPES, first_name, publish_name
from bench.files import files_allowed
from bench.pyworker import COROUTINES, THREADS
from bench.stage import Stage

SPARE_FILES = 500  # descriptors that a server needs beside its polls
POLL_MS = 55_000  # the longest wait that the contract allows
LARGE_PAYLOAD = 4_096
TUBES_PREFIX = "beanstalkd door: "
FILLED_AT_LEAST = 20_000.0  # jobs a second
FILL_JOBS = 1_000  # the most that one bulk push may have
FILL_CALLERS = 2
BACKLOG_TAKEN = 50_000  # so few that the backlog is still about as large afterwards


def idle(stage: Stage) -> None:
    """The memory and CPU of an idle server."""
    stage.measure("idle", "park", callers=0, seconds=stage.sizes.seconds)


def single(stage: Stage) -> None:
    """One request per job: push for a while, lease all that was pushed, conclude every lease."""
    sizes = stage.sizes
    _singles_unreported(stage, sizes.warm_s)
    pushed = stage.measure("push", "push", callers=sizes.many, seconds=sizes.seconds).outcome.operations
    stage.measure("dequeue", "dequeue", callers=sizes.many, count=pushed)
    stage.measure("conclude", "conclude", callers=sizes.many)


def _singles_unreported(stage: Stage, seconds: float) -> None:
    pushed = stage.play("push", callers=stage.sizes.many, seconds=seconds).operations
    stage.play("dequeue", callers=stage.sizes.many, count=pushed)
    stage.play("conclude", callers=stage.sizes.many)


def life_few(stage: Stage) -> None:
    """Push, lease, conclude, three requests a life, by 32 callers."""
    _lives(stage, stage.sizes.few)


def life_many(stage: Stage) -> None:
    """The same by 128 callers."""
    _lives(stage, stage.sizes.many)


def _lives(stage: Stage, callers: int) -> None:
    stage.play("life", callers=callers, seconds=stage.sizes.warm_s)
    stage.measure(f"life, {callers} callers", "life", callers=callers, seconds=stage.sizes.seconds)


def batch(stage: Stage) -> None:
    """Lives a hundred at a time: one bulk push, one lease, one batch of concludes."""
    sizes = stage.sizes
    stage.play("batch life", callers=sizes.batch_callers, batch=sizes.batch, seconds=sizes.warm_s)
    name = f"life, batches of {sizes.batch}"
    stage.measure(name, "batch life", callers=sizes.batch_callers, batch=sizes.batch, seconds=sizes.seconds)


def pickup(stage: Stage) -> None:
    """From the intended push to a parked worker's answer.

    The goals are about half of the top rate of whole lives, which is what a server with workers can sustain. Half of the top
    rate of pushes alone is measured second: each job then costs three requests at half the speed of one, so it shows an
    overloaded server. Both tops are measured here.
    """
    sizes = stage.sizes
    if sizes.pickup_rate:
        _picked_up(stage, "pick-up at the rate given", sizes.pickup_rate)
        return
    lives = stage.play("life", callers=sizes.many, seconds=max(sizes.warm_s, sizes.seconds / 2))
    pushes = stage.play("push", callers=sizes.many, seconds=max(sizes.warm_s, sizes.seconds / 2))
    stage.play("drain", callers=sizes.batch_callers, batch=FILL_JOBS)
    _picked_up(stage, "pick-up at half the top life rate", lives.operations / lives.seconds / 2)
    _picked_up(stage, "pick-up, overloaded: half the top push rate", pushes.operations / pushes.seconds / 2)


def _picked_up(stage: Stage, name: str, rate: float) -> None:
    sizes = stage.sizes
    stage.measure(name, "pickup", callers=sizes.workers, rate=rate, seconds=sizes.seconds, wait_ms=POLL_MS)


def parked(stage: Stage) -> None:
    """Memory and CPU with long polls parked; then some of them are woken, to see that they were."""
    sizes = stage.sizes
    polls = min(sizes.parked, files_allowed() - SPARE_FILES)
    row = stage.measure(f"{polls:,} parked polls", "park", callers=polls, seconds=sizes.seconds, wait_ms=POLL_MS)
    stage.play("wake", callers=polls, count=sizes.woken)
    stage.play("conclude", callers=1)
    assert row.outcome.operations == 0, "nobody pushed while they were parked"


def backlog(stage: Stage) -> None:
    """Dequeue with a great many jobs waiting: the top rate, then latency at half of it."""
    sizes = stage.sizes
    if not sizes.backlog:
        return
    requests = -(-sizes.backlog // FILL_JOBS)
    patience = sizes.backlog / FILLED_AT_LEAST
    preload = f"preload of {sizes.backlog:,}"
    stage.measure(preload, "fill", callers=FILL_CALLERS, batch=FILL_JOBS, count=requests, seconds=patience)
    waiting = f"{sizes.backlog:,} waiting"
    taken = min(sizes.backlog // 4, BACKLOG_TAKEN)
    stage.play("dequeue", callers=sizes.few, count=taken // 10)
    rate = stage.measure(f"dequeue, {waiting}", "dequeue", callers=sizes.few, count=taken).rate / 2
    name, seconds = f"dequeue at half that rate, {waiting}", min(sizes.seconds, taken / rate)
    stage.measure(name, "paced dequeue", callers=sizes.few, rate=rate, seconds=seconds)
    stage.play("conclude", callers=sizes.many)
    stage.measure_restart(f"start after kill -9, {waiting}")


def large(stage: Stage) -> None:
    """Single requests with payloads of 4 KiB."""
    sizes = stage.sizes
    stage.play("life", callers=sizes.many, seconds=sizes.warm_s, payload_bytes=LARGE_PAYLOAD)
    name = "life, payload 4 KiB"
    stage.measure(name, "life", callers=sizes.many, seconds=sizes.seconds, payload_bytes=LARGE_PAYLOAD)


def publish(stage: Stage) -> None:
    """How the cost of a publish grows with the number of interests, and what the first one after a change costs."""
    sizes = stage.sizes
    seconds = sizes.seconds / 2
    for count in sizes.interests:
        for shape in SHAPES:
            about: dict[str, int | str] = {"interests": count, "shape": shape}
            stage.play("register", callers=sizes.few, **about)
            stage.play("publish", callers=sizes.few, seconds=sizes.warm_s / 2, **about)
            stage.measure(publish_name(count, shape), "publish", callers=sizes.few, seconds=seconds, **about)
            stage.measure(first_name(count, shape), "first publish", count=sizes.changes, **about)


def beanstalk(stage: Stage) -> None:
    """The beanstalkd door: lives as beanstalkd's clients run them, and puts that arrive together."""
    tubes(stage, TUBES_PREFIX, stage.subject.tubes)


def tubes(stage: Stage, prefix: str, port: int) -> None:
    """The same with any server of the beanstalkd protocol on this port."""
    sizes = stage.sizes
    stage.play("beanstalk", callers=sizes.few, seconds=sizes.warm_s, port=port)
    name = f"{prefix}life, {sizes.few} callers"
    stage.measure(name, "beanstalk", callers=sizes.few, seconds=sizes.seconds, port=port)
    stage.play("beanstalk", callers=sizes.batch_callers, batch=sizes.batch, seconds=sizes.warm_s, port=port)
    name = f"{prefix}life, batches of {sizes.batch}"
    stage.measure(name, "beanstalk", callers=sizes.batch_callers, batch=sizes.batch, seconds=sizes.seconds, port=port)
    name = f"{prefix}puts, pipelined by {sizes.pipelined}"
    stage.measure(name, "beanstalk puts", callers=sizes.few, batch=sizes.pipelined, seconds=sizes.seconds, port=port)


def python_worker(stage: Stage) -> None:
    """`holdfast.Worker` with handlers that do nothing: coroutines, and functions in threads."""
    sizes = stage.sizes
    for phase, kind in ((COROUTINES, "coroutines"), (THREADS, "threads")):
        stage.play(phase, callers=sizes.few, count=sizes.worked_off // 10)
        stage.measure(f"Python worker, {kind}", phase, callers=sizes.few, count=sizes.worked_off)


def channel(stage: Stage) -> None:
    """Lives on live channels: each job enqueued, sent to a channel, and concluded by a message of its own or with others."""
    sizes = stage.sizes
    about = {"callers": sizes.few, "batch": sizes.pipelined}
    for phase, how in (("channel", "single concludes"), ("channel batches", "concluded in batches")):
        stage.play(phase, seconds=sizes.warm_s, **about)
        stage.play("drain", callers=sizes.batch_callers, batch=FILL_JOBS)
        stage.measure(f"live channel: life, {sizes.pipelined} credits, {how}", phase, seconds=sizes.seconds, **about)
        stage.play("drain", callers=sizes.batch_callers, batch=FILL_JOBS)


CASES: dict[str, Callable[[Stage], None]] = {
    "idle": idle,
    "single": single,
    "life-32": life_few,
    "life-128": life_many,
    "batch": batch,
    "pickup": pickup,
    "parked": parked,
    "publish": publish,
    "large": large,
    "backlog": backlog,
    "python": python_worker,
    "beanstalk": beanstalk,
    "channel": channel,
}
