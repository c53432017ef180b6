"""`Tasks`: the tasks of a program, the hooks around them, the clients that enqueue them and the workers that run them."""

import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext
from ssl import SSLContext
from typing import Any, Literal, TypedDict, TypeVar, Unpack

from holdfast.client.aio.client import AsyncClient
from holdfast.client.batch_types import BatchMade
from holdfast.client.sync.client import Client
from holdfast.client.tls import Path
from holdfast.client.types import NewJob
from holdfast.client.worker import HeldJob
from holdfast.tasks import options
from holdfast.tasks.batches import BatchTask
from holdfast.tasks.decorator import Decorator
from holdfast.tasks.eager import AsyncEager, Eager, closing_of, finished
from holdfast.tasks.options import Duration, TaskOptions
from holdfast.tasks.schedules import Schedules, When
from holdfast.tasks.signature import InvalidArguments
from holdfast.tasks.task import AsyncTask, SyncTask, Task
from holdfast.tasks.worker import TaskWorker, WorkerOptions

C = TypeVar("C", Client, AsyncClient)
F = TypeVar("F", bound=Callable[..., Any])
Around = Callable[[Any], AbstractContextManager[Any]]
Missed = Literal["one", "skip", "all"]
_RUN = (SyncTask, AsyncTask, BatchTask)  # what has a function


class Connection(TypedDict, total=False):
    """How servers are reached, as `Client` has it."""

    token: str | None
    ca_file: Path | None
    client_cert: Path | None
    client_key: Path | None
    context: SSLContext | None


class BatchOptions(TypedDict, total=False):
    """As `Client.make_batch` has them; jobs are those of `task.job(…)`."""

    name: str
    closed: bool
    on_success: NewJob | None
    on_finish: NewJob | None
    on_failure: NewJob | None
    idempotency_key: str | None


