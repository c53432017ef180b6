"""`holdfast job retry|cancel|restore|promote|release|move|settle|delete`: actions on jobs by their ids, or on all that match filters.

What is to be done to all that match is an operation: the server does it, and the command waits for it and tells how it went. Jobs
named by their ids are changed one after the other, and so are those that are settled.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import click
from msgspec import UNSET

from holdfast.cli.completion import queue_names
from holdfast.cli.context import (
    AMOUNT,
    REFUSED,
    Duration,
    JobId,
    Words,
    code_of,
    confirmed,
    destroying,
    examples,
    given_json,
    refuse,
    show,
    talking,
    words_of,
)
from holdfast.cli.filters import filtered, in_words, none_given, taken, wanted
from holdfast.cli.operations import follow
from holdfast.cli.output import tell
from holdfast.client import Client
from holdfast.client.operations import Operation
from holdfast.client.types import Job
from holdfast.errors import HoldfastError, JobNotFound, WrongState
from holdfast.limits import OPERATION_JOBS
from holdfast.units import counted

Command = Callable[..., Any]
Act = Callable[[Client, int, dict[str, Any]], tuple[Any, str]]
"""Changes one job; gives what there is to show, and the same in words."""


_OF_GROUPS = ("retry", "delete", "move")
"""What can be done to the dead jobs of a group of failures."""
_PASSED = ("changed", "job_not_found", "wrong_state")
"""Why jobs are skipped that changed meanwhile, which is no fault."""
_PACE: tuple[Callable[[Command], Command], ...] = (
    click.option("--per-s", type=float, help="So many a second, spread evenly.  [default: as fast as leaves room for others]"),
    click.option("--wait/--no-wait", default=True, help="Wait for the operation, or only print its id.  [default: wait]"),
)


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it does to a job, and the states in which it can. `usual`: the states if no `--state` is given."""

    name: str
    words: str
    states: tuple[str, ...]
    usual: tuple[str, ...]
    act: Act
    asks: bool = False


