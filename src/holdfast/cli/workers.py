"""`holdfast worker …`: list workers, stop them gracefully, run the tasks of a Python program, or any program for each job.

`exec` is a `holdfast.Worker` whose handler runs the program: leases, batches, cancellation and the shutdown are the worker's.
"""

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

import click
import msgspec

from holdfast.cli.completion import queue_names, worker_ids
from holdfast.cli.context import Duration, Verbs, addressed, confirmed, destroying, examples, refusals, show, talking
from holdfast.cli.output import harmless, json_text, say, tell
from holdfast.cli.profiles import VARIABLES, Profile
from holdfast.cli.tables import Columns, chosen, instant, table
from holdfast.client import Client
from holdfast.client.worker_types import RegisteredWorker, Work
from holdfast.errors import JobNotFound, WrongState
from holdfast.units import counted

_COLUMNS = {
    "WORKER": lambda worker: worker.id,
    "NAME": lambda worker: worker.name or "-",
    "STATE": lambda worker: f"{worker.state}, silent" if worker.silent else worker.state,
    "JOBS": lambda worker: len(worker.jobs),
    "HOST": lambda worker: f"{worker.host or '-'}{f':{worker.pid}' if worker.pid is not None else ''}",
    "VERSION": lambda worker: worker.version or "-",
    "QUEUES": lambda worker: ",".join(worker.queues),
    "HEARTBEAT": lambda worker: instant(worker.beat_at) if worker.beat_at else "-",
}


@click.group("worker", cls=Verbs)
def commands() -> None:
    """List workers, stop them gracefully, and run tasks, or a program for each job."""


@commands.command("ls", epilog=examples("holdfast worker ls", "holdfast worker ls --silent", "holdfast worker ls --json"))
@click.option("--silent", is_flag=True, help="Only those that send no heartbeats.")
@chosen(RegisteredWorker, _COLUMNS, wide=("TYPES", "DRAINING", "REGISTERED_AT"))
@talking
def listed(client: Client, silent: bool, as_json: bool, columns: Columns) -> None:
    """List registered workers with their running jobs and last heartbeat."""
    table((worker for worker in client.workers() if worker.silent or not silent), as_json, columns)


@commands.command(epilog=examples("holdfast worker quiet w-5f0c…"))
@click.argument("worker_ids", nargs=-1, required=True, metavar="WORKER...", shell_complete=worker_ids)
@talking
def quiet(client: Client, worker_ids: tuple[str, ...], as_json: bool) -> None:
    """Give workers no new jobs; they finish those they have and wait. To undo, restart the worker."""
    _ask(client.quiet, worker_ids, as_json)


@commands.command(epilog=examples("holdfast worker stop w-5f0c…"))
@click.argument("worker_ids", nargs=-1, required=True, metavar="WORKER...", shell_complete=worker_ids)
@talking
def stop(client: Client, worker_ids: tuple[str, ...], as_json: bool) -> None:
    """End workers gracefully: they get no new jobs, finish those they have, and exit. What started one may start it again."""
    _ask(client.stop_worker, worker_ids, as_json)


def _ask(verb: Callable[[str], RegisteredWorker], worker_ids: Iterable[str], as_json: bool) -> None:
    """Ask each of the workers, and show what its state is then."""
    for worker_id in worker_ids:
        worker = verb(worker_id)
        show(worker, as_json, f"{worker.id} is {worker.state}")


