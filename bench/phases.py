"""Every phase that can be ordered from the load generator.

push, fill, batches   until the time is over, or `count` requests       (fill, batches: `batch` jobs to a request)
dequeue, conclude     `count` single leases; conclude every token that was taken
life, batch life      push, lease, conclude, round and round
drain                 lease and conclude until nothing is ready
pickup, paced dequeue at a fixed rate, latency from the intended send time
park, wake            leave long polls open; push one job for each of `count` of them
register, publish     say what `interests` queues want; publish what one of them wants
first publish         the same, each right after one interest has changed
beanstalk, redis      lives at a peer, or at the door that speaks as beanstalkd
beanstalk puts        `batch` puts in one write
channel               lives on live channels with `batch` credits, each concluded by itself
channel batches       the same, concluded in batches
python worker         `holdfast.Worker` works `count` jobs off, by coroutines or in threads
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import repeat

from bench import events
from bench.channelwire import CHANNELS, live_on_channels
from bench.connections import Meter, close_all, cut_short, in_time, open_connections, play_all
from bench.openloop import Pace, paced, working
from bench.orders import Order, Outcome
from bench.peerwire import PEERS
from bench.pyworker import COROUTINES, THREADS, work_off
from bench.scripts import (
    Calls,
    Tally,
    concluding,
    dequeuing,
    draining,
    leased_jobs,
    living,
    living_in_batches,
    parked,
    pushing,
    until_over,
)
from bench.wire import Connection, HttpReader, Reader, Script

PATIENCE_S = 60.0  # how much longer than planned a phase may take before its open requests count as unanswered
SETTLE_S = 0.3  # for polls to be parked before anything is pushed at them
QUIET_SHARE = 0.05  # of one core: a server that uses less has read all its polls
QUIET_WITHIN_S = 20.0  # well below the polls' own wait


class Held:
    """The result of one phase for the next: tokens of leases, and parked polls."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.polls: list[Connection] = []
        self.polled = Tally()
        self.to_wake = 0
        self.woken = asyncio.Event()

    def poll_ended(self, why: str) -> None:
        """A parked poll was answered, or cut short."""
        cut_short(self.polled, why)
        if self.to_wake and self.polled.done >= self.to_wake:
            self.woken.set()


async def perform(order: Order, held: Held) -> Outcome:
    """Carry out one order."""
    calls = Calls(order.queue, order.payload_bytes, order.seed, order.extra, order.wait_ms)
    if order.phase in OPEN_LOOPS:
        return await OPEN_LOOPS[order.phase](order, calls, held)
    tally = Tally()
    if order.shape:
        return await _play(order, tally, _publishers(order, tally))
    if order.phase in CHANNELS:
        return await live_on_channels(order)
    if order.phase in PEERS:
        reader, life = PEERS[order.phase]
        turns = until_over(order.seconds)
        lives = [life(tally, turns, order.batch, order.payload_bytes, caller) for caller in range(order.callers)]
        return await _play(order, tally, lives, lambda: reader(order.batch))
    return await _play(order, tally, _scripts(order, tally, calls, held))


def _scripts(order: Order, tally: Tally, calls: Calls, held: Held) -> list[Script]:
    """The callers of a plain phase. What they share, the turns and the tokens, is made once."""
    turns = repeat(None, order.count) if order.count else until_over(order.seconds)
    lease, fills = calls.lease(), calls.bulk_pushes(order.batch)
    if order.phase == "conclude":
        taken, held.tokens = iter(held.tokens), []
    make: dict[str, Callable[[], Script]] = {
        "push": lambda: pushing(tally, turns, calls.pushes),
        "fill": lambda: pushing(tally, turns, fills, order.batch),
        "batches": lambda: pushing(tally, turns, calls.batches(order.batch), order.batch),
        "dequeue": lambda: dequeuing(tally, turns, lease, held.tokens),
        "conclude": lambda: concluding(tally, taken, calls),
        "life": lambda: living(tally, turns, calls),
        "batch life": lambda: living_in_batches(tally, turns, calls, order.batch),
        "drain": lambda: draining(tally, calls, order.batch),
    }
    return [make[order.phase]() for _ in range(order.callers)]


def _publishers(order: Order, tally: Tally) -> list[Script]:
    """The callers of a phase about events."""
    numbers = iter(range(order.interests))
    turns = repeat(None, order.count) if order.count else until_over(order.seconds)
    requests = events.events(order.interests, order.payload_bytes, order.seed)
    make: dict[str, Callable[[], Script]] = {
        "register": lambda: events.registering(tally, numbers, order.shape),
        "publish": lambda: events.publishing(tally, turns, requests),
        "first publish": lambda: events.changing(tally, turns, requests, order.interests, order.shape),
    }
    return [make[order.phase]() for _ in range(order.callers)]


