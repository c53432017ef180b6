"""Failures that are alike, together: the same queue, type, class of error, place in the code, and message.

Class and place are those that workers tell; without them only the message counts. The message is the same but for what differs from job to job:
numbers, ids, hexadecimal, addresses, quoted values. A quoted name stays where it tells errors apart: where the class is about a name in the program
(`KeyError: 'customer'`, `No module named 'PIL'`).

Pure. A group has an exact key, made of what all its jobs have in common: an action on a group affects its members only, not
other jobs that contain part of its text.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from holdfast.messages.views import FailedJob

HOLE = "…"
_LINE_CHARS = 200
_AT_ONCE = 50  # jobs, in some milliseconds
_QUOTED = r""""[^"]{0,200}"|'[^']{0,200}'|`[^`]{0,200}`"""
_VARIES = re.compile(
    rf"""(?P<quoted>{_QUOTED})"""
    r"""|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"""  # mail addresses
    r"""|(?<![\w:])(?=[0-9a-fA-F:]{0,40}[0-9])[0-9a-fA-F]{1,4}(?:::?[0-9a-fA-F]{1,4}){2,7}(?![\w:])"""  # addresses of machines, times of day
    r"""|0x[0-9a-fA-F]+|\b[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}\b|\b[0-9a-fA-F]{12,}\b"""
    r"""|\b(?=[A-Za-z]{0,40}[0-9]{1,40}[A-Za-z]|[0-9])[0-9A-Za-z]{4,64}\b"""  # short ids, such as 8f3a or a1b2c3: figures among letters
    r"""|\d+(?:[.:]\d+)*"""
)
_NAMES = re.compile(
    r"(?:^|\b|\.)(?:KeyError|AttributeError|NameError|UnboundLocalError|ImportError|ModuleNotFoundError|TypeError|ReferenceError|"
    r"NoSuchMethodError|NoSuchFieldError|ClassNotFoundException|NoMethodError|Undefined\w+)\b"
)
"""Classes of errors that are about a name in the program, which their message quotes."""
_NAME = re.compile(r"[^\W\d][\w.$-]{0,79}", re.ASCII)
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


Found = dict[tuple[str, ...], Group]


def line_of(reason: str) -> str:
    """The line of an error that names it: of a Python traceback the last, of anything else the first."""
    lines = [found.group().rstrip() for line in reason.splitlines() if (found := _LAST.search(line))]
    if not lines:
        return ""
    return (lines[-1] if lines[0].startswith("Traceback (most recent call last)") else lines[0])[:_LINE_CHARS]


def shape(line: str, error_class: str = "") -> str:
    """The line with holes where jobs differ."""
    keeps = _NAMES.search(error_class or line.partition(":")[0]) is not None

    def hole(found: re.Match[str]) -> str:
        quoted = found["quoted"]
        is_name = keeps and quoted is not None and _NAME.fullmatch(quoted[1:-1]) is not None
        return found.group() if is_name and not any(map(str.isdigit, quoted)) else HOLE

    return _VARIES.sub(hole, line)


def _message(job: FailedJob) -> str:
    """What it says in one line, with its class."""
    said = shape(line_of(job.reason), job.error_class)
    if not job.error_class or said.startswith(job.error_class):
        return said
    return f"{job.error_class}: {said}" if said else job.error_class


def groups(jobs: Iterable[FailedJob]) -> list[Group]:
    """The groups, those with the most dead jobs first."""
    found: Found = {}
    _take(found, jobs)
    return _in_order(found)


async def groups_in_turns(jobs: Sequence[FailedJob]) -> list[Group]:
    """The same while others get their turns: thousands of long lines may take a second."""
    found: Found = {}
    for start in range(0, len(jobs), _AT_ONCE):
        _take(found, jobs[start : start + _AT_ONCE])
        await asyncio.sleep(0)
    return _in_order(found)


def _take(found: Found, jobs: Iterable[FailedJob]) -> None:
    for job in jobs:
        key = (job.queue, job.type, job.kind, _message(job), job.place if job.error_class else "", job.error_class)
        group = found.get(key)
        if group is None:
            group = found[key] = Group(*key, first_at=job.at, last_at=job.at, example=job)
        _add(group, job)


def _in_order(found: Found) -> list[Group]:
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
