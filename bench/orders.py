"""The harness's orders to the load generator, and the outcomes: one line of JSON each."""

import msgspec

from bench.figures import Latency


class Order(msgspec.Struct, kw_only=True):
    """One phase: what to do, at which server, by how many callers, for how long or how often.

    `extra`: what each pushed job has besides its payload, as JSON without the braces; `{n}` in it is the number of the job.
    `interests` and `shape`: how many queues want events, and how their patterns are worded (`bench/events.py`). `caller`, at which `address`, and whether
    its and the server's system calls are counted: of orders to callers that are processes of their own (`bench/actors.py`).
    """

    phase: str
    port: int
    queue: str = "bench"
    callers: int = 1
    seconds: float = 1.0
    count: int = 0
    batch: int = 1
    rate: float = 0.0
    payload_bytes: int = 200
    wait_ms: int = 0
    interests: int = 0
    shape: str = ""
    extra: str = ""
    seed: int = 1
    caller: str = ""
    address: str = ""
    traced: bool = False
    watch: list[int] = []


class Outcome(msgspec.Struct, kw_only=True):
    """The outcome of an order.

    `operations` and `concluded` count jobs. `latency` is of whole turns of a script, `lateness` how late the generator itself
    was with scheduled requests. `cpu_ns` is what each watched process used meanwhile, `machine_busy_ns` what all processes
    used. `clients` are the processes of callers by their role, `calls` how often each process made which system call.
    """

    operations: int
    concluded: int
    seconds: float
    latency: Latency | None
    lateness: Latency | None = None
    failures: dict[str, int]
    first_failure: str = ""
    cpu_ns: dict[int, int]
    client_cpu_ns: int
    machine_busy_ns: int = 0
    clients: dict[int, str] = {}
    calls: dict[int, dict[str, int]] = {}
