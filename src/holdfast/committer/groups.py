"""Groups: at most `group_limit` jobs of one group key run at once, in the order of their ids.

A group has slots. A leased job takes one, and so does a ready job that is next to be leased; the group's other ready jobs are
*held*: in state `ready` but not in the queue's order, so that a long group never slows down other jobs. Each batch settles the
groups that it touched once, after all other decisions: free slots go to the oldest jobs first, new ones included.
"""

from holdfast.committer.batch import Batch
from holdfast.job import lifecycle
from holdfast.job.job import READY, Job
from holdfast.messages import events
from holdfast.stores.store import Change

_CHUNK = 64  # held jobs read in one go; most batches free fewer slots


async def settle(batch: Batch) -> None:
    """Give out the places of every group in which this batch changed something."""
    touched: dict[tuple[str, str], list[Change]] = {}
    for change in batch.changes.values():
        some = change.after or change.before
        if some is not None and some.extras.group_key is not None:
            touched.setdefault((some.queue, some.extras.group_key), []).append(change)
    for (queue, group), changes in touched.items():
        await _settle_one(batch, queue, group, changes)


async def _settle_one(batch: Batch, queue: str, group: str, changes: list[Change]) -> None:
    places = await batch.tx.group_places(queue, group)
    pending: dict[int, Job] = {}
    for change in changes:
        had = change.before is not None and change.before.holds_group_slot
        after = change.after
        stays = had and after is not None and after.id not in batch.left_group
        if had and not stays:
            places -= 1
        if not stays and after is not None and after.state is READY:
            pending[after.id] = after
    settled = {some.id for change in changes if (some := change.after or change.before) is not None}
    line, free = await _line(batch, queue, group, pending, settled, places)
    for index, job in enumerate(line):
        if job.id in pending:
            batch.changes[job.id].after = lifecycle.admit(job) if index < free else lifecycle.hold(job)
        elif index < free:
            batch.change(events.ADMITTED, await batch.own(job), job, lifecycle.admit(job))


async def _line(
    batch: Batch, queue: str, group: str, pending: dict[int, Job], settled: set[int], places: int
) -> tuple[list[Job], int]:
    """The jobs that want a place, oldest first, and how many from its head find one."""
    limit = _CHUNK + len(settled)
    while True:
        rows = await batch.tx.held(queue, group, limit)
        line = sorted([*pending.values(), *(job for job in rows if job.id not in settled)], key=lambda job: job.id)
        free = _free(line, places)
        if len(rows) < limit or free < len(line):
            return line, free
        limit *= 4


def _free(line: list[Job], places: int) -> int:
    """How many jobs from the head fit in; it stops at the first that does not, so that no job overtakes another."""
    for index, job in enumerate(line):
        if places + index >= job.extras.group_limit:
            return index
    return len(line)
