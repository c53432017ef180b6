"""Commands and queries about fair shares."""

from holdfast.messages.answers import Counted
from holdfast.messages.audit import Deed, Managed
from holdfast.messages.fair_views import FairKeyCounts, ShareList
from holdfast.messages.frame import Query


class SetFairWeight(Managed[Counted], frozen=True, tag=248):
    """Give a fair key of a queue a larger share, from its next start on. `weight` None: the usual one, 1, again. The count is 0 if it had none."""

    queue: str
    key: str
    weight: int | None = None

    def deed(self) -> Deed:
        """What it does."""
        name = self.key or "(none)"
        if self.weight is None:
            return Deed("queue.fair.unset", self.queue, target=name)
        return Deed("queue.fair.set", self.queue, target=name, note=f"weight {self.weight}")


class GetShares(Query[ShareList], frozen=True, tag=249):
    """Fair keys of a queue with what waits and runs of each: by key after `after`, those with most waiting first where that is None, or the one
    with `key`.
    """

    queue: str
    limit: int
    after: str | None = None
    key: str | None = None


class CountFairKeys(Query[FairKeyCounts], frozen=True, tag=253):
    """How many fair keys wait in each queue that is fair."""
