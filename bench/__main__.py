"""`python -m bench`: measure the server and its peers, and write the report.

The runs go round: every case once, then every case again, so that a noisy spell of the machine touches one run of each case and
not all runs of one. Each case has a fresh server on an empty store. Exits with 1 when a call failed or a count was wrong.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec

from bench import flow, lone, pages, pythonpeers
from bench.actors import Actors
from bench.cases import CASES, SPARE_FILES
from bench.database import Database
from bench.databasecases import DATABASE_CALLERS, DATABASE_CASES, SLICES, after_churn, churned
from bench.disk import fdatasync_latency
from bench.figures import Latency, Spread
from bench.files import raise_files_limit
from bench.generator import LoadGenerator
from bench.machine import describe
from bench.onetable import BASELINE, slices
from bench.orders import Outcome
from bench.peers import PEERS, Peer, PeerServer, measure_peer
from bench.server import Commits, Holdfast
from bench.sizes import DEFAULT, FULL, SMOKE, Sizes
from bench.stage import Counts, Generator, Row, Stage, Subject
from bench.summary import Report, draw_together

RESULTS = Path(__file__).parent / "results"
ALIASES = {"push": "single", "dequeue": "single", "conclude": "single"}
PEERS_NAME = "peers"
ONE_TABLE = "one-table"
LONE = "lone"
PYTHON_PEERS = "python-peers"
FLOW = "flow"
BY_NAME = (LONE, PYTHON_PEERS, FLOW)  # measured only where they are asked for; each has a page of its own
DATABASE_ONLY = ("waiting", "churn", "transactional", ONE_TABLE)


class Bench:
    """One run of the command: its measurements and its failures."""

    def __init__(self, sizes: Sizes, store: str, fronts: int, disk: Path) -> None:
        self.sizes, self.store, self.fronts, self.disk = sizes, store, fronts, disk
        self.database: Database | None = None
        self.rows: list[Row] = []
        self.counts: list[Counts] = []
        self.notes: list[str] = []
        self.problems: list[str] = []
        self.start_s: list[float] = []
        self.durability = "not asked"
        self.about: dict[str, str] = {}
        self.ways: dict[str, str] = {}

    def play(
        self,
        name: str,
        run: int,
        start: Callable[[Path], Subject],
        case: Callable[[Stage], None],
        load: Callable[[Path], AbstractContextManager[Generator]] = lambda _directory: LoadGenerator(),
    ) -> None:
        """Play one case on a server of its own, and record its rows."""
        directory = Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=self.disk))
        try:
            subject = start(directory)
            try:
                with load(directory) as generator:
                    stage = Stage(subject, generator, self.sizes, directory, run)
                    case(stage)
                self._keep(name, stage)
            finally:
                self._stop(subject)
        except Exception as broken:  # noqa: BLE001 -- one broken case is reported, the others are still measured
            self.problems.append(f"{name}, run {run}: {type(broken).__name__}: {broken}")
            click.echo(f"  {self.problems[-1]}", err=True)
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def runs(self) -> Iterator[int]:
        """The number of each run, which is said."""
        for run in range(1, self.sizes.runs + 1):
            click.echo(f"run {run} of {self.sizes.runs}")
            yield run

    def start_holdfast(self, directory: Path, source: Path | None = None, name: str = "", fronts: int | None = None) -> Subject:
        server = Holdfast(directory, self.store, self.fronts if fronts is None else fronts, self.database, source)
        server.name = name or server.name
        self.start_s.append(server.ready_after_s)
        self.durability = server.durability()
        return server

    def baseline(self) -> None:
        """The usual design, one table for all, under the same old snapshot."""
        database, sizes = self.database, self.sizes
        assert database is not None
        disk = fdatasync_latency(self.disk, sizes.synced)
        found = slices(database, SLICES, sizes.seconds, sizes.payload_bytes)
        for number, (done, seconds, took) in enumerate(found, 1):
            for name, latency in ((churned(number), None), (after_churn(number), Latency.of(took))):
                outcome = Outcome(
                    operations=done, concluded=0, seconds=seconds, latency=latency, failures={}, cpu_ns={}, client_cpu_ns=0
                )
                about: dict[str, Any] = {"roles": {}, "memory": {}, "fdatasync": disk, "commits": Commits(None, None)}
                line = f"{BASELINE}, {database.name}: {name}"
                self.rows.append(Row(name=line, subject="holdfast", run=1, callers=1, outcome=outcome, **about))

    def _keep(self, name: str, stage: Stage) -> None:
        if self.database is not None:
            name = f"{self.database.name}: {name}"
            for row in stage.rows:
                row.name = f"{self.database.name}: {row.name}"
        self.rows += stage.rows
        for row in stage.rows:
            took = row.outcome.latency
            p99 = f", p99 {took.p99_ms:.2f} ms" if took else ""
            click.echo(f"  {row.subject}: {row.name}: {row.rate:,.0f}/s{p99}, client {row.client_share:.0%} of a core")
        failed = ", ".join(f"{times} × {failure}" for failure, times in stage.failures.items())
        if failed:
            self.problems.append(f"{name}: failed calls: {failed}; the first: {stage.first_failure}")
        if counts := stage.counts(name):
            self.counts.append(counts)
            if counts.by_server != counts.by_callers:
                self.problems.append(f"{name}: {counts.by_server} jobs concluded, {counts.by_callers} answered so")

    def _stop(self, subject: Subject) -> None:
        if left := subject.stop():
            self.problems.append(f"{subject.name} did not end when asked: {len(left)} processes were killed")


def run_all(bench: Bench, cases: list[str], peers: list[Peer]) -> None:
    """Every case and every peer, `runs` times in turn."""
    bench.about |= _about(peers)
    for run in bench.runs():
        for name in cases:
            bench.play(name, run, bench.start_holdfast, CASES[name])
        for peer in peers:
            bench.play(peer.name, run, partial(PeerServer, peer), partial(measure_peer, peer))


def run_lone(bench: Bench) -> None:
    """A lone caller at every door, and at beanstalkd where it is installed."""
    bench.about |= _about(lone.peers())
    load = partial(Actors, python=sys.executable)
    for run in bench.runs():
        bench.play("idle", run, bench.start_holdfast, lone.idle)
        for name, case in lone.CASES.items():
            bench.play(name, run, bench.start_holdfast, case, load)
            if name in lone.IN_ONE_PROCESS:
                bench.play(
                    f"{name}, one process", run, partial(bench.start_holdfast, name=lone.ONE_PROCESS, fronts=0), case, load
                )
        for peer in lone.peers():
            bench.play(f"lone {peer.name}", run, partial(PeerServer, peer), lone.tubes, load)


def run_flow(bench: Bench, against: str = "") -> None:
    """What budgets, batches and the like cost, beside lives without them; and beside those of an older version, where one is given."""
    with flow.source_of(against, bench.disk) as source:
        for run in bench.runs():
            plays = [
                (name, bench.start_holdfast, case)
                for name, case in flow.CASES.items()
                if run == 1 or name == flow.COSTS  # a million jobs wait once
            ]
            if source is not None:
                # Before ours and after ours in turn: always first, it made a lone caller of ours look 4 to 7 % slower.
                plays.insert(run % 2, (f"lives at {against}", partial(bench.start_holdfast, source=source), flow.plain))
            for name, start, case in plays:
                bench.play(name, run, start, case)


def run_flow_on_postgresql(bench: Bench, against: str = "") -> None:
    """The same on one PostgreSQL."""
    with one_postgresql(bench):
        run_flow(bench, against)


@contextmanager
def one_postgresql(bench: Bench) -> Iterator[None]:
    """Without standbys, for all that follows."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-pg-", dir=bench.disk))
    folder.chmod(0o755)
    bench.database = Database(folder, 0, 0)
    try:
        bench.database.start()
        yield
    finally:
        bench.database.close()
        shutil.rmtree(folder, ignore_errors=True)


