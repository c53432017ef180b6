"""The load: a crew of clients at work, started and stopped as one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from torture.actors import Actor, Observer, Producer, SlowWorker, TubeUser, Worker
from torture.flow import FlowProducer, FlowWorker
from torture.history import History
from torture.waiters import ChannelUser, Waiter


@dataclass(slots=True)
class Crew:
    """How many clients of each kind; `timeout_s` is how long one waits for an answer.

    A call whose outcome is unknown is repeated up to `tries` times, `pause_s` apart.
    """

    producers: int = 5
    workers: int = 4
    slow_workers: int = 2
    tube_users: int = 2  # for the server's beanstalkd door
    flow_producers: int = 3  # budgets, batches, deadlines
    flow_workers: int = 4
    waiters: int = 0  # long polls, and
    channel_users: int = 0  # live channels, that wait for jobs most of the time
    rest_s: float = 0.0  # a producer's, after each call, at most: with it jobs are taken as they come
    timeout_s: float = 5.0
    tries: int = 6
    pause_s: float = 0.02


@dataclass(slots=True)
class Load:
    """A running crew. `up` is set while the server is believed to answer; `others` are the ports of further, equal servers."""

    seed: str
    port: int
    history: History
    up: asyncio.Event
    crew: Crew = field(default_factory=Crew)
    others: tuple[int, ...] = ()
    number: int = 0  # among the loads of one trial, so that names of clients and values are unique
    tube_port: int = 0  # of the server's beanstalkd door; 0 if there is none
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _stopping: bool = False

    def start(self) -> None:
        """Start all actors."""
        kinds: dict[type[Actor], int] = {
            Producer: self.crew.producers,
            Worker: self.crew.workers,
            SlowWorker: self.crew.slow_workers,
            TubeUser: self.crew.tube_users if self.tube_port else 0,
            FlowProducer: self.crew.flow_producers,
            FlowWorker: self.crew.flow_workers,
            Waiter: self.crew.waiters,
            ChannelUser: self.crew.channel_users,
            Observer: 1,
        }
        for kind, many in kinds.items():
            for i in range(many):
                hand = kind(f"{kind.__name__.lower()}-{self.number}.{i}", self)
                self._tasks.append(asyncio.create_task(hand.run(), name=hand.name))

    async def stop(self) -> None:
        """Let all actors finish the current step; one that hangs longer has an unknown outcome."""
        self._stopping = True
        self.up.set()
        _, late = await asyncio.wait(self._tasks, timeout=self.crew.timeout_s + 1)
        for task in late:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    @property
    def stopping(self) -> bool:
        """Whether the actors were told to stop."""
        return self._stopping
