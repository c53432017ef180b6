"""The lone caller: one call after the other, and fifty a second, at every door. `make bench ARGS='--only lone'`.

A server that is fast with many callers gathers their work; a lone caller pays for every step and every wake-up. So each door has its latency, the CPU of each
process per job, and, in a phase of its own because counting slows everything, the system calls of each process per job.
"""

from collections.abc import Callable
from typing import Any

from bench import systemcalls
from bench.peers import PEERS, Peer
from bench.server import QUEUE, TUBE
from bench.stage import Stage

Case = Callable[[Stage], None]

CLIENT = "Python Client"
TUBES = "beanstalkd protocol"
HTTP = {
    "HTTP socket": "bare_http:Plain",
    "HTTP socket with a key": "bare_http:Keyed",
    "live channel": "live_channel:Channel",
    CLIENT: "holdfast_client:Blocking",
    "Python AsyncClient": "holdfast_async:Coroutines",
}
RATE = 50.0  # a second
PATIENCE_S = 60.0  # for a phase that is over after so many calls
PICKED_UP = "pick-up at 50/s, Python Client to Python Worker"
DRAINED = "drain by one Python Worker"
IDLE = "idle"
RESERVED = f"reserve alone, {TUBES}"
TRACED = ", system calls"
FILE_PEER = next(peer for peer in PEERS if peer.name == "beanstalkd on disk")


def alone(door: str) -> str:
    """The case of the closed loop at a door."""
    return f"enqueue alone, {door}"


def slowly(door: str) -> str:
    """The case of the fixed rate."""
    return f"enqueue at 50/s, {door}"


def _both(stage: Stage, door: str, about: dict[str, Any]) -> None:
    """A closed loop, then the fixed rate, then the system calls of a closed loop."""
    sizes = stage.sizes
    stage.play("enqueue", seconds=sizes.warm_s, **about)
    stage.measure(alone(door), "enqueue", seconds=sizes.seconds, **about)
    stage.measure(slowly(door), "enqueue", seconds=sizes.slow_s, rate=RATE, **about)
    _traced(stage, alone(door), "enqueue", count=sizes.traced, **about)


def _traced(stage: Stage, name: str, phase: str, **wanted: Any) -> None:
    if not systemcalls.why_not():
        stage.measure(name + TRACED, phase, traced=True, seconds=PATIENCE_S, **wanted)


def _http(door: str, caller: str) -> Case:
    return lambda stage: _both(stage, door, {"caller": caller, "address": _address(stage), "queue": QUEUE})


def _address(stage: Stage) -> str:
    return f"http://127.0.0.1:{stage.subject.port}"


def tubes(stage: Stage) -> None:
    """Put, then reserve what is ready, at any server of beanstalkd's protocol."""
    sizes = stage.sizes
    about = {"address": f"127.0.0.1:{stage.subject.tubes}", "queue": TUBE}
    _both(stage, TUBES, {"caller": "tubes:Put"} | about)
    jobs = max(sizes.traced, int(sizes.seconds * sizes.reserves))
    stage.play("fill", count=jobs + 2 * sizes.traced, seconds=PATIENCE_S, caller="tubes:Put", **about)
    stage.play("enqueue", count=sizes.traced, seconds=PATIENCE_S, caller="tubes:Reserve", **about)
    stage.measure(RESERVED, "enqueue", count=jobs, seconds=PATIENCE_S, caller="tubes:Reserve", **about)
    _traced(stage, RESERVED, "enqueue", count=sizes.traced, caller="tubes:Reserve", **about)


def picked_up(stage: Stage) -> None:
    """From the producer's send to the first line of the worker's handler; the server's CPU is that of the whole life of a job."""
    sizes = stage.sizes
    about = {"caller": "holdfast_client:Blocking", "address": _address(stage), "queue": QUEUE, "rate": RATE}
    stage.measure(PICKED_UP, "pick-up", seconds=sizes.slow_s, **about)
    _traced(stage, PICKED_UP, "pick-up", count=sizes.traced, **about)


def drained(stage: Stage) -> None:
    """What one worker with a handler that does nothing works off, from the first job to the last."""
    sizes = stage.sizes
    about = {"caller": "holdfast_client:Blocking", "address": _address(stage), "queue": QUEUE}
    stage.play("fill", count=sizes.drained, seconds=sizes.drain_s, **about)
    stage.measure(DRAINED, "drain", seconds=sizes.drain_s, **about)


def idle(stage: Stage) -> None:
    """What a server costs that nobody calls."""
    stage.measure(IDLE, "park", callers=0, seconds=stage.sizes.idle_s)


CASES: dict[str, Case] = {
    **{f"lone {door}": _http(door, caller) for door, caller in HTTP.items()},
    f"lone {TUBES}": tubes,
    "lone pick-up": picked_up,
    "lone drain": drained,
}


ONE_PROCESS = "Holdfast, one process"
IN_ONE_PROCESS = ("lone HTTP socket", f"lone {CLIENT}", "lone pick-up", "lone drain")
"""The cases that a server with `--fronts 0` plays as well."""


def missing() -> list[str]:
    """What this machine lacks for a whole table, and how to get it."""
    lacks = []
    if why := systemcalls.why_not():
        lacks.append(f"system calls of each process ({why})")
    if not FILE_PEER.installed():
        lacks.append(f"{FILE_PEER.name} ({FILE_PEER.binary} is not installed: apt-get install -y {FILE_PEER.binary})")
    return lacks


def peers() -> list[Peer]:
    """The peer beside the beanstalkd door, where it is installed."""
    return [FILE_PEER] if FILE_PEER.installed() else []
