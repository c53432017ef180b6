"""Failures that are alike, together: the same queue, type and error.

Where workers tell what was raised, that is the same class of error and the same place in the code, exactly. Of others it is the same line but for
what differs from job to job (numbers, ids, quoted values).

Pure. A group has an exact key, made of what all its jobs have in common: an action on a group affects its members only, not
other jobs that contain part of its text.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.messages.views import FailedJob

HOLE = "…"
_LINE_CHARS = 200
_VARIES = re.compile(
    r"""0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\b[0-9a-fA-F]{12,}\b|"[^"]{0,200}"|'[^']{0,200}'|`[^`]{0,200}`|\d+(?:[.:]\d+)*"""
)
_LAST = re.compile(r"\S.*")


@dataclass
class Group:
    """Jobs that failed alike. `at` are in milliseconds."""

    queue: str
    type: str
    kind: str
    error: str
    place: str = ""
    error_class: str = ""
    dead: list[FailedJob] = field(default_factory=list)
    waiting: int = 0
    recovered: int = 0
    first_at: int = 0
    last_at: int = 0
    example: FailedJob | None = None
    workers: set[str] = field(default_factory=set)

    @property
    def key(self) -> str:
        """The group's name: the same for the same queue, type, kind and error, and for nothing else."""
        parts = f"{self.queue}\0{self.type}\0{self.kind}\0{self.error}"
        if self.error_class:
            parts += f"\0{self.place}\0{self.error_class}"
        return hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=12).hexdigest()


def line_of(reason: str) -> str:
    """The line of an error that names it: of a Python traceback the last, of anything else the first."""
    lines = [found.group().rstrip() for line in reason.splitlines() if (found := _LAST.search(line))]
    if not lines:
        return ""
    return (lines[-1] if lines[0].startswith("Traceback (most recent call last)") else lines[0])[:_LINE_CHARS]


def shape(line: str) -> str:
    """The line with holes where jobs differ."""
    return _VARIES.sub(HOLE, line)


def groups(jobs: Iterable[FailedJob]) -> list[Group]:
    """The groups, those with the most dead jobs first."""
    found: dict[tuple[str, ...], Group] = {}
    for job in jobs:
        if job.error_class:
            key = (job.queue, job.type, job.kind, job.error_class, job.place, job.error_class)
        else:
            key = (job.queue, job.type, job.kind, shape(line_of(job.reason)), "", "")
        group = found.get(key)
        if group is None:
            group = found[key] = Group(*key, first_at=job.at, last_at=job.at, example=job)
        _add(group, job)
    return sorted(found.values(), key=lambda group: (-len(group.dead), -group.waiting, -group.last_at))


def _add(group: Group, job: FailedJob) -> None:
    if job.state == "dead":
        group.dead.append(job)
    elif job.state == "unfinished":
        group.waiting += 1
    else:
        group.recovered += 1
    group.first_at = min(group.first_at, job.at)
    if job.at >= group.last_at:
        group.last_at, group.example = job.at, job
    if job.worker and len(group.workers) < 100:
        group.workers.add(job.worker)
