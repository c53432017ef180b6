"""What commands are answered with, and what a query that names a queue is."""

from holdfast.job.job import Content, Job, LeaseRef, Receipt, State
from holdfast.job.registry import Worker
from holdfast.job.schedule import Schedule
from holdfast.messages.frame import Answer, Frame


class Enqueued(Answer, frozen=True, tag=101):
    """All of the jobs are stored. `duplicate`: they were before, under the same idempotency key. `held`: queues that were
    skipped because of a unique key. `existing`: the places among `jobs` of those that are not new but had the unique key.
    `gone`: jobs of a duplicate that no longer exist. `others`: how many more there are, in queues that the caller may not see.
    """

    jobs: list[Receipt]
    duplicate: bool = False
    held: list[str] = []
    gone: list[int] = []  # those jobs of a duplicate that were deleted or forgotten since
    others: int = 0
    existing: list[int] = []


class GrantedJob(Frame, frozen=True):
    """A leased job with what its worker needs; `progress` is what an earlier attempt noted (JSON)."""

    job: Job
    content: Content
    progress: bytes | None = None


class Granted(Answer, frozen=True, tag=102):
    """The leases granted, none if nothing was ready; `now` is the store's time. `quiet`: the worker gets no more jobs. `cut`:
    more would be too many bytes. `types`: nothing but these is for its worker, by its registration.
    """

    jobs: list[GrantedJob]
    now: int
    quiet: bool = False
    cut: bool = False
    types: tuple[str, ...] | None = None

    def returnable(self) -> list[LeaseRef]:
        """The leases to release if the answer can't be delivered. Those of a call with a `request_id` stay: a repeated request
        may have got them already, or be about to.
        """
        return [one.job.ref() for one in self.jobs if one.job.lease is None or one.job.lease.request is None]


class Outcome(Answer, frozen=True, tag=103):
    """How an attempt ended, and when the job is ready again if it is."""

    id: int
    state: State
    ready_at: int
    then: list[Receipt] = []


class Extended(Answer, frozen=True, tag=104):
    """The lease lasts `ms_left` more; `cancel_requested` asks its holder to stop."""

    ms_left: int
    cancel_requested: bool


class Changed(Answer, frozen=True, tag=105):
    """The job after a managing verb, at `now`. `payload_hidden`: its content was left out: the caller may not see it."""

    job: Job
    content: Content
    now: int
    payload_hidden: bool = False


class Counted(Answer, frozen=True, tag=107):
    """How many it were; `up_to` is the newest job there was at the start, for the next call. `more`: there may be more of them."""

    count: int
    up_to: int = 0
    more: bool = False


class Forgotten(Answer, frozen=True, tag=109):
    """How much history was removed, and the queue after which to go on ("": from the start)."""

    count: int
    after: str


class WorkerAnswer(Answer, frozen=True, tag=110):
    """A worker as it is registered."""

    worker: Worker


class ScheduleAnswer(Answer, frozen=True, tag=111):
    """A schedule."""

    schedule: Schedule


class PutIds(Answer, frozen=True, tag=170):
    """The ids of the enqueued jobs, in order; 0 for a refused one, and then `refused` is the reason (the last one, if there are
    several).
    """

    ids: list[int]
    refused: str = ""
