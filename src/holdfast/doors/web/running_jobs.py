"""Running jobs by their worker and by their group, and what workers are called."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from holdfast.doors.web.layout import View
from holdfast.job.job import Job
from holdfast.limits import LIST_LIMIT

_REGISTERED = "w-"  # how the ids of registered workers begin


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


async def names_of(view: View, workers: Iterable[str]) -> dict[str, str]:
    """By the ids of registered workers their names, of the first thousand; whoever is not registered any more is not among them."""
    wanted = {worker for worker in workers if worker.startswith(_REGISTERED)}
    if not wanted:
        return {}
    found = (await view.engine.reading.workers_after(LIST_LIMIT, (-1, ""))).workers
    return {info.worker.id: info.worker.name for info in found if info.worker.id in wanted and info.worker.name}
