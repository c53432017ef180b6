"""`python -m cluster up|kill|replace|status|load|count`: a whole cluster on this machine, to try out failures."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NoReturn

import click

from cluster import control, place, trial
from cluster.place import NODES, Place
from cluster.processes import wait_until
from cluster.whole import Cluster

FOLDER = Path("holdfast-cluster")
FIRST_PORT = 4660
WATCH_S = 120  # how long `kill` and `replace` wait for the result


def refuse(message: object) -> NoReturn:
    """Print the message and exit with 1."""
    click.echo(f"cluster: {message}", err=True)
    sys.exit(1)


def running(folder: Path) -> Place:
    """The cluster of this folder; exits if there is none."""
    found = place.read(folder)
    if found is None:
        refuse(f"There is no cluster in {folder}. Start one: make cluster")
    return found


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--folder", type=click.Path(path_type=Path), default=FOLDER, show_default=True, help="Where the cluster is kept.")
@click.pass_context
def main(context: click.Context, folder: Path) -> None:
    """Three PostgreSQL nodes under Patroni with etcd, three Holdfast nodes and HAProxy, all on this machine."""
    context.obj = folder


@main.command()
@click.option("--port", default=FIRST_PORT, show_default=True, help="The first port, for a new cluster; 0 uses free ones.")
@click.option(
    "--replicas",
    type=click.IntRange(0, len(NODES) - 1),
    default=1,
    show_default=True,
    help="K: the number of standbys that have flushed a job before it is answered.",
)
@click.pass_obj
def up(folder: Path, port: int, replicas: int) -> None:
    """Start the cluster and run it until Ctrl-C. Data of an earlier run is kept."""
    end_on_signals()
    began = monotonic()
    cluster = None
    try:
        where = place.take(folder, port)
        with control.listening(where) as listener:
            cluster = Cluster(where, replicas, say)
            try:
                cluster.start()
                say(f"All of it runs, after {monotonic() - began:.1f} s.\n\n{places(cluster)}\n\nCtrl-C ends it.")
                while True:
                    control.answer_one(listener, 0.5, lambda asked: answer(cluster, asked))
                    cluster.tend()
            finally:
                say("Ending …")
                for number in (signal.SIGINT, signal.SIGTERM):  # a second signal must not leave processes behind
                    signal.signal(number, signal.SIG_IGN)
                cluster.close()
    except KeyboardInterrupt:
        say("Ended. Everything is kept in " + str(folder))
    except (RuntimeError, TimeoutError) as error:
        refuse(error)


def end_on_signals() -> None:
    """SIGTERM acts like Ctrl-C, and Ctrl-C also works where a shell started us in the background with SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def say(line: str) -> None:
    """Print and flush."""
    click.echo(line)
    sys.stdout.flush()


def places(cluster: Cluster) -> str:
    """The addresses of all parts."""
    where = cluster.place
    lines = [f"Holdfast      {where.proxy_url}   (HAProxy: any node)"]
    lines += [f"  node h{n}     http://{where.address(f'h{n}')}" for n in NODES]
    if not cluster.with_holdfast:
        lines = ["Holdfast      this version has no PostgreSQL store: its nodes are not started"]
    lines += [
        f"PostgreSQL    n{n} at {where.address(f'n{n}')}, its Patroni http://{where.address(f'patroni{n}')}" for n in NODES
    ]
    lines += [f"  primary     {where.address('primary')} (HAProxy); passwords are in {where.file}"]
    return "\n".join(lines)


