"""How much of everything a run does."""

import msgspec


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """The sizes of one run; times in seconds."""

    kind: str = "default"
    runs: int = 3
    seconds: float = 2.0
    warm_s: float = 0.5
    many: int = 128
    few: int = 32
    batch: int = 100
    batch_callers: int = 4
    pipelined: int = 16
    workers: int = 128
    parked: int = 10_000
    woken: int = 100
    backlog: int = 0
    worked_off: int = 10_000
    slow_s: float = 6.0  # of fifty calls a second
    traced: int = 200  # calls of which the system calls are counted
    reserves: float = 500.0  # times the seconds of a phase: jobs that are reserved one by one
    synced: int = 200  # calls of which the sync time of the disk is
    drained: int = 20_000
    drain_s: float = 10.0
    idle_s: float = 10.0
    churn: int = 100_000
    pickup_rate: float = 0.0
    interests: tuple[int, ...] = (1, 10, 100, 1_000, 10_000)
    changes: int = 10
    held_up: int = 1_000_000  # jobs that wait for one account
    many_keys: int = 10_000  # accounts, fair keys, open batches
    payload_bytes: int = 200
    seed: int = 1


DEFAULT = Sizes()
FULL = Sizes(kind="full", seconds=5.0, warm_s=1.0, backlog=1_000_000, churn=1_000_000)
SMOKE = Sizes(
    kind="smoke",
    runs=1,
    seconds=0.2,
    warm_s=0.05,
    workers=16,
    parked=200,
    woken=5,
    backlog=2_000,
    worked_off=300,
    slow_s=0.4,
    traced=10,
    synced=20,
    drained=500,
    drain_s=5.0,
    idle_s=0.5,
    churn=1_000,
    interests=(1, 20),
    changes=2,
    held_up=2_000,
    many_keys=200,
)