class Tasks:
    """The tasks that belong together. `queue` is that of tasks which name none. `deadline`: of one call to enqueue, as `deadline_s` of `Client`.

    `url` and the rest: as `Client`, else from the environment.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        *,
        queue: str = "default",
        deadline: Duration | None = None,
        **connection: Unpack[Connection],
    ) -> None:
        self.url = url
        self.connection = connection
        self.schedules = Schedules()
        self._deadline_s = None if deadline is None else options.milliseconds("deadline", deadline, 1) / 1_000
        self._queue = options.queue_name("Tasks", queue)
        self._by_name: dict[str, Task[..., Any]] = {}
        self._around_attempt: list[Around] = []
        self._around_enqueue: list[Around] = []
        self._startup: list[Callable[[], Any]] = []
        self._shutdown: list[Callable[[], Any]] = []
        self._clients: dict[Any, Any] = {}
        self._eager: dict[type, Any] | None = None
        self.makes_spans = False  # some middleware, so that a worker need not
        self.dependency_overrides: dict[
            Callable[..., Any], Callable[..., Any]
        ] = {}  # for tests: what to inject in the place of what

    # ------------------------------------------------------------------------------------------------ definitions

    @property
    def task(self) -> Decorator:
        """Make a function a task: `@tasks.task`, or `@tasks.task(queue="mail", …)`."""
        return Decorator(self._define)

    @property
    def declare(self) -> Decorator:
        """Declare a task by its signature alone, for producers; the body of the function is never run."""
        return Decorator(lambda function, given: self._add(Task(self, *self._named(function, given))))

    def stub(self, name: str, **given: Unpack[TaskOptions]) -> Task[..., Any]:
        """A task by its name alone, for producers: any arguments, by name, unchecked."""
        return self._add(Task(self, name, None, {"queue": self._queue, **given}))

    def cron(
        self, expression: str, *, tz: str = "UTC", name: str | None = None, missed: Missed = "one", overlap: bool = True
    ) -> Decorator:
        """Run a task by itself, as its schedule says: five fields, in a time zone such as `Europe/Vienna`."""
        return self._by_itself(When({"cron": expression, "timezone": tz, "missed": missed, "overlap": overlap}, name))

    def every(self, interval: Duration, *, name: str | None = None, missed: Missed = "one", overlap: bool = True) -> Decorator:
        """Run a task by itself at an interval."""
        return self._by_itself(When.every(interval, name, {"missed": missed, "overlap": overlap}))

    def _by_itself(self, when: When) -> Decorator:
        def define(function: Any, given: dict[str, Any]) -> Task[..., Any]:
            task = function if isinstance(function, Task) else self._define(function, given)
            self.schedules.add(task, when)
            return task

        return Decorator(define)

    def _define(self, function: Callable[..., Any], given: dict[str, Any]) -> Task[..., Any]:
        kind: Callable[..., Task[..., Any]] = AsyncTask if inspect.iscoroutinefunction(function) else SyncTask
        if "batch" in given:
            kind = BatchTask
        return self._add(kind(self, *self._named(function, given)))

    def _named(self, function: Any, given: dict[str, Any]) -> tuple[str, Callable[..., Any], dict[str, Any]]:
        if isinstance(function, Task):
            raise ValueError(f"{function.name} is a task already; @tasks.cron and @tasks.every stand above @tasks.task")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ValueError(f"{function.__name__} has a yield: a task returns its result")
        if not inspect.isfunction(function):
            raise ValueError(f"a task is a function or a coroutine function, not {function!r}")
        if function.__name__ == "<lambda>" and "name" not in given:
            raise ValueError("a lambda has no name of its own: give it one, name=…")
        return given.get("name", function.__name__), function, {"queue": self._queue, **given}

    def _add(self, task: Task[..., Any]) -> Task[..., Any]:
        options.task_name(task.name)
        if task.name in self._by_name:
            raise ValueError(f"there is a task {task.name!r} already; a job names its task, so give one of them another name=")
        self._by_name[task.name] = task
        return task

    # ------------------------------------------------------------------------------------------------------ hooks

    def around_attempt(self, middleware: F) -> F:
        """Run this around each attempt, with the job: a function with one `yield`, or one that returns a context manager."""
        self._around_attempt.append(_context_manager(middleware))
        return middleware

    def around_enqueue(self, middleware: F) -> F:
        """Run this around each enqueue, with the `NewJob`, which it may change."""
        self._around_enqueue.append(_context_manager(middleware))
        return middleware

    def on_startup(self, function: F) -> F:
        """Call this, in the event loop of a worker, before it takes jobs."""
        self._startup.append(function)
        return function

    def on_shutdown(self, function: F) -> F:
        """Call this when a worker has ended; the last one first."""
        self._shutdown.append(function)
        return function

    def use(self, middleware: Any) -> None:
        """Register what an object has of `around_attempt`, `around_enqueue`, `on_startup` and `on_shutdown`."""
        known = ("around_attempt", "around_enqueue", "on_startup", "on_shutdown")
        found = [name for name in known if hasattr(middleware, name)]
        if not found or isinstance(middleware, type):
            raise ValueError(f"{middleware!r} is no middleware: an object with {', '.join(known[:-1])} or {known[-1]}")
        for name in found:
            getattr(self, name)(getattr(middleware, name))
        self.makes_spans = self.makes_spans or getattr(middleware, "makes_spans", False)

    def attempting(self, held: HeldJob) -> AbstractContextManager[Any]:
        """All middleware around one attempt."""
        return _all(self._around_attempt, held) if self._around_attempt else nullcontext()

    def enqueueing(self, *jobs: NewJob) -> AbstractContextManager[Any]:
        """All middleware around the enqueue of these jobs. It may change their tags and meta, which are those of the task so far."""
        if not self._around_enqueue:
            return nullcontext()
        for job in jobs:
            job.tags, job.meta = list(job.tags or ()), dict(job.meta or {})
        return _all(self._around_enqueue, *jobs)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Around the work of a worker."""
        for function in self._startup:
            await finished(function())
        try:
            yield
        finally:
            for function in reversed(self._shutdown):
                await finished(function())

    # ---------------------------------------------------------------------------------------------------- clients

    @property
    def client(self) -> Client:
        """The client that `enqueue` uses, made when it is first needed."""
        return self.clients(Client)

    @property
    def aclient(self) -> AsyncClient:
        """The client that `aenqueue` uses; it serves all event loops."""
        return self.clients(AsyncClient)

    @property
    def clients(self) -> Callable[[type[C]], C]:
        """Gives the client of each kind; in eager mode, what is in its place."""
        return self._client_of if self._eager is None else self._eager.__getitem__

    def _client_of(self, kind: type[C]) -> C:
        place = (kind, os.environ.get("HOLDFAST_URL"), os.environ.get("HOLDFAST_TOKEN"))  # a test may have a server of its own
        if place not in self._clients:
            self._clients.setdefault(place, kind(self.url, deadline_s=self._deadline_s, **self.connection))
        found: C = self._clients[place]
        return found

    def batch(self, jobs: Iterable[NewJob], **given: Unpack[BatchOptions]) -> BatchMade:
        """Enqueue calls, `tasks.batch((send.job(n) for n in range(3)), on_success=report.job("2026-12"))`, and when all have ended another.

        `on_success`: all are concluded; `on_failure`: the first is dead; `on_finish`: none is unfinished. Not `closed`: more may join by `send.options(batch=made.id)`.
        """
        listed = _jobs(jobs)
        with self.enqueueing(*listed, *closing_of(given)):
            return self.client.make_batch(listed, **given)

    async def abatch(self, jobs: Iterable[NewJob], **given: Unpack[BatchOptions]) -> BatchMade:
        """The same in a coroutine."""
        listed = _jobs(jobs)
        with self.enqueueing(*listed, *closing_of(given)):
            return await self.aclient.make_batch(listed, **given)

    # ---------------------------------------------------------------------------------------------------- workers

    def runnable(self, name: str) -> Task[..., Any]:
        """A task with its function. Raises `ValueError`."""
        task = self._by_name.get(name)
        if isinstance(task, _RUN):
            return task
        raise ValueError(f"{name}: this program has no function to run it")

    def follows(self, job: NewJob) -> bool:
        """Whether a job may follow another: as a task that this program knows, in the task's own queue."""
        task = self._by_name.get(str(job.type))
        return task is not None and job.queue == task.queue

    @property
    def scheduled(self) -> set[str]:
        """The names of the tasks that run by themselves."""
        return {task.name for task, _ in self.schedules.by_name.values()}

    def worker(self, queues: Sequence[str] | None = None, **given: Unpack[WorkerOptions]) -> TaskWorker:
        """A worker for all tasks, on all queues that they name, or on these; see `Worker`. Raises `ValueError`."""
        listed = [task for task in self._by_name.values() if isinstance(task, _RUN)]
        if not listed:
            raise ValueError("there is no task to run: define one with @tasks.task, and import its module")
        names = list(dict.fromkeys(task.queue for task in listed)) if queues is None else list(queues)
        return TaskWorker(self, names, listed, given)

    def run(self, queues: Sequence[str] | None = None, *, until_empty: bool = False, **given: Unpack[WorkerOptions]) -> None:
        """Run a worker until SIGTERM or SIGINT."""
        self.worker(queues, **given).run(until_empty=until_empty)

    # -------------------------------------------------------------------------------------------- without a server

    @contextmanager
    def eager(self) -> Iterator[list[NewJob]]:
        """For tests: within, what is enqueued is run at once, in any thread, and exceptions are raised to who enqueues. Gives the jobs."""
        eager = Eager(self)
        before, self._eager = self._eager, {Client: eager, AsyncClient: AsyncEager(eager)}
        try:
            yield eager.jobs
        finally:
            self._eager = before


def _jobs(given: Iterable[NewJob]) -> list[NewJob]:
    listed: list[Any] = list(given)
    for each in listed:
        if not isinstance(each, NewJob):
            raise InvalidArguments(f"a batch is of jobs that task.job(…) made, not {each!r}")
    return listed


def _context_manager(middleware: Callable[..., Any]) -> Around:
    return contextmanager(middleware) if inspect.isgeneratorfunction(middleware) else middleware


@contextmanager
def _all(middleware: Sequence[Around], *jobs: Any) -> Iterator[None]:
    with ExitStack() as stack:
        for job in jobs:
            for each in middleware:
                stack.enter_context(each(job))
        yield