def run_python_peers(bench: Bench, peers: list[pythonpeers.PythonPeer], python: str) -> None:
    """Holdfast's Python client and worker, its adapters, and every peer, in turn."""
    bench.about |= {peer.name: peer.durability for peer in peers} | pythonpeers.versions(peers)
    bench.ways |= {name: ours.way for name, ours in pythonpeers.OURS.items()} | {peer.name: peer.way for peer in peers}
    for run in bench.runs():
        for name, ours in pythonpeers.OURS.items():
            start, case = (
                partial(bench.start_holdfast, name=name, fronts=ours.fronts),
                partial(pythonpeers.measure, ours.caller),
            )
            bench.play(name, run, start, case, partial(Actors, python=sys.executable))
        for peer in peers:
            start, case = partial(peer.start, peer.name), partial(pythonpeers.measure, f"{peer.caller}:Producer")
            bench.play(peer.name, run, start, case, partial(Actors, python=python))
    bench.about |= dict.fromkeys(pythonpeers.OURS, f"fsync each ({bench.durability})")


def _about(peers: list[Peer]) -> dict[str, str]:
    """The durability and the version of each."""
    return {peer.name: peer.durability for peer in peers} | {f"{peer.binary} version": peer.version() for peer in peers}


def run_on_postgresql(bench: Bench, cases: list[str], groups: list[tuple[int, int]]) -> None:
    """Every case on every group of servers (standbys, K), one group after the other: they share this machine."""
    for standbys, needed in groups:
        folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-pg-", dir=bench.disk))
        folder.chmod(0o755)
        bench.database = Database(folder, standbys, needed)
        click.echo(f"PostgreSQL {bench.database.version}: {bench.database.name}")
        try:
            bench.database.start()
            for run in range(1, bench.sizes.runs + 1):
                for name in cases:
                    if name != ONE_TABLE:
                        bench.play(name, run, bench.start_holdfast, DATABASE_CASES[name])
            if ONE_TABLE in cases:
                bench.baseline()
        finally:
            bench.database.close()
            shutil.rmtree(folder, ignore_errors=True)


