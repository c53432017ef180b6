"""Queries to a store or to the counters in memory. Times are in milliseconds."""

from holdfast.job.job import State
from holdfast.job.meta import Meta
from holdfast.limits import LIST_LIMIT, STATS_QUEUES
from holdfast.messages.frame import Query
from holdfast.messages.views import (
    Failures,
    History,
    InterestList,
    JobCounts,
    JobDetail,
    JobFacts,
    JobPage,
    QueueCounts,
    QueueInfo,
    QueueLoad,
    QueuePage,
    ReadyAges,
    ReceiptList,
    SchedulePage,
    Stats,
    StoreStats,
    TubeFacts,
    WorkerList,
)


class GetJob(Query[JobDetail], frozen=True, tag=40):
    """One job, complete; with `cut`, only that many bytes of its payload and its result."""

    id: int
    cut: int | None = None


class ListJobs(Query[JobPage], frozen=True, tag=41):
    """A page of jobs that match all filters. See `stores/reader.py` for the order.

    `batch`: only its members, by their ids. `payload_up_to`: a larger payload is left out (empty); `text_up_to`: a larger one is not searched. None: no bound. `before`: only those that ended, or
    were enqueued where they have not, at or before this time; `since`: at or after it. `error`: with this in the last error. `worker`: that it
    holds, concluded or failed to do. `field`: with these values at these paths of the payload. `cancelled_by`: the operation that
    cancelled them. `reverse`: the last one first.
    `last_error`: each with its latest error, but no traceback.
    """

    limit: int
    queue: str | None = None
    state: State | None = None
    type: str | None = None
    tag: str | None = None
    text: str | None = None
    cursor: tuple[int, tuple[int | str, ...]] | None = None
    payload_up_to: int | None = None
    text_up_to: int | None = None
    meta: Meta = ()
    before: int | None = None
    error: str | None = None
    batch: int | None = None
    worker: str | None = None
    since: int | None = None
    reverse: bool = False
    field: Meta = ()
    last_error: bool = False
    cancelled_by: int | None = None


class GetQueue(Query[QueueInfo], frozen=True, tag=42):
    """One queue."""

    name: str


class ListQueues(Query[QueuePage], frozen=True, tag=43):
    """Queues by name, after `after`."""

    limit: int
    after: str = ""


class ExplainJob(Query[JobFacts], frozen=True, tag=44):
    """The facts that decide why a job is not running."""

    id: int


class GetStats(Query[Stats], frozen=True, tag=45):
    """Counts and rates of the store and of a bounded number of queues whose name contains `named`. If there are more, those
    that need attention first; with `busiest`, those that hold or have done the most. With `only`, of that queue.
    """

    most: int = STATS_QUEUES
    named: str = ""
    only: str | None = None
    busiest: bool = False


class GetInterests(Query[InterestList], frozen=True, tag=48):
    """All interests."""


class ListWorkers(Query[WorkerList], frozen=True, tag=49):
    """Registered workers in the order of registration, after this one (its time of registration, and its id); or the one called
    `id`. With their current jobs.
    """

    id: str | None = None
    limit: int = LIST_LIMIT
    after: tuple[int, str] = (-1, "")


class ListSchedules(Query[SchedulePage], frozen=True, tag=54):
    """Schedules by name, after `after`; or the one called `name`."""

    limit: int
    after: str = ""
    name: str | None = None


class FindReceipts(Query[ReceiptList], frozen=True, tag=86):
    """The jobs that were enqueued under an idempotency key: in this queue, or in any, the routes over several queues included."""

    key: str
    queue: str | None = None


class OldestReady(Query[ReadyAges], frozen=True, tag=46):
    """Since when the oldest ready job of each of these queues has been ready."""

    names: list[str]


class OldestDead(Query[JobPage], frozen=True, tag=77):
    """The oldest dead job of a queue: a page of one or none (also if there is no such queue)."""

    queue: str


class GetLoad(Query[QueueLoad], frozen=True, tag=182):
    """What tells how many workers a queue needs."""

    name: str


class CountUrgent(Query[QueueCounts], frozen=True, tag=78):
    """How many ready jobs of each of these queues are before `URGENT_BELOW` by priority, counted up to `URGENT_COUNTED`."""

    names: list[str]


class GetTube(Query[TubeFacts], frozen=True, tag=79):
    """One queue with its totals since the start and its urgent jobs; answered by `committer/stats.py`."""

    name: str


class GetHealth(Query[StoreStats], frozen=True, tag=47):
    """How the store is doing."""


class CountJobs(Query[JobCounts], frozen=True, tag=61):
    """How many jobs in each state match all filters, counted up to a bound for each state."""

    queue: str | None = None
    state: State | None = None
    type: str | None = None
    tag: str | None = None
    text: str | None = None
    text_up_to: int | None = None
    meta: Meta = ()
    before: int | None = None
    error: str | None = None
    batch: int | None = None
    worker: str | None = None
    since: int | None = None
    field: Meta = ()
    cancelled_by: int | None = None


def is_narrowed(query: ListJobs | CountJobs) -> bool:
    """Whether it has a filter for which each row is looked at."""
    given = (query.type, query.tag, query.text, query.before, query.error, query.worker, query.since, query.cancelled_by)
    return any(value is not None for value in given) or bool(query.meta or query.field)


class RecentFailures(Query[Failures], frozen=True, tag=62):
    """The newest dead jobs and the newest jobs with failed attempts, up to `limit` of each, each with its latest error."""

    limit: int
    queue: str | None = None


class GetHistory(Query[History], frozen=True, tag=63):
    """What one queue ("": all together) did in the last hour or day, or with `names` a few points of each of those."""

    queue: str = ""
    span: str = "hour"
    names: list[str] | None = None
