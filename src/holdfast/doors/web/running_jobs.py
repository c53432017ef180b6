"""Running jobs by their worker and by their group. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.job.job import Job


@dataclass
class Group:
    """A group of which jobs run: `limit` is how many may at once, by the latest of them."""

    key: str
    limit: int
    jobs: list[Job] = field(default_factory=list)


def by_worker(jobs: Iterable[Job]) -> list[tuple[str, list[Job]]]:
    """Leased jobs under the name that their lease has, those with the most first."""
    found: dict[str, list[Job]] = {}
    for job in jobs:
        if job.lease is not None:
            found.setdefault(job.lease.worker, []).append(job)
    return sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0]))


def by_group(jobs: Iterable[Job]) -> list[Group]:
    """The groups of these jobs, those without a free place first."""
    found: dict[str, Group] = {}
    for job in jobs:
        key = job.extras.group_key
        if key is not None:
            group = found.setdefault(key, Group(key, job.extras.group_limit))
            group.limit = job.extras.group_limit
            group.jobs.append(job)
    return sorted(found.values(), key=lambda group: (len(group.jobs) < group.limit, group.key))
