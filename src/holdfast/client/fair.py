"""Fair shares, as the client gives and returns them."""

import msgspec


class Share(msgspec.Struct, kw_only=True):
    """A fair key of a queue; None: jobs without one. `share`: what it gets of the leases while the same keys wait."""

    key: str | None
    waiting: int
    leased: int
    weight: int
    weight_set: bool
    share: float


class Shares(msgspec.Struct, kw_only=True):
    """Some fair keys of a queue. `keys`: how many have jobs that wait; `waiting`: how many jobs these are."""

    queue: str
    fair: bool
    sorting: bool
    keys: int
    waiting: int
    some: list[Share]
    next_after: str | None = None
