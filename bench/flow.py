"""What flow control costs: lives with a budget, in a batch, in a fair queue, and with nothing of it; and leases beside very many jobs that wait for something.

`make bench ARGS='--only flow'`, with `--store postgresql` on PostgreSQL, and with `--against COMMIT` beside the lives of an older version.
"""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cases import FILL_CALLERS, FILL_JOBS, FILLED_AT_LEAST
from bench.server import CAPACITY, QUEUE, Holdfast
from bench.stage import Stage

COSTS = "flow costs"
NOTHING = "nothing used"
FREE = {"limit": 1_000_000, "per_ms": 1_000}  # a rate that no load here reaches
HELD = {"limit": 1_000_000}
ONCE = {"limit": 1, "per_ms": 3_600_000}
PATIENCE_MS = 5_000  # a job may stand aside for a moment until its account is looked at
LEASES_A_SECOND = 200.0
ASIDE = "jobs wait for one exhausted account"
Case = Callable[[Stage], None]


def grouped(variant: str) -> str:
    """The line of many callers at once."""
    return f"life, many callers, {variant}"


def alone(variant: str) -> str:
    """The line of one caller."""
    return f"life, one caller, {variant}"


def together(variant: str) -> str:
    """The line of lives a hundred at a time."""
    return f"life, batches, {variant}"


def leases(about: str, without: bool = False) -> str:
    """The line of leases at a fixed rate."""
    return f"lease at a fixed rate, {'before ' if without else ''}{about}"


def _server(stage: Stage) -> Holdfast:
    assert isinstance(stage.subject, Holdfast)
    return stage.subject


def _in_batch(stage: Stage) -> str:
    return f'"batch":{_server(stage).ask("POST", "/v1/batches", {"jobs": []})["id"]}'


def _budget(policy: dict[str, int]) -> Callable[[Stage], str]:
    def made(stage: Stage) -> str:
        _server(stage).ask("PUT", "/v1/budgets/wide", policy)
        return '"budgets":[{"name":"wide"}]'

    return made


def _shared(stage: Stage) -> str:
    _server(stage).ask("PUT", f"/v1/queues/{QUEUE}", CAPACITY | {"fair": True})
    return '"fair_key":"k{n}"'


VARIANTS: dict[str, Callable[[Stage], str]] = {
    NOTHING: lambda _: "",
    "a budget (rate)": _budget(FREE),
    "a budget (held)": _budget(HELD),
    "in a batch": _in_batch,
    "in a fair queue": _shared,  # the last one: the queue stays fair
}


def _lives(stage: Stage, variant: str, extra: str) -> None:
    sizes = stage.sizes
    about = {"extra": extra, "wait_ms": PATIENCE_MS}
    many = {"callers": sizes.few, **about}
    batches = {"callers": sizes.batch_callers, "batch": sizes.batch, **about}
    stage.play("life", seconds=sizes.warm_s, **many)
    stage.measure(grouped(variant), "life", seconds=sizes.seconds, **many)
    stage.measure(alone(variant), "life", callers=1, seconds=sizes.seconds, **about)
    stage.play("batch life", seconds=sizes.warm_s, **batches)
    stage.measure(together(variant), "batch life", seconds=sizes.seconds, **batches)


def plain(stage: Stage) -> None:
    """Only those with nothing of it."""
    _lives(stage, NOTHING, "")


def costs(stage: Stage) -> None:
    """Each variant on the same server, one after the other."""
    for variant, make in VARIANTS.items():
        _lives(stage, variant, make(stage))


def _lease(stage: Stage, name: str, extra: str = "", fill: bool = True) -> None:
    """Single leases at a fixed rate, each of a job that is ready."""
    seconds = 2.5 * stage.sizes.seconds
    count = int(LEASES_A_SECOND * seconds)
    if fill:
        stage.play("fill", callers=1, count=-(-count // 100), batch=100, extra=extra, seconds=60.0)
    stage.measure(name, "paced dequeue", callers=stage.sizes.few, rate=LEASES_A_SECOND, seconds=seconds)
    stage.play("conclude", callers=stage.sizes.few)
    stage.play("drain", callers=stage.sizes.batch_callers, batch=FILL_JOBS)


def aside(stage: Stage) -> None:
    """Leases of a queue before and after so many jobs wait in it for an account that can't pay."""
    _server(stage).ask("PUT", "/v1/budgets/none", ONCE)
    _server(stage).ask("POST", "/v1/budgets/none/block", {"for_ms": 3_600_000})
    about = f"{stage.sizes.held_up:,} {ASIDE}"
    _lease(stage, leases(about, without=True))
    _many(stage, stage.sizes.held_up, '"budgets":[{"name":"none"}]')
    _lease(stage, leases(about))


def accounts(stage: Stage) -> None:
    """Leases of jobs each of which has an account of its own."""
    _server(stage).ask("PUT", "/v1/budgets/each", ONCE)
    _many(stage, stage.sizes.many_keys, '"budgets":[{"name":"each","key":"k{n}"}]')
    _lease(stage, leases(f"{stage.sizes.many_keys:,} accounts"), fill=False)


def keys(stage: Stage) -> None:
    """Leases of a fair queue in which each job has a key of its own."""
    extra = _shared(stage)
    _many(stage, stage.sizes.many_keys, extra)
    _lease(stage, leases(f"{stage.sizes.many_keys:,} fair keys"), fill=False)


def batches(stage: Stage) -> None:
    """Leases of jobs each of which is in an open batch of its own."""
    count = stage.sizes.many_keys
    stage.play("batches", callers=stage.sizes.few, count=count, batch=1, seconds=count / FILLED_AT_LEAST)
    _lease(stage, leases(f"{count:,} open batches"), fill=False)


def _many(stage: Stage, count: int, extra: str) -> None:
    requests = -(-count // FILL_JOBS) if count >= FILL_JOBS else count
    stage.play(
        "fill",
        callers=FILL_CALLERS,
        batch=min(FILL_JOBS, count) if count >= FILL_JOBS else 1,
        count=requests,
        seconds=count / FILLED_AT_LEAST * 10,
        extra=extra,
    )


CASES: dict[str, Case] = {
    COSTS: costs,
    "flow accounts": accounts,
    "flow batches": batches,
    "flow keys": keys,
    "flow aside": aside,
}


@contextmanager
def source_of(commit: str, disk: Path) -> Iterator[Path | None]:
    """The source of a commit in a folder of its own; None without one."""
    if not commit:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-source-", dir=disk) as folder:
        root = Path(folder) / commit[:12]
        root.mkdir()
        archive = subprocess.run(
            ["git", "archive", commit, "src"], cwd=Path(__file__).parents[1], check=True, capture_output=True
        )
        subprocess.run(["tar", "-x", "-C", str(root)], input=archive.stdout, check=True)
        yield root / "src"