@commands.command(epilog=examples("holdfast worker release w-5f0c… --dry-run", "holdfast worker release w-5f0c… --yes"))
@click.argument("worker_ids", nargs=-1, required=True, metavar="WORKER...", shell_complete=worker_ids)
@destroying
@talking
def release(client: Client, worker_ids: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Take the jobs of registered workers back, such as those of a silent one: they are ready for others at once, and the attempt does not count.

    A worker that still runs is told that its leases are lost.
    """
    for worker_id in worker_ids:
        held = client.worker(worker_id).jobs
        if not held:
            tell(f"holdfast: {worker_id} runs no job")
        elif confirmed(f"take {counted(len(held), 'job')} back from {worker_id}", yes, dry_run):
            count = _take_back(client, worker_id, held)
            show({"worker": worker_id, "released": count}, as_json, f"{count} taken back from {worker_id}")


def _take_back(client: Client, worker_id: str, held: list[Work]) -> int:
    """Take these jobs back, each only in this attempt: of another one the lease may be another worker's."""
    count = 0
    with client.as_one(f"jobs of the worker {worker_id}"):
        for job in held:
            with suppress(JobNotFound, WrongState):
                client.release_lease(job.id, job.attempt)
                count += 1
    return count


def _holds(worker: RegisteredWorker) -> str:
    return f"with {counted(len(worker.jobs), 'job')}"


@commands.command(epilog=examples("holdfast worker delete w-5f0c… --yes"))
@click.argument("worker_ids", nargs=-1, required=True, metavar="WORKER...", shell_complete=worker_ids)
@destroying
@talking
def delete(client: Client, worker_ids: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> None:
    """Remove workers from the registry. Their running jobs stay leased until they are concluded or the lease expires."""
    for worker_id in worker_ids:
        worker = client.worker(worker_id)
        if confirmed(f"remove the worker {worker.name or worker.id}, {_holds(worker)}", yes, dry_run):
            client.remove_worker(worker_id)
            show({"worker": worker_id, "deleted": True}, as_json, f"{worker_id} is removed")


@commands.command(
    epilog=examples("holdfast worker run app:tasks", "holdfast worker run app:tasks --queues mail,reports --processes 4")
)
@click.argument("app", metavar="MODULE:NAME")
@click.option("--queues", help="Queues to take jobs from, comma-separated.  [default: those that the tasks name]")
@click.option("--processes", type=click.IntRange(1, 512), default=1, show_default=True, help="Worker processes.")
@click.option(
    "--concurrency", type=click.IntRange(1), default=10, show_default=True, help="Max tasks at once, in each process."
)
@click.option(
    "--grace", "grace_ms", type=Duration(), default="25s", help="Time for tasks to finish after SIGTERM.  [default: 25s]"
)
@click.option("--reload", is_flag=True, help="For development: start again when a file of the program changes.")
@click.option("--until-empty", is_flag=True, help="Exit once no job is ready and none is running.")
@click.option("--quiet", "-q", is_flag=True, help="Log warnings and errors only.")
@addressed
def run(
    app: str,
    place: Profile,
    queues: str | None,
    processes: int,
    concurrency: int,
    grace_ms: int,
    reload: bool,
    until_empty: bool,
    quiet: bool,
) -> None:
    """Run the tasks of a Python program, such as `tasks = Tasks()` in app.py; a server that its Tasks name goes first."""
    from holdfast.cli import run as running  # noqa: PLC0415  (asyncio, which the other commands need not)

    os.environ |= {name: value for name, value in zip(VARIABLES, place, strict=True) if value is not None}
    given = {"queues": queues.split(",") if queues else None, "concurrency": concurrency, "grace": grace_ms / 1_000}
    arguments = (app, "WARNING" if quiet else "INFO", given, until_empty)
    if processes == 1 and not reload:
        running.run(*arguments)
        return
    if not reload:
        running.worker_of(app, given)  # what is wrong with it is said once
    sys.exit(running.run_many(processes, reload, *arguments))


class _Code(click.IntRange):
    """An exit code that means something other than done or failed."""

    def __init__(self) -> None:
        super().__init__(1, 255)


@commands.command(
    "exec",
    context_settings={"ignore_unknown_options": False, "allow_interspersed_args": False},
    epilog=examples(
        "holdfast worker exec --queue mail -- ./send.sh",
        "holdfast worker exec --queue images --concurrency 4 --timeout 2m -- convert - png:/srv/out.png",
        "holdfast worker exec --queue mail --until-empty -- sh -c 'jq -r .to'",
    ),
)
@click.option(
    "--queue", "queues", multiple=True, required=True, help="Queue to take jobs from; repeatable.", shell_complete=queue_names
)
@click.option("--type", "kinds", multiple=True, help="Take only jobs of this type; repeatable.  [default: all]")
@click.option("--concurrency", type=click.IntRange(1), default=1, show_default=True, help="Max programs at once.")
@click.option(
    "--timeout", "timeout_ms", type=Duration(), help="Max time of one run; then the program is killed and the attempt fails."
)
@click.option(
    "--lease",
    "lease_ms",
    type=Duration(),
    default="1m",
    help="Lease (visibility timeout). It is extended while a program runs; jobs of a worker that has vanished are ready again after it.  [default: 1m]",
)
@click.option(
    "--grace", "grace_ms", type=Duration(), default="25s", help="Time for programs to finish after SIGTERM.  [default: 25s]"
)
@click.option(
    "--kill-after",
    "kill_ms",
    type=Duration(),
    default="5s",
    help="Time between SIGTERM and SIGKILL of a program.  [default: 5s]",
)
@click.option(
    "--result/--no-result", default=None, help="Take standard output as the result, as text if it is not JSON; or never."
)
@click.option(
    "--later", "later_ms", type=Duration(), default="30s", help="Delay of a job that exits with --later-code.  [default: 30s]"
)
@click.option(
    "--later-code",
    "later_codes",
    type=_Code(),
    multiple=True,
    default=[75],
    help="Exit code that releases the job for later; the attempt does not count.  [default: 75]",
)
@click.option(
    "--dead-code",
    "dead_codes",
    type=_Code(),
    multiple=True,
    default=[65],
    help="Exit code that makes the job dead at once, without retries.  [default: 65]",
)
@click.option("--until-empty", is_flag=True, help="Exit once no job is ready and none is running.")
@click.option("--name", help="Name of the worker.  [default: host:process]")
@click.option("--echo", is_flag=True, help="Show what programs write to standard error.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per run.")
@click.option("--verbose", "-v", is_flag=True, help="Log each run, as on a terminal.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- PROGRAM [ARGUMENT]...")
@addressed
def execute(command: tuple[str, ...], place: Profile, as_json: bool, **given: Any) -> None:
    """Run a program for each job: payload on standard input, job fields in HOLDFAST_JOB_… variables.

    Exit code 0 concludes the job; its result is standard output, if that is JSON. 75 releases the job for later, 65 makes it dead at once. Any
    other code fails the attempt, with the end of standard error as the reason. After SIGTERM, programs get --grace to finish; the jobs of those
    that do not are released, and the attempt does not count. A second signal kills all at once.
    """
    if shutil.which(command[0]) is None:
        raise click.UsageError(f"{command[0]!r} is not a program that can be run")
    if as_json and given["result"] is False:
        raise click.UsageError("--json and --no-result would mix on standard output")
    verbose = given.pop("verbose") or sys.stderr.isatty()
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(_Harmless("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z"))
    logging.basicConfig(level="INFO" if verbose else "WARNING", handlers=[lines])
    with refusals():
        _work(command, place, as_json, given)


def _work(command: tuple[str, ...], place: Profile, as_json: bool, given: dict[str, Any]) -> None:
    from holdfast.cli.exec import Executor, How  # noqa: PLC0415  (asyncio, which the other commands need not)
    from holdfast.client.worker import Worker  # noqa: PLC0415

    reached = dict(zip(VARIABLES, place, strict=True))  # so that programs that use the same server need no options
    timeout_ms = given["timeout_ms"]
    how = How(
        command=command,
        environment=dict(os.environ) | {name: value for name, value in reached.items() if value is not None},
        timeout_s=timeout_ms / 1_000 if timeout_ms else None,
        patience_s=given["kill_ms"] / 1_000,
        later_ms=given["later_ms"],
        later_codes=frozenset(given["later_codes"]),
        dead_codes=frozenset(given["dead_codes"]),
        result=given["result"],
        echo=given["echo"],
    )
    worker = Worker(
        given["queues"],
        **place._asdict(),
        concurrency=given["concurrency"],
        lease_ms=given["lease_ms"],
        grace_s=given["grace_ms"] / 1_000,
        name=given["name"],
        register=True,
    )
    executor = Executor(how, _Teller(as_json))
    for kind in dict.fromkeys(given["kinds"]) or [None]:
        worker.handler(kind, raw=True)(executor.run)
    try:
        worker.run(until_empty=given["until_empty"])
    finally:
        executor.close()


class _Harmless(logging.Formatter):
    """Lines in which no job's type and no program's last words steer the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return harmless(super().format(record))


class _Teller:
    """Reports the outcome of each run: as a line of JSON, and in the log."""

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._log = logging.getLogger("holdfast.worker")

    def __call__(self, held: Any, outcome: str, code: int | None, seconds: float) -> None:
        if outcome != "concluded":  # which the worker says
            self._log.info("job %d of %s: %s after %.1f s, exit code %s", held.id, held.queue, outcome, seconds, code)
        if self._as_json:
            said = {"id": held.id, "queue": held.queue, "attempt": held.attempt, "outcome": outcome, "exit_code": code}
            line = msgspec.json.encode(said | {"seconds": round(seconds, 3), "at": time.time()})
            say(json_text(msgspec.Raw(line)))
