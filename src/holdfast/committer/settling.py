"""What follows for others from what a batch has decided: members are counted and closing jobs put, then places in groups and budgets are given."""

from holdfast.committer import budgets, job_batches
from holdfast.committer.batch import Batch


async def settle(batch: Batch) -> None:
    """Until nothing moves: a closing job may want a place, and a job in the line of a place may turn out to be unreadable and end."""
    while True:
        members = batch.members
        if members is not None:
            await job_batches.settle(batch)
        if batch.grouped or batch.budgeted or batch.accounts is not None:
            await budgets.settle(batch)
        members = batch.members
        if members is None or not (members.moved or members.unsettled):
            return
