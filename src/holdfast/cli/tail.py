"""`holdfast job tail`: what becomes of jobs, a line for each step, until all of them have ended.

    the stream of events is open ──▶ the jobs are looked at ──▶ each event of one of them is a line
                                     again after a gap

In this order nothing is missed: changes during the reads come as events afterwards.
"""

import click

from holdfast.cli.completion import queue_names
from holdfast.cli.context import ENDED_OTHERWISE, JobId, examples, refuse, show, talking
from holdfast.cli.output import json_text, one_line
from holdfast.cli.tables import instant
from holdfast.client import Client, Event
from holdfast.client.types import Job
from holdfast.errors import JobNotFound
from holdfast.units import counted

_UNFINISHED = ("scheduled", "ready", "leased")
_JOBS = 10_000  # of a queue, at the beginning


@click.command(epilog=examples("holdfast job tail 42 43", "holdfast job tail --queue mail", "holdfast job tail 42 --json"))
@click.argument("job_ids", type=JobId(), nargs=-1)
@click.option("--queue", help="Follow all jobs of this queue, until none is unfinished.", shell_complete=queue_names)
@talking
def tail(client: Client, job_ids: tuple[int, ...], queue: str | None, as_json: bool) -> None:
    """Follow jobs until all have ended, with a line per step. Exit code 5: one did not end as concluded."""
    if bool(job_ids) == (queue is not None):
        raise click.UsageError("Give ids of jobs, or --queue")
    otherwise = _Tail(client, job_ids, queue, as_json).follow()
    if otherwise:
        refuse(f"{counted(otherwise, 'job')} did not end as concluded", ENDED_OTHERWISE)


class _Tail:
    """What is followed. `_progress`: the latest progress of each unfinished job. For a queue, new jobs are followed too."""

    def __init__(self, client: Client, job_ids: tuple[int, ...], queue: str | None, as_json: bool) -> None:
        self._client = client
        self._queue = queue
        self._as_json = as_json
        self._progress: dict[int, bytes | None] = dict.fromkeys(job_ids)
        self._over: set[int] = set()
        self._otherwise = 0

    def follow(self) -> int:
        """How many ended otherwise than concluded."""
        homes: set[str | None] = {self._client.job(job_id).queue for job_id in self._progress} or {self._queue}
        for event in self._client.events(homes.pop() if len(homes) == 1 else None, begin=True):
            if event.event in ("begin", "gap"):
                self._look()
            elif "." in event.event:
                continue
            elif event.id in self._progress or (self._queue is not None and event.state in _UNFINISHED):
                self._heed(event)
            if not self._progress and not (self._queue is not None and self._unfinished()):
                break
        return self._otherwise

    def _look(self) -> None:
        """The current state of all of them."""
        if self._queue is not None:
            if self._unfinished() > _JOBS:
                raise click.UsageError(f"{self._queue} has more than {_JOBS:,} unfinished jobs; see `holdfast events`")
            for state in _UNFINISHED:
                for job in self._client.jobs(queue=self._queue, state=state, payload=False, page=1_000):
                    self._progress.setdefault(job.id, None)
        for job_id in list(self._progress):
            self._heed(Event(event="", id=job_id))

    def _unfinished(self) -> int:
        assert self._queue is not None, "only a queue has a count of its own"
        counts = self._client.queue(self._queue).jobs
        return counts.scheduled + counts.ready + counts.leased

    def _heed(self, event: Event) -> None:
        """A step of one job. It may have changed again by now: then those events follow."""
        if event.id in self._over:
            return  # it was read after this event
        try:
            job = self._client.job(event.id)
        except JobNotFound:
            job = None
        state = event.state if event.event else job and job.state
        noted = self._progress.get(event.id)
        self._progress[event.id] = bytes(job.progress_json) if job else None
        if event.event != "extended" or (job and bytes(job.progress_json) != noted):
            self._say(event, job, _details(event.event or job.state, job) if job else "gone")
        if state not in _UNFINISHED:
            self._end(event.id, state == "concluded")

    def _end(self, job_id: int, concluded: bool) -> None:
        self._progress.pop(job_id, None)
        self._over.add(job_id)
        self._otherwise += not concluded

    def _say(self, event: Event, job: Job | None, details: str) -> None:
        word = event.event or (job.state if job else "deleted")
        since = event.at or (job and (job.ended_at or (job.leased_at if job.state == "leased" else None)))
        at = f"{instant(since)}  " if since else " " * 22
        show(
            {"event": word, "at": since, "id": event.id, "job": job},
            self._as_json,
            f"{at}{event.id}  {word:<10}  {one_line(details)}",
        )


def _details(word: str, job: Job) -> str:
    if word == "extended":
        return f"progress {json_text(job.progress_json)}"
    if word == "leased":
        return f"attempt {job.attempt}{f' by {job.worker}' if job.worker else ''}"
    if job.state == "concluded":
        return f"result {json_text(job.result_json)}"
    if word in ("failed", "expired", "dead"):
        why = job.last_error or job.reason or ""
        return f"{why} ({'dead' if job.state == 'dead' else f'again at {instant(job.ready_at)}'})"
    return f"ready at {instant(job.ready_at)}" if job.state == "scheduled" else job.state
