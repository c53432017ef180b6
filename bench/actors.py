"""The harness's end of callers and workers that are processes of their own (`bench/callers/`), instead of the load generator.

It performs the same orders: a phase of a caller is timed by the caller; what a worker does is read from the marks that its handlers set. Everything that
it started is ended with it.

    enqueue    one caller, closed loop or at `rate`; what a turn is, the door says
    fill       until `count` jobs wait, those of earlier phases included, as fast as the caller can
    drain      one worker works off what waits, for `seconds` at the most
    pick-up    the caller enqueues at `rate` for one worker; latency from the caller's send to the beginning of the handler
"""

import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from bench import systemcalls
from bench.callers import marks
from bench.child import Started
from bench.figures import Latency
from bench.generator import LONGEST_S, ROOT, Broken
from bench.orders import Order, Outcome
from bench.processes import cpu_ns, is_running, machine_busy_ns, tree

WARM = 25  # jobs for a worker that has just started
FIRST_WITHIN_S = 30.0  # a worker imports, connects, and takes its first job
LAST_WITHIN_S = 10.0  # after the last job of a pick-up was sent
LOOK_S = 0.005


class Meter:
    """The clock, and the CPU of processes with all that they started, from its making to `used`."""

    def __init__(self, servers: list[int], clients: list[int]) -> None:
        self._servers, self._clients = servers, clients
        self._began = marks.clock()
        self._busy = machine_busy_ns()
        self._before = _cpu(servers) | _cpu(clients)

    def used(self) -> dict[str, Any]:
        """The fields of an outcome."""
        seconds = marks.clock() - self._began
        ours, theirs = (
            {pid: max(0, ns - self._before.get(pid, 0)) for pid, ns in _cpu(pids).items()}
            for pids in (self._servers, self._clients)
        )
        return {
            "seconds": seconds,
            "cpu_ns": ours,
            "client_cpu_ns": sum(theirs.values()),
            "machine_busy_ns": machine_busy_ns() - self._busy,
        }


def _cpu(roots: list[int]) -> dict[int, int]:
    return {pid: cpu_ns(pid) for root in roots for pid in tree(root)}