def choose(only: tuple[str, ...], sizes: Sizes) -> tuple[list[str], list[Peer], list[str]]:
    """The cases, the peers that are installed, and the names of those that are not."""
    wanted = [ALIASES.get(name, name) for name in only] or [*CASES, PEERS_NAME]
    cases = [name for name in CASES if name in wanted and (name != "backlog" or sizes.backlog)]
    if not only and sizes.kind == "default":
        cases.remove("large")
    asked = PEERS if PEERS_NAME in wanted else []
    skipped = [f"{peer.name} ({peer.binary} is not installed)" for peer in asked if not peer.installed()]
    return cases, [peer for peer in asked if peer.installed()], skipped


def choose_on_postgresql(only: tuple[str, ...], sizes: Sizes) -> list[str]:
    """The cases on PostgreSQL."""
    wanted = [ALIASES.get(name, name) for name in only] or [*DATABASE_CASES, ONE_TABLE]
    return [name for name in (*DATABASE_CASES, ONE_TABLE) if name in wanted and (name != "waiting" or sizes.backlog)]


def describe_run(bench: Bench, skipped: list[str], load_before: float, seconds: float) -> Report:
    """The whole report of a run."""
    versions = {"PostgreSQL version": bench.database.version} if bench.database is not None else {}
    return Report(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        sizes=bench.sizes,
        store=bench.store,
        fronts=bench.fronts,
        machine=describe(bench.disk, load_before),
        durability=bench.durability,
        start_s=Spread.of(bench.start_s),
        lines=draw_together(bench.rows),
        skipped=skipped,
        counts=bench.counts,
        notes=bench.notes,
        problems=bench.problems,
        peers=bench.about | versions,
        seconds=seconds,
        rows=bench.rows,
        ways=bench.ways,
    )


Part = tuple[pages.Page, Callable[[Bench], None], list[str]]  # what runs, and what of it is skipped here


def parts_of(only: tuple[str, ...], sizes: Sizes, against: str) -> list[Part]:
    """What was asked for, page by page."""
    parts: list[Part] = []
    if not only or set(only) - set(BY_NAME):
        cases, peers, skipped = choose(only, sizes)
        parts.append((pages.LATEST, partial(run_all, cases=cases, peers=peers), skipped))
    if LONE in only:
        parts.append((pages.LONE, run_lone, lone.missing()))
    if FLOW in only:
        parts.append((pages.FLOW, partial(run_flow, against=against), []))
    if PYTHON_PEERS in only:
        able, lacking, python = pythonpeers.choose(sizes.kind)
        parts.append((pages.PYTHON_PEERS, partial(run_python_peers, peers=able, python=python), lacking))
    return parts


def parts_on_postgresql(only: tuple[str, ...], sizes: Sizes, groups: list[tuple[int, int]], against: str) -> list[Part]:
    """The same on PostgreSQL."""
    if set(only) == {FLOW}:
        return [(pages.FLOW_POSTGRESQL, partial(run_flow_on_postgresql, against=against), [])]
    if unfit := sorted(set(only) & set(BY_NAME)):
        raise click.UsageError(f"{' and '.join(unfit)} can't be measured with --store postgresql")
    return [(pages.POSTGRESQL, partial(run_on_postgresql, cases=choose_on_postgresql(only, sizes), groups=groups), [])]