def answer(cluster: Cluster, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer a request of another command."""
    match asked.get("do"):
        case "kill":
            name = cluster.kill(asked.get("name"))
            say(f"{name} is killed.")
        case "replace":
            name = cluster.replace(asked.get("name"))
            say(f"{name} is replaced: it starts empty.")
        case "status":
            return cluster.status()
        case _:
            raise LookupError("The cluster understands kill, replace and status.")
    return {"name": name}


def asked(folder: Path, **question: Any) -> dict[str, Any]:
    """Send a request to the running cluster; exits if there is none."""
    try:
        return control.ask(running(folder), **question)
    except RuntimeError as error:
        refuse(error)


@main.command()
@click.argument("name", required=False)
@click.pass_obj
def kill(folder: Path, name: str | None) -> None:
    """Kill a node (n1 … n3, h1 … h3) with -9; without a name, the PostgreSQL primary. Then wait for the failover."""
    began = monotonic()
    killed = asked(folder, do="kill", name=name)["name"]
    click.echo(f"{killed} is killed: every process of it, with -9.")
    if killed.startswith("h"):
        return
    status = wait_for(folder, lambda seen: primary(seen) not in {None, killed}, "another primary")
    click.echo(f"{primary(status)} is the primary, {monotonic() - began:.1f} s after.")
    left = sum(node["runs"] for node in status["postgresql"].values()) - 1
    if left < status["replicas"]:
        click.echo(
            f"No writes are accepted: {left} standbys are left, and K is {status['replicas']}. Fix it: make cluster-replace"
        )
    elif status["holdfast"]:
        wait_for(folder, lambda seen: any(one["ready"] for one in seen["holdfast"].values()), "a Holdfast node that is ready")
        click.echo(f"Holdfast accepts jobs again, {monotonic() - began:.1f} s after.")


@main.command()
@click.argument("name", required=False)
@click.pass_obj
def replace(folder: Path, name: str | None) -> None:
    """Replace a lost node (without a name, the first one) with an empty one. Then wait until it has caught up."""
    began = monotonic()
    started = asked(folder, do="replace", name=name)["name"]
    click.echo(f"{started} is replaced: it starts empty.")
    if started.startswith("h"):
        wait_for(folder, lambda seen: seen["holdfast"][started]["ready"], f"{started} is ready")
        click.echo(f"It accepts jobs, {monotonic() - began:.1f} s after.")
        return
    wait_for(folder, lambda seen: seen["postgresql"][started]["synchronous"], f"{started} is a synchronous standby")
    click.echo(f"It has all data and is a synchronous standby, {monotonic() - began:.1f} s after.")


def primary(status: dict[str, Any]) -> str | None:
    """The running node that accepts writes."""
    for name, node in status["postgresql"].items():
        if node["role"] == "leader" and node["state"] == "running" and node["runs"]:
            return str(name)
    return None


def wait_for(folder: Path, true: Any, what: str) -> dict[str, Any]:
    """Poll the cluster's status until `true` holds for it."""
    seen: dict[str, Any] = {}

    def looked() -> bool:
        seen.update(asked(folder, do="status"))
        return bool(true(seen))

    try:
        wait_until(looked, WATCH_S, what, poll_s=0.2)
    except TimeoutError as error:
        refuse(error)
    return seen


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def status(folder: Path, as_json: bool) -> None:
    """Show the role and state of each node."""
    seen = asked(folder, do="status")
    if as_json:
        click.echo(json.dumps(seen, indent=2))
        return
    for name, node in seen["postgresql"].items():
        lag = (
            f"{node['lag']} bytes behind" if node["runs"] and node["role"] != "leader" and isinstance(node["lag"], int) else ""
        )
        shown = "runs" if node["runs"] else "killed"
        click.echo(f"{name:4} PostgreSQL  {shown:7} {node['role']:15} {node['state']:12} {lag}".rstrip())
    for name, node in seen["holdfast"].items():
        click.echo(f"{name:4} Holdfast    {'runs' if node['runs'] else 'killed':7} {'ready' if node['ready'] else 'not ready'}")
    healthy = sum(one["healthy"] for one in seen["etcd"].values())
    click.echo(f"etcd: {healthy} of {len(seen['etcd'])} healthy. HAProxy {'runs' if seen['haproxy']['runs'] else 'is gone'}.")


@main.command()
@click.option("--seconds", type=float, help="How long, instead of until Ctrl-C.")
@click.option("--callers", default=4, show_default=True, help="The number of concurrent callers.")
@click.pass_obj
def load(folder: Path, seconds: float | None, callers: int) -> None:
    """Push jobs, each retried with its idempotency key until it is answered, and record every answer."""
    end_on_signals()
    where = running(folder)
    pushing = trial.Pushing(where.proxy_url, folder / trial.ACKNOWLEDGED, callers)
    began = monotonic()
    try:
        with pushing:
            while seconds is None or monotonic() - began < seconds:
                sleep(1)
                say(pushing.line())
    except KeyboardInterrupt:
        pass
    click.echo(f"{pushing.acknowledged} jobs were acknowledged. Now find them: make cluster-count")


@main.command()
@click.pass_obj
def count(folder: Path) -> None:
    """Look for every job that was acknowledged to `load`; exits with 1 if one is missing or exists twice."""
    where = running(folder)
    try:
        found = trial.count(where.proxy_url, folder / trial.ACKNOWLEDGED)
    except FileNotFoundError:
        refuse("Nothing was pushed yet, so there is nothing to look for. Push: make cluster-load")
    except (OSError, RuntimeError) as error:
        refuse(error)
    click.echo(f"{found.acknowledged} jobs were acknowledged, {found.found} of them are there, {found.missing} are missing.")
    click.echo(f"{found.jobs} jobs are in the queue, {found.twice} of them twice.")
    sys.exit(1 if found.missing or found.twice else 0)


main(prog_name="python -m cluster")