async def _play(order: Order, tally: Tally, scripts: Sequence[Script], reader: Callable[[], Reader] = HttpReader) -> Outcome:
    """One script per connection, measured from the first request to the last answer."""
    connections = await open_connections(order.port, len(scripts), reader)
    meter = Meter(order.watch)
    await play_all(connections, scripts, tally, order.seconds + PATIENCE_S)
    outcome = meter.outcome(tally)
    close_all(connections)
    return outcome


async def _pickup(order: Order, calls: Calls, _held: Held) -> Outcome:
    """Push at a fixed rate to `callers` parked workers, until each job was picked up and concluded."""
    tally = Tally()
    pace = Pace(order.rate, order.seconds)
    all_done = asyncio.Event()
    workers = await open_connections(order.port, order.callers)
    pushers = await open_connections(order.port, max(1, order.callers // 2))

    def pushed(_n: int, answer: tuple[int, bytes]) -> None:
        if answer[0] != 201:
            tally.failed("push", answer)

    def ended(why: str) -> None:
        cut_short(tally, why)

    for worker in workers:
        worker.play(working(tally, pace, calls, order.wait_ms, all_done), ended)
    for pusher in pushers:
        pusher.play(paced(pace, calls.push, pushed), ended, pace.idle)
    await asyncio.sleep(SETTLE_S)
    meter = Meter(order.watch)
    if not await in_time(asyncio.gather(pace.run(), all_done.wait()), order.seconds + PATIENCE_S):
        tally.failures["unanswered"] += pace.total - tally.concluded
    outcome = meter.outcome(tally, pace)
    close_all(workers + pushers)
    return outcome


async def _paced_dequeue(order: Order, calls: Calls, held: Held) -> Outcome:
    """Lease single jobs at a fixed rate."""
    tally = Tally()
    pace = Pace(order.rate, order.seconds)
    lease = calls.lease()

    def answered(n: int, answer: tuple[int, bytes]) -> None:
        jobs = leased_jobs(answer[1]).jobs if answer[0] == 200 else None
        if jobs:
            tally.timed(pace.intended(n))
            held.tokens.append(jobs[0].lease.token)
        else:
            tally.failed("lease", answer)

    connections = await open_connections(order.port, order.callers)
    scripts = [paced(pace, lambda _n: lease, answered) for _ in connections]
    meter = Meter(order.watch)
    played = play_all(connections, scripts, tally, order.seconds + PATIENCE_S, pace.idle)
    await asyncio.gather(played, pace.run())
    outcome = meter.outcome(tally, pace)
    close_all(connections)
    return outcome


async def _park(order: Order, calls: Calls, held: Held) -> Outcome:
    """Open `callers` long polls and leave them; the outcome is of `seconds` in which nothing else happens."""
    lease = calls.lease(wait_ms=order.wait_ms)
    held.polls = await open_connections(order.port, order.callers)
    for poll in held.polls:
        poll.play(parked(held.polled, lease, held.tokens), held.poll_ended)
    if not await in_time(_quiet(order.watch), QUIET_WITHIN_S):
        held.polled.failures["server still busy with its polls"] += 1
    meter = Meter(order.watch)
    await asyncio.sleep(order.seconds)
    return meter.outcome(held.polled)


async def _quiet(watched: Sequence[int]) -> None:
    """Wait until the watched processes do next to nothing."""
    share = 1.0
    while share > QUIET_SHARE:
        meter = Meter(watched)
        await asyncio.sleep(SETTLE_S)
        settled = meter.outcome(Tally())
        share = sum(settled.cpu_ns.values()) / 1e9 / settled.seconds


async def _wake(order: Order, calls: Calls, held: Held) -> Outcome:
    """Push `count` jobs, wait until as many parked polls are answered with one each, and disconnect the rest."""
    tally = Tally()
    held.to_wake = order.count
    outcome = await _play(order, tally, [pushing(tally, repeat(None, order.count), calls.pushes)])
    await in_time(held.woken.wait(), PATIENCE_S)
    if held.polled.done != order.count:
        outcome.failures[f"polls answered: {held.polled.done} instead of"] = order.count
    close_all(held.polls)
    return outcome


OPEN_LOOPS: dict[str, Callable[[Order, Calls, Held], Awaitable[Outcome]]] = {
    "pickup": _pickup,
    "paced dequeue": _paced_dequeue,
    "park": _park,
    "wake": _wake,
    COROUTINES: work_off,
    THREADS: work_off,
}
