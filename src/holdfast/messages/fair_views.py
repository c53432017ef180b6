"""What is shown of fair shares."""

from holdfast.messages.frame import Answer, Frame


class ShareInfo(Frame, frozen=True):
    """A fair key of a queue: how many of its jobs wait for their turn, how many are leased, its weight, and whether that was set. `key` "": the jobs
    without one. `share`: of what is leased while the same keys wait, in thousandths; 0 where nothing waits.
    """

    key: str
    waiting: int
    leased: int
    weight: int
    weighted: bool
    share: int


class ShareList(Answer, frozen=True, tag=250):
    """Some fair keys of a queue. `keys`: how many have jobs that wait; `sorting`: its jobs are still being sorted by them; `after`: where the next
    page begins.
    """

    queue: str
    fair: bool
    sorting: bool
    keys: int
    waiting: int
    shares: list[ShareInfo]
    after: str | None = None


class TurnFacts(Frame, frozen=True):
    """Where a job stands in a fair queue: how many jobs are ahead of it if each costs 1, how many of these have its key, and how many keys wait at its
    priority. Each is counted up to a bound.
    """

    ahead: int
    own: int
    keys: int


class FairKeyCounts(Answer, frozen=True, tag=254):
    """By queue, how many fair keys have jobs that wait, at each priority."""

    counts: dict[str, int]
