"""One running server with its load generator, and the values read around every phase.

Before a phase: the disk's sync time and the server's commit histograms. Around it: clock and CPU (read by the generator). After
it: memory and the histograms again. A case is done when the server's own count of concluded jobs equals what its callers saw.
"""

from pathlib import Path
from typing import Protocol

import msgspec

from bench.disk import fdatasync_latency
from bench.figures import Latency
from bench.orders import Order, Outcome
from bench.processes import Memory, is_running, memories, memory
from bench.server import Commits, Holdfast
from bench.sizes import Sizes


class Subject(Protocol):
    """A server under measurement, Holdfast or a peer."""

    name: str
    port: int
    tubes: int  # the port of the beanstalkd protocol

    def roles(self) -> dict[int, str]: ...
    def commits(self) -> Commits: ...
    def concluded(self) -> int | None: ...
    def said(self) -> str: ...
    def stop(self) -> list[int]: ...


class Generator(Protocol):
    """What performs orders: the load generator, or callers that are processes of their own."""

    def perform(self, order: Order) -> Outcome: ...


class Counts(msgspec.Struct, kw_only=True):
    """How many jobs one case concluded: as the server counts, and as its callers were answered."""

    case: str
    run: int
    by_server: int
    by_callers: int


class Row(msgspec.Struct, kw_only=True):
    """One phase of one run, as it was measured."""

    name: str
    subject: str
    run: int
    callers: int
    outcome: Outcome
    roles: dict[int, str]
    memory: dict[int, Memory]
    fdatasync: Latency
    commits: Commits
    asked_rate: float | None = None

    @property
    def rate(self) -> float:
        """Jobs per second."""
        return self.outcome.operations / self.outcome.seconds

    def cpu_us(self, role: str | None = None) -> float | None:
        """CPU microseconds per job of the server's processes in that role, or of all of them."""
        used = [ns for pid, ns in self.outcome.cpu_ns.items() if role in (None, self.roles.get(pid))]
        return sum(used) / self.outcome.operations / 1000 if used and self.outcome.operations else None

    def system_calls(self) -> dict[str, dict[str, float]]:
        """How often each process, by its role, made which system call for each job."""
        roles = self.roles | self.outcome.clients
        jobs = max(1, self.outcome.operations)
        named = ((roles.get(pid, "other"), called) for pid, called in self.outcome.calls.items())
        return {role: {name: times / jobs for name, times in called.items()} for role, called in named}

    @property
    def client_cpu_us(self) -> float | None:
        return self.outcome.client_cpu_ns / self.outcome.operations / 1000 if self.outcome.operations else None

    @property
    def client_share(self) -> float:
        """How much of one core the load generator used: near 1, it may itself have been the limit."""
        return self.outcome.client_cpu_ns / 1e9 / self.outcome.seconds

    @property
    def others_share(self) -> float:
        """How much of one core went to neither the server nor the generator: a busy neighbour spoils a rate."""
        ours = self.outcome.client_cpu_ns + sum(self.outcome.cpu_ns.values())
        return max(0.0, (self.outcome.machine_busy_ns - ours) / 1e9 / self.outcome.seconds)

    def cpu_share(self, role: str) -> float:
        """How much of one core the server's processes in that role used."""
        used = sum(ns for pid, ns in self.outcome.cpu_ns.items() if self.roles.get(pid) == role)
        return used / 1e9 / self.outcome.seconds

    def pss_mb(self, role: str | None = None) -> float | None:
        held = [size.pss for pid, size in self.memory.items() if role in (None, self.roles[pid])]
        return sum(held) / 1e6 if held else None

    def rss_mb(self, role: str | None = None) -> float | None:
        held = [size.rss for pid, size in self.memory.items() if role in (None, self.roles[pid])]
        return sum(held) / 1e6 if held else None


class Stage:
    """Where the cases are played: a subject, a generator, and the rows measured so far."""

    def __init__(self, subject: Subject, generator: Generator, sizes: Sizes, directory: Path, run: int) -> None:
        self.subject, self.sizes, self.run = subject, sizes, run
        self.rows: list[Row] = []
        self.failures: dict[str, int] = {}
        self.first_failure = ""
        self.concluded = 0
        self._generator, self.directory = generator, directory

    def play(self, phase: str, **wanted: int | float | str | bool) -> Outcome:
        """A phase that is not reported, such as a warm-up; its failures count nevertheless."""
        order = Order(phase=phase, port=self.subject.port, seed=self.sizes.seed, watch=list(self.subject.roles()))
        for name, value in ({"payload_bytes": self.sizes.payload_bytes} | wanted).items():
            setattr(order, name, value)
        outcome = self._generator.perform(order)
        self.concluded += outcome.concluded
        for failure, times in outcome.failures.items():
            self.failures[failure] = self.failures.get(failure, 0) + times
        self.first_failure = self.first_failure or outcome.first_failure
        return outcome

    def measure(self, name: str, phase: str, **wanted: int | float | str | bool) -> Row:
        """A phase that is reported, with the values read around it."""
        disk = fdatasync_latency(self.directory, self.sizes.synced)
        before = self.subject.commits()
        roles = self.subject.roles()
        outcome = self.play(phase, **wanted)
        roles |= self.subject.roles()  # a database starts processes and ends them while it works
        row = Row(
            name=name,
            subject=self.subject.name,
            run=self.run,
            callers=int(wanted.get("callers", 1)),
            outcome=outcome,
            roles=roles,
            memory=memories(pid for pid in roles if is_running(pid)),
            fdatasync=disk,
            commits=self.subject.commits().since(before),
            asked_rate=float(wanted["rate"]) if "rate" in wanted else None,
        )
        self.rows.append(row)
        return row

    def measure_restart(self, name: str) -> Row:
        """How long the server takes to be ready again after `kill -9`, reported as the latency of one operation."""
        disk = fdatasync_latency(self.directory, self.sizes.synced)
        assert isinstance(self.subject, Holdfast)
        took = self.subject.killed_and_started_again()
        outcome = Outcome(
            operations=1, concluded=0, seconds=took, latency=Latency.of([took]), failures={}, cpu_ns={}, client_cpu_ns=0
        )
        roles = self.subject.roles()
        held = {pid: memory(pid) for pid in roles}
        about = {"run": self.run, "callers": 0, "roles": roles, "memory": held, "fdatasync": disk}
        row = Row(name=name, subject=self.subject.name, outcome=outcome, commits=Commits(None, None), **about)
        self.rows.append(row)
        return row

    def counts(self, case: str) -> "Counts | None":
        """Both counts of this case's concluded jobs; None of a subject that does not count them."""
        by_server = self.subject.concluded()
        if by_server is None:
            return None
        return Counts(case=case, run=self.run, by_server=by_server, by_callers=self.concluded)
