"""Jobs out of lines of standard input, in chunks that are each all or nothing, with a message of how to go on after a break."""

import secrets
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import click
import msgspec

from holdfast.cli.context import given_json, refuse, show
from holdfast.cli.output import UNWRITTEN, lost, tell
from holdfast.cli.progress import Progress
from holdfast.client import Client, NewJob
from holdfast.client.types import PutOptions
from holdfast.errors import HoldfastError, InvalidRequest, OutcomeUnknown
from holdfast.limits import BULK_JOBS
from holdfast.units import counted, is_or_are


def push_lines(
    client: Client, queue: str, options: PutOptions, key: str | None, as_json: bool, *, whole_jobs: bool = False
) -> None:
    """Enqueue a job for each line of standard input: its payload, or with `whole_jobs` the job. Chunk by chunk, each printed once it is stored: after an interruption a message says how far it came, and how to
    continue.

    The key is made here if none was given, so that the same input with it enqueues the rest, and nothing twice.
    """
    key = key or secrets.token_hex(8)
    kept = lines = 0
    try:
        with Progress(sys.stdin.buffer) as progress:
            for part, chunk in enumerate(_chunks(progress)):
                jobs = [
                    _job(line, number, queue, options)
                    if whole_jobs
                    else NewJob(queue=queue, payload=given_json(line, f"line {number}"), **options)
                    for number, line in chunk.lines
                ]
                receipts = client.enqueue_many(jobs, idempotency_key=f"{key}.{part}")
                kept, lines = kept + len(receipts), chunk.last_line
                for receipt in receipts:
                    show(receipt, as_json, str(receipt.id))
                progress.kept(len(receipts))
    except (HoldfastError, click.ClickException, KeyboardInterrupt, OSError) as error:
        more = len(error.fields.get("enqueued", [])) if isinstance(error, HoldfastError) else 0
        _broken_off(error, kept + more, lines, key)
        raise
    if why := lost():
        refuse(f"{counted(kept, 'job')} {is_or_are(kept)} enqueued, but not every id is printed: {why}", UNWRITTEN)


def _broken_off(error: BaseException, kept: int, lines: int, key: str) -> None:
    """Print what is stored, and how to continue."""
    unknown = isinstance(error, OutcomeUnknown)
    wrong = isinstance(error, click.UsageError | InvalidRequest)
    if not kept and not unknown and wrong:
        tell("holdfast: no job is enqueued")
        return
    upto = f", all of lines 1 to {lines:,} among them" if lines else ""
    tell(
        f"holdfast: interrupted: {'at least ' if unknown else ''}{counted(kept, 'job')} {is_or_are(kept)} enqueued{upto}. The same command and input"
        f"{', once it is mended,' if wrong else ''} with --idempotency-key {key} within 24 hours enqueues the rest, and nothing twice."
    )


_FIELDS = frozenset(NewJob.__struct_fields__)


def _job(line: bytes, number: int, queue: str, options: PutOptions) -> NewJob:
    """A line as a job; its own options come before those of the command."""
    place = f"line {number}"
    try:
        given = msgspec.json.decode(given_json(line, place), type=dict[str, msgspec.Raw])
        if unknown := sorted(given.keys() - _FIELDS):
            raise click.UsageError(f"{place}: {unknown[0]!r} is not a field of a job; there are {', '.join(sorted(_FIELDS))}")
        payload = given.pop("payload", None)
        fields = {"queue": queue, **options, **{name: msgspec.json.decode(value) for name, value in given.items()}}
        job = msgspec.convert(fields, NewJob)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise click.UsageError(f"{place} is not a job: {error}") from None
    if not job.queue:
        raise click.UsageError(f"{place} has no queue")
    if payload is not None:
        job.payload = payload
    return job


class _Chunk(NamedTuple):
    lines: list[tuple[int, bytes]]
    last_line: int


def _chunks(lines: Iterable[bytes]) -> Iterator[_Chunk]:
    chunk: list[tuple[int, bytes]] = []
    number = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            chunk.append((number, line))
        if len(chunk) == BULK_JOBS:
            yield _Chunk(chunk, number)
            chunk = []
    if chunk:
        yield _Chunk(chunk, number)