def _filters(verb: Verb) -> Callable[[Command], Command]:
    """Give a command ids or filters; it becomes one that acts on all that they name."""
    options: list[Callable[[Command], Command]] = [
        click.argument("job_ids", type=JobId(), nargs=-1),
        click.option("--all", "every", is_flag=True, help="All jobs, where no other filter is given."),
        filtered(verb.states, verb.usual),
        click.option("--limit", type=AMOUNT, help="Max number of jobs."),
        *(
            [
                click.option(
                    "--group", "group", type=Words(), help="The dead jobs of this group of `holdfast failures` (its key)."
                )
            ]
            if verb.name in _OF_GROUPS
            else []
        ),
        *(() if verb.name == "settle" else _PACE),
        destroying,
        talking,
    ]

    def give(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return give


def _command(verb: Verb, *options: Callable[[Command], Command], lines: tuple[str, ...] = ()) -> click.Command:
    def run(client: Client, job_ids: tuple[int, ...], yes: bool, dry_run: bool, as_json: bool, **given: Any) -> None:
        filters, every, limit = taken(given), given.pop("every"), given.pop("limit")
        group = given.pop("group", None)
        if group is not None:
            queue, filters["queue"] = filters["queue"], None  # where to look for it
            if job_ids or every or limit or not none_given(filters):
                raise click.UsageError("Give ids of jobs, filters or a group, and not more than one of these")
            _act_on_group(verb, client, group, queue, given, yes, dry_run, as_json)
            return
        if job_ids and (every or limit or not none_given(filters)):
            raise click.UsageError("Give ids of jobs, or filters, and not both")
        if job_ids:
            _act_on_ids(verb, client, job_ids, given, yes, dry_run, as_json)
        else:
            if not every and none_given(filters):
                raise click.UsageError("Give ids of jobs, or filters such as --queue and --state, or --all")
            _act_on_all(verb, client, filters, limit, given, yes, dry_run, as_json)

    run.__doc__ = verb.words
    command: Command = _filters(verb)(run)
    for option in reversed(options):
        command = option(command)
    usual = (f"holdfast job {verb.name} 42 43", f"holdfast job {verb.name} --queue mail --older 1h --dry-run")
    return click.command(verb.name, epilog=examples(*(lines or usual)))(command)


def _act_on_ids(
    verb: Verb, client: Client, job_ids: tuple[int, ...], given: dict[str, Any], yes: bool, dry_run: bool, as_json: bool
) -> None:
    """One after the other; one that is refused is told, and the others follow."""
    codes = set[int]()
    for job_id in job_ids:
        try:
            if dry_run or verb.asks:
                job = client.job(job_id)
                if not confirmed(f"{verb.name} job {job.id} of {job.queue}, which is {job.state}", yes, dry_run):
                    continue
            thing, words = verb.act(client, job_id, given)
        except HoldfastError as error:
            if _stops_all(error) or len(job_ids) == 1:
                raise
            codes.add(code_of(error))
            tell(f"holdfast: job {job_id}: {words_of(error)}")
        else:
            show(thing, as_json, words)
    if codes:
        sys.exit(codes.pop() if len(codes) == 1 else REFUSED)


def _act_on_group(
    verb: Verb, client: Client, key: str, queue: str | None, given: dict[str, Any], yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Exactly the dead jobs that the group has now, by their ids."""
    found = client.failure_group(key, queue)
    ids = [job.id for job in found.jobs]
    if not ids:
        tell("holdfast: no job of this group is dead")
    elif not confirmed(f"{verb.name} {_count(len(ids))} of {found.queue} with {found.error}", yes, dry_run):
        for job in found.jobs if dry_run else ():
            show(job, as_json, f"{job.id}  {job.error}")
    else:
        shown = max(job.at for job in found.jobs)  # one that runs and dies again while the question is read has another error
        begun = client.start_operation(verb.name, jobs=ids, before=shown, to=given.get("target"), per_s=given["per_s"])
        _finish(client, begun, given["wait"], as_json)


def _act_on_all(
    verb: Verb,
    client: Client,
    filters: dict[str, Any],
    limit: int | None,
    given: dict[str, Any],
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    named: tuple[str | None, ...] = filters["states"] or (None,)  # the server's usual states are the same
    states = filters["states"] or verb.usual
    if not states:
        raise click.UsageError(f"Give a --state: {', '.join(verb.states)}")
    matching = wanted(filters)
    if dry_run or verb.name == "settle":
        found = list(islice((job.id for state in states for job in _listed(client, state, matching)), limit))
        count, at_least = len(found), False
    else:
        found, (count, at_least, counted_at) = [], _counted(verb, client, named, matching, given, limit)
        if not yes:  # while the question is read, more may come that it is not about
            matching["before"] = min(filter(None, (matching["before"], counted_at)), default=None)
    leases = _leases(client, matching, limit) if verb.name == "release" and not (yes or dry_run) else None
    count, at_least = (count, at_least) if leases is None else (len(leases), False)
    what = f"{verb.name} {'at least ' if at_least else ''}{_count(count)} ({', '.join(states)})"
    if not count:
        tell(f"holdfast: no matching job is {' or '.join(states)}")
    elif not confirmed(what, yes, dry_run):
        for job_id in found if dry_run else ():
            show({"id": job_id}, as_json, str(job_id))
    elif verb.name == "settle":
        with client.as_one(f"jobs that are {' or '.join(states)}: {in_words(filters)}", filters["queue"] or ""):
            _act(verb, client, found, given, as_json)
    elif leases:
        begun = client.start_operation(verb.name, jobs=list(leases), before=max(leases.values()), per_s=given["per_s"])
        _finish(client, begun, given["wait"], as_json)
    else:
        _operate(verb, client, named, matching, given, limit, as_json)


def _leases(client: Client, matching: dict[str, Any], limit: int | None) -> dict[int, datetime] | None:
    """The running jobs that match, and since when they run, so that no lease is taken back that begins while the question is read; None where they
    are too many to be named.
    """
    most = OPERATION_JOBS if limit is None else min(limit, OPERATION_JOBS)
    found = list(islice(_listed(client, "leased", matching), most + 1))
    if len(found) > most:
        if most != limit:
            return None
        found = found[:most]
    return {job.id: job.leased_at for job in found if job.leased_at is not None}


def _listed(client: Client, state: str, matching: dict[str, Any]) -> Iterator[Job]:
    return client.jobs(state=state, payload=False, page=1_000, **matching)


def _counted(
    verb: Verb,
    client: Client,
    states: tuple[str | None, ...],
    matching: dict[str, Any],
    given: dict[str, Any],
    limit: int | None,
) -> tuple[int, bool, datetime | None]:
    """How many there are, whether there may be more, and when they were counted."""
    to = given.get("target")
    found = [client.start_operation(verb.name, to=to, state=state, dry_run=True, **matching) for state in states]
    total, counted_at = sum(one.total for one in found), min(filter(None, (one.counted_at for one in found)), default=None)
    if limit is not None and total >= limit:
        return limit, False, counted_at
    return total, any(one.at_least for one in found), counted_at


def _operate(
    verb: Verb,
    client: Client,
    states: tuple[str | None, ...],
    matching: dict[str, Any],
    given: dict[str, Any],
    limit: int | None,
    as_json: bool,
) -> None:
    """Have the server do it, state after state, and wait for it unless that is not wanted."""
    left = limit
    for state in states:
        if left == 0:
            break
        begun = client.start_operation(
            verb.name, to=given.get("target"), per_s=given["per_s"], limit=left, state=state, **matching
        )
        begun = _finish(client, begun, given["wait"], as_json)
        left = None if left is None else left - begun.done


def _finish(client: Client, begun: Operation, wait: bool, as_json: bool) -> Operation:
    """Wait for its end, if that is wanted, and tell how it went."""
    if not wait:
        show(begun, as_json, str(begun.id))
        return begun
    begun = follow(client, begun)
    if as_json:
        show(begun, as_json, "")
    if begun.state == "cancelled":
        refuse(f"operation {begun.id} was cancelled{f' ({begun.reason})' if begun.reason else ''}", REFUSED)
    if any(skipped.reason not in _PASSED for skipped in begun.skipped):
        refuse(f"operation {begun.id} skipped {_count(sum(one.count for one in begun.skipped))}", REFUSED)
    return begun


def _act(verb: Verb, client: Client, found: list[int], given: dict[str, Any], as_json: bool) -> None:
    """One after the other; those that a refusal is about are passed over, and what stops all of them is raised."""
    done = passed = refused = 0
    for job_id in found:
        try:
            thing, words = verb.act(client, job_id, given)
        except (JobNotFound, WrongState):
            passed += 1
        except HoldfastError as error:
            if _stops_all(error):
                tell(
                    f"holdfast: interrupted after {done:,} of {_count(len(found))}, at job {job_id}; repeat the command to continue"
                )
                raise
            refused += 1
            tell(f"holdfast: job {job_id}: {words_of(error)}")
        else:
            done += 1
            show(thing, as_json, words)
    changed = f", {passed:,} had changed meanwhile" if passed else ""
    tell(f"holdfast: {done:,} of {_count(len(found))}{changed}")
    if refused:
        refuse(f"{refused:,} {'was' if refused == 1 else 'were'} refused", REFUSED)


def _stops_all(error: HoldfastError) -> bool:
    """Whether it is about the server or the key, and so about every job."""
    return error.code in ("unreachable", "outcome_unknown") or error.status in (401, 403)


def _count(found: int) -> str:
    return counted(found, "job")


def _stands(job: Job) -> tuple[Any, str]:
    return job, f"{job.id} {job.state}"


def _move(client: Client, job_id: int, given: dict[str, Any]) -> tuple[Any, str]:
    moved = client.move(job_id, given["target"])
    return {"id": job_id, "queue": moved.queue, "new_id": moved.id}, f"{job_id} is {moved.id} of {moved.queue}"


def _delete(client: Client, job_id: int, given: dict[str, Any]) -> tuple[Any, str]:  # noqa: ARG001
    client.delete(job_id)
    return {"id": job_id, "deleted": True}, f"{job_id} deleted"


def _restored(client: Client, job_id: int, _: dict[str, Any]) -> tuple[Any, str]:
    begun = client.wait_operation(client.start_operation("restore", jobs=[job_id]).id)
    for skipped in begun.skipped:
        why = f"Job {job_id} can't be restored: {skipped.reason}."
        raise JobNotFound(why) if skipped.reason == JobNotFound.code else WrongState(why)
    return _stands(client.job(job_id))


def _settle(client: Client, job_id: int, given: dict[str, Any]) -> tuple[Any, str]:
    result = UNSET if given["result"] is None else given_json(given["result"], "--result")
    return _stands(client.settle(job_id, given["reason"], done=given["outcome"] == "done", result=result))


_RETRY = Verb(
    "retry",
    "Retry dead jobs (dead letters), and with --state cancelled those that expired; their attempts are reset.",
    ("dead", "cancelled"),
    ("dead",),
    lambda client, job, given: _stands(client.retry(job, expires_in_ms=given["expires_in_ms"])),
)
_CANCEL = Verb(
    "cancel",
    "Cancel waiting jobs; ask the workers of running ones to stop.",
    ("scheduled", "ready", "leased"),
    ("scheduled", "ready"),
    lambda client, job, _: _stands(client.cancel(job)),
)
_RESTORE = Verb(
    "restore",
    "Undo the cancel of jobs: they wait as before, with the tries that they had.",
    ("cancelled",),
    ("cancelled",),
    _restored,
)
_PROMOTE = Verb(
    "promote", "Run scheduled jobs now.", ("scheduled",), ("scheduled",), lambda client, job, _: _stands(client.promote(job))
)
_RELEASE = Verb(
    "release",
    "Take running jobs back from their workers: they are ready again, and the attempt does not count.",
    ("leased",),
    ("leased",),
    lambda client, job, _: _stands(client.release_lease(job, client.job(job).attempt)),
    asks=True,
)
_ENDED = ("concluded", "dead", "cancelled")
_MOVE = Verb(
    "move",
    "Move jobs that are not running to another queue. They get new ids, and their attempts are reset.",
    ("scheduled", "ready", *_ENDED),
    ("scheduled", "ready"),
    _move,
)
_DELETE = Verb("delete", "Delete jobs, with their results and errors.", ("scheduled", "ready", *_ENDED), (), _delete, asks=True)
_SETTLE = Verb(
    "settle",
    "Settle waiting or dead jobs by hand: mark them as concluded or dead, such as a crashed job whose work was done after all.",
    ("scheduled", "ready", "dead"),
    ("dead",),
    _settle,
)
BULK = [
    _command(
        _SETTLE,
        click.option(
            "--as",
            "outcome",
            type=click.Choice(["done", "failed"]),
            required=True,
            help="done marks them as concluded, failed as dead.",
        ),
        click.option("--reason", required=True, help="Why: what is known, and from where."),
        click.option("--result", help="Result as JSON, with --as done."),
        lines=(
            """holdfast job settle 42 --as done --reason 'the bank has the transfer, TX-81' --result '{"tx": 81}'""",
            "holdfast job settle --queue mail --type newsletter --as failed --reason 'campaign was stopped' --dry-run",
        ),
    ),
    _command(
        _RETRY,
        click.option(
            "--expires-in",
            "expires_in_ms",
            type=Duration(),
            help="A new deadline, of jobs by their ids.  [default: its own, if that is still to come]",
        ),
        lines=(
            "holdfast job retry 42 43",
            "holdfast job retry --queue mail --error 'timed out' --older 1h --yes",
            "holdfast job retry --all --per-s 50 --no-wait --yes",
        ),
    ),
    _command(_CANCEL),
    _command(_RESTORE),
    _command(_PROMOTE),
    _command(_RELEASE, lines=("holdfast job release 42 43", "holdfast job release --queue mail --type newsletter --dry-run")),
    _command(
        _MOVE,
        click.option("--to", "target", required=True, help="Target queue.", shell_complete=queue_names),
        lines=(
            "holdfast job move 42 43 --to mail.slow",
            "holdfast job move --queue mail --type newsletter --to mail.slow --yes",
        ),
    ),
    _command(
        _DELETE,
        lines=("holdfast job delete 42 43 --yes", "holdfast job delete --queue mail --state dead --older 30d --dry-run"),
    ),
]