@click.command(context_settings={"show_default": True})
@click.option("--smoke", is_flag=True, help="Everything at tiny size, to see that it works.")
@click.option("--full", is_flag=True, help="Longer runs, large payloads and a backlog of a million jobs.")
@click.option("--runs", type=click.IntRange(1), help="How often each case is measured.  [default: 3]")
@click.option("--seconds", type=float, help="How long a phase lasts.  [default: 2]")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([*CASES, *ALIASES, *DATABASE_ONLY, PEERS_NAME, *BY_NAME]),
    help=f"Only this case; repeatable. {' and '.join(BY_NAME)} are measured only so, and write pages of their own.",
)
@click.option("--backlog", type=click.IntRange(1_000), help="Also dequeue with so many jobs waiting.")
@click.option("--parked", type=click.IntRange(1), help="How many long polls to park.  [default: 10000]")
@click.option("--batch-callers", type=click.IntRange(1), help="Callers of lives in batches.  [default: 4; with PostgreSQL 16]")
@click.option("--pickup-rate", type=float, help="Pushes per second for pick-up.  [default: half of what is measured]")
@click.option("--payload-bytes", type=click.IntRange(1), help="Size of a payload.  [default: 200]")
@click.option("--seed", type=int, default=1, help="For the payloads.")
@click.option(
    "--store", type=click.Choice(["sqlite", "memory", "postgresql"]), default="sqlite", help="Where the server keeps jobs."
)
@click.option(
    "--standbys", multiple=True, type=click.IntRange(0, 4), default=(0, 1, 2), help="With PostgreSQL: how many; repeatable."
)
@click.option(
    "--replicas",
    type=click.IntRange(0, 4),
    default=1,
    help="With PostgreSQL: K, as for serve; where there are fewer standbys, all.",
)
@click.option("--churn", type=click.IntRange(1_000), help="With PostgreSQL: jobs that come and go under an old snapshot.")
@click.option("--add", is_flag=True, help="Keep what the report has from earlier runs and was not measured now.")
@click.option("--against", default="", metavar="COMMIT", help="With --only flow: lives at this older commit, too.")
@click.option("--fronts", type=click.IntRange(0), default=1, help="Front processes of the server; 0: all in one process.")
@click.option("--disk", type=click.Path(path_type=Path, exists=True), default=Path("/var/tmp"), help="Where the stores go.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the report goes.  [default: bench/results]")
def main(
    smoke: bool,
    full: bool,
    only: tuple[str, ...],
    store: str,
    standbys: tuple[int, ...],
    replicas: int,
    fronts: int,
    disk: Path,
    out: Path | None,
    add: bool,
    against: str,
    **asked: Any,
) -> None:
    """Measure Holdfast over HTTP, and beanstalkd and Redis beside it where they are installed."""
    kind = SMOKE if smoke else FULL if full else DEFAULT
    if store == "postgresql":
        kind = msgspec.structs.replace(kind, batch_callers=DATABASE_CALLERS)
    sizes = msgspec.structs.replace(kind, **{name: value for name, value in asked.items() if value is not None})
    limit = raise_files_limit()
    groups = [(many, min(many, replicas)) for many in standbys]
    parts = parts_on_postgresql(only, sizes, groups, against) if store == "postgresql" else parts_of(only, sizes, against)
    failed = False
    for page, run, skipped in parts:
        for name in skipped:
            click.secho(f"SKIPPED: {name}", fg="yellow", err=True)
        began, load_before = time.monotonic(), os.getloadavg()[0]
        bench = Bench(sizes, store, fronts, disk)
        if page is pages.LATEST and limit - SPARE_FILES < sizes.parked:
            bench.notes.append(f"only {limit:,} open files are allowed, so fewer than {sizes.parked:,} polls were parked")
        run(bench)
        report = describe_run(bench, skipped, load_before, time.monotonic() - began)
        pages.write(page, report, out or RESULTS, add)
        click.echo(f"{report.seconds:.0f} s; report in {click.format_filename(out or RESULTS)}")
        for problem in bench.problems:
            click.secho(problem, fg="red", err=True)
        failed = failed or bool(bench.problems)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