class Actors:
    """The callers and the worker of one case."""

    def __init__(self, directory: Path, python: str) -> None:
        """`python` is the interpreter of the environment that has what the callers import."""
        self._directory, self._python = directory, python
        self._callers: dict[str, _Caller] = {}
        self._worker: Started | None = None
        self._path = directory / "marks"
        self._marks = marks.create(self._path)
        self._next = self._done = 0  # the number of the next job; all before `_done` were handled

    def __enter__(self) -> "Actors":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end_worker()
        for caller in self._callers.values():
            caller.close()
        self._marks.close()

    def perform(self, order: Order) -> Outcome:
        """Have one phase played; blocks until it is over."""
        phases: dict[str, Callable[[Order], Outcome]] = {
            "enqueue": self._enqueue,
            "fill": self._fill,
            "drain": self._drain,
            "pick-up": self._pick_up,
        }
        return phases[order.phase](order)

    # -------------------------------------------------------------------------------------------------------- phases

    def _enqueue(self, order: Order) -> Outcome:
        caller = self._caller(order)
        counting = self._counting(order, [caller.pid]) if order.traced else None
        meter = Meter(order.watch, [caller.pid])
        said = self._turns(caller, order)
        used = meter.used()
        return _outcome(said, used, said["took"], {caller.pid: "caller"}, counting)

    def _fill(self, order: Order) -> Outcome:
        caller = self._caller(order)
        meter = Meter(order.watch, [caller.pid])
        before, failures = self._next, {}
        if (missing := order.count - self._waiting) > 0:
            self._next = caller.ask({"first": before, "count": missing, "many": True})["next"]
        if (missing := order.count - self._waiting) > 0:
            failures = self._turns(caller, order, count=missing)["failures"]
        return Outcome(operations=self._next - before, concluded=0, latency=None, failures=failures, **meter.used())

    def _drain(self, order: Order) -> Outcome:
        first, end = self._done, self._next
        worker = self._start_worker(order)
        self._await_first(first, end)
        meter, since = Meter(order.watch, [*self._pids(), worker.pid]), marks.clock()
        self._await_all(first, end, order.seconds)
        used = meter.used()
        began = self._marks.begun(first, end)
        # Few jobs may all have begun before this process was given the CPU again: then the later half of them is timed.
        since = min(since, sorted(began)[len(began) // 2])
        begun = [at for at in began if at > since]
        self._end_worker()
        self._done = end
        used["seconds"] = max(begun) - since if begun else used["seconds"]
        return Outcome(operations=len(begun), concluded=len(began), latency=None, failures={}, **used)

    def _pick_up(self, order: Order) -> Outcome:
        caller = self._caller(order)
        first = self._next
        worker = self._start_worker(order)
        self._turns(caller, order, count=WARM)
        self._await_first(first, self._next)
        self._await_all(first, self._next, LAST_WITHIN_S)
        begin = self._next
        clients = {caller.pid: "caller", worker.pid: "worker"}
        counting = self._counting(order, list(clients)) if order.traced else None
        meter = Meter(order.watch, list(clients))
        said = self._turns(caller, order)
        self._await_all(begin, self._next, LAST_WITHIN_S)
        used = meter.used()
        begun = self._marks.times[begin : self._next].tolist()
        took = [at - sent for at, sent in zip(begun, said["sent"], strict=True) if at]
        outcome = _outcome(said, used, took, clients, counting)
        if missing := self._next - begin - len(took):
            outcome.failures["never picked up"] = missing
        self._end_worker()
        outcome.concluded = len(self._marks.begun(first, self._next))
        self._done = self._next
        return outcome

    # ----------------------------------------------------------------------------------------------------- processes

    def _turns(self, caller: "_Caller", order: Order, count: int | None = None) -> dict[str, Any]:
        wanted = order.count if count is None else count
        said = caller.ask({"first": self._next, "count": wanted, "seconds": order.seconds, "rate": order.rate, "many": False})
        self._next = said["next"]
        return said

    @property
    def _waiting(self) -> int:
        """How many jobs were enqueued and not yet given to a worker."""
        return self._next - self._done

    def _pids(self) -> list[int]:
        return [caller.pid for caller in self._callers.values()]

    def _caller(self, order: Order) -> "_Caller":
        if order.caller not in self._callers:
            arguments = ["caller", order.caller, order.address, order.queue, str(order.payload_bytes)]
            self._callers[order.caller] = _Caller(self._command(*arguments))
        return self._callers[order.caller]

    def _start_worker(self, order: Order) -> Started:
        arguments = ["worker", order.caller.partition(":")[0], order.address, order.queue, str(self._path)]
        self._worker = Started("worker", self._command(*arguments), self._directory, lambda: True, _surroundings())
        return self._worker

    def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop()

    def _command(self, *arguments: str) -> list[str]:
        return [self._python, "-m", "bench.callers.play", *arguments]

    def _counting(self, order: Order, clients: list[int]) -> systemcalls.Counting:
        return systemcalls.Counting([*order.watch, *clients], self._directory)

    def _await_first(self, first: int, end: int) -> None:
        """Until the worker has begun one of these jobs."""
        deadline = marks.clock() + FIRST_WITHIN_S
        while not any(self._marks.times[first:end]):
            assert self._worker is not None, "started before"
            if marks.clock() > deadline or not is_running(self._worker.pid):
                raise Broken(f"the worker ended, or took no job in {FIRST_WITHIN_S:g} s. It said:\n{self._worker.said()}")
            time.sleep(LOOK_S)

    def _await_all(self, first: int, end: int, seconds: float) -> None:
        """Until it has begun all of them, for so long at the most."""
        deadline = marks.clock() + seconds
        while first < end and marks.clock() < deadline:
            while first < end and self._marks.times[first]:
                first += 1
            time.sleep(LOOK_S)


def _outcome(
    said: dict[str, Any],
    used: dict[str, Any],
    took: list[float],
    clients: dict[int, str],
    counting: systemcalls.Counting | None,
) -> Outcome:
    return Outcome(
        operations=len(took),
        concluded=0,
        latency=Latency.of(took),
        failures=said["failures"],
        first_failure=said["first_failure"],
        clients=clients,
        calls=counting.counts() if counting else {},
        **used | {"seconds": said["seconds"]},
    )


def _surroundings() -> dict[str, str]:
    """The environment of a caller: it finds `bench`, wherever its environment is."""
    return dict(os.environ) | {"PYTHONPATH": str(ROOT)}


class _Caller:
    """A caller's process."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=_surroundings(), text=True
        )
        self._hear()  # it is connected, and has made its tables

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None, "opened as a pipe"
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._hear()

    def _hear(self) -> dict[str, Any]:
        assert self._process.stdout is not None, "opened as a pipe"
        if not select.select([self._process.stdout], [], [], LONGEST_S)[0]:
            raise Broken("a caller did not answer")
        line = self._process.stdout.readline()
        if not line:
            raise Broken(f"a caller ended: {' '.join(self._process.args[3:])}")  # type: ignore[index]
        answer: dict[str, Any] = json.loads(line)
        if "broken" in answer:
            raise Broken(answer["broken"])
        return answer

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()
