"""Tasks that run many jobs in one call: `@tasks.task(batch=100, wait=0.5)`.

A job is a job like any other, with a lease, middleware and an outcome of its own. What gathers them is `Gathering`: within a worker, a job joins the
ones that wait; the call begins when there are as many as fit, or the first has waited long enough; and each takes its outcome out of the list that
the call returns.
"""

import asyncio
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import Raw

from holdfast.client.worker import Failed, GiveBack, HeldJob
from holdfast.client.worker.threads import Threads
from holdfast.limits import LEASE_JOBS
from holdfast.tasks.options import milliseconds
from holdfast.tasks.signature import Content, InvalidArguments, Signature, hints_of, injected_in
from holdfast.tasks.task import Task

if TYPE_CHECKING:
    from holdfast.tasks.tasks import Tasks

A = TypeVar("A")
R = TypeVar("R")
C = TypeVar("C")
_ARGUMENT = "call"
_WAIT_MS_MAX = 3_600_000
_AGAIN_MS = 1_000


class BatchSignature(Signature):
    """Of a function of a list of arguments, perhaps behind a list of jobs, which gives a list of results or exceptions, or None."""

    def __init__(self, task: str, function: Callable[..., Any]) -> None:
        self.task = task
        hints = hints_of(task, function)
        given = hints.pop("return", None)
        parameters = list(inspect.signature(function).parameters.values())
        self.injected = injected_in(task, parameters, hints)
        for name, each in self.injected.items():
            if each.wants_job:
                raise ValueError(f"{task}: {name} needs the job, and a call has many")
        names = [each.name for each in parameters if each.name not in self.injected]
        listed = [hints[name] for name in names if name in hints]
        self.takes_job = len(listed) == 2 and _is_jobs(listed[0])
        if len(names) != len(listed) or len(listed) - self.takes_job != 1 or (kind := _element(listed[-1])) is None:
            raise ValueError(
                f"{task}: with batch=… it takes one argument, calls: list[Call], and may take jobs: list[Job] before it"
            )
        self._argument = Content(kind, f"{task}: an argument")
        self._fields = _fields(kind)
        self.result = Content(_result(task, given), f"{task}: its result")

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """The fields of an argument, on which keys may depend."""
        return {name: inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in self._fields}

    @property
    def required(self) -> list[str]:
        """Its argument."""
        return [_ARGUMENT]

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> inspect.BoundArguments:
        """The argument, and its fields."""
        if len(args) != 1 or kwargs:
            raise InvalidArguments(f"{self.task}: it takes one argument, by its place: what its list has")
        names = [_ARGUMENT, *(name for name in self._fields if name != _ARGUMENT)]
        bound = inspect.Signature([inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]).bind_partial()
        bound.arguments[_ARGUMENT] = args[0]
        return bound

    def write(self, arguments: dict[str, Any]) -> Raw:
        """The payload; what else is known of the argument goes among `arguments`, for keys."""
        value = arguments[_ARGUMENT]
        try:
            payload = Raw(Content.write(value))
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArguments(f"{self.task}: {error}") from None
        read = self.read(payload)[_ARGUMENT]
        arguments |= {name: read[name] if isinstance(read, dict) else getattr(read, name, None) for name in self._fields}
        return payload

    def read(self, payload: bytes | Raw) -> dict[str, Any]:
        """The argument."""
        return {_ARGUMENT: self.read_by(self._argument, payload)}


class BatchTask(Task[[A], R], Generic[A, R, C]):
    """A task that runs many jobs in one call. `size`: at most so many; `wait_s`: how long the first waits for others."""

    def __init__(self, tasks: "Tasks", name: str, function: Callable[..., Any], given: dict[str, Any]) -> None:
        size, wait = given.pop("batch"), given.pop("wait", 0)
        if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= LEASE_JOBS:
            raise ValueError(f"{name}: batch is from 1 to {LEASE_JOBS:,} jobs, not {size!r}")
        self.size: int = size
        self.wait_s = milliseconds(f"{name}: wait", wait, 0, _WAIT_MS_MAX) / 1_000
        self.is_coroutine = inspect.iscoroutinefunction(function)
        super().__init__(tasks, name, function, given)

    def _read_signature(self, function: Callable[..., Any] | None) -> Signature:
        assert function is not None, "a batch has a function"
        return BatchSignature(self.name, function)

    def __call__(self, calls: list[A], **injected: Any) -> C:
        """Just call the function."""
        return self._just_call((calls,), injected)  # type: ignore[no-any-return]

    def _jobs_of(self, held: HeldJob, args: tuple[Any, ...]) -> Any:  # noqa: ARG002
        return [self._made_up() for _ in args[0]]

    def run(self, held: HeldJob, arguments: dict[str, Any]) -> Any:
        """A call for one job alone."""
        given = self.call([held], [arguments[_ARGUMENT]])
        return self._only(given) if self.is_coroutine else self._one(given)

    def call(self, jobs: list[HeldJob], arguments: list[Any]) -> Any:
        """Call its function."""
        return self._run([*([jobs] if self.signature.takes_job else []), arguments], {}, self.signature.injected, jobs[0])

    async def _only(self, given: Any) -> Any:
        return self._one(await given)

    def _one(self, given: Any) -> Any:
        (outcome,) = self.outcomes(given, 1)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def outcomes(self, given: Any, count: int) -> list[Any]:
        """What a call has returned, as one outcome for each of so many jobs. Raises `Failed`."""
        if given is None:
            return [None] * count
        if not isinstance(given, Sequence) or isinstance(given, str | bytes) or len(given) != count:
            what = f"{len(given)} outcomes" if isinstance(given, list | tuple) else type(given).__name__
            raise Failed(
                f"{self.name}: a call for {count} jobs returned {what}: it returns a list with an outcome for each, or None"
            )
        return list(given)


@dataclass(eq=False, slots=True)
class _Member:
    held: HeldJob
    argument: Any
    outcome: "asyncio.Future[Any]"


class Gathering:
    """Within a worker: the jobs of one task that wait for their call."""

    def __init__(self, task: BatchTask[Any, Any, Any]) -> None:
        self._task = task
        self._threads = Threads(lambda: None)
        self._waiting: list[_Member] = []
        self._timer: asyncio.TimerHandle | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._ending = False

    async def run(self, held: HeldJob, arguments: dict[str, Any]) -> Any:
        """What the call returns for this job; raises what it raises, or has for it."""
        loop = asyncio.get_running_loop()
        member = _Member(held, arguments[_ARGUMENT], loop.create_future())
        self._waiting.append(member)
        if len(self._waiting) >= self._task.size or self._ending:
            self._begin()
        elif self._timer is None:
            self._timer = loop.call_later(self._task.wait_s, self._begin)
        try:
            outcome, trace = await member.outcome
        except asyncio.CancelledError:
            if member in self._waiting:
                self._waiting.remove(member)
            raise
        if isinstance(outcome, BaseException):
            raise outcome.with_traceback(trace)
        return outcome

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        members, self._waiting = self._waiting, []
        if not members:
            return
        call = asyncio.create_task(self._run(members), name=f"holdfast-batch-{self._task.name}")
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

        def left(_: Any) -> None:
            if all(member.outcome.cancelled() for member in members):
                call.cancel()  # nobody waits for it any more

        for member in members:
            member.outcome.add_done_callback(left)

    async def _run(self, members: list[_Member]) -> None:
        task, outcomes, trace = self._task, [], None
        try:
            async with asyncio.timeout(task.timeout_s) as bound:
                outcomes = await self._called([each.held for each in members], [each.argument for each in members])
        except TimeoutError as error:
            expired = bound.expired()
            for each in members:
                each.held.must_end = each.held.must_end or expired  # a thread sees that
            outcomes = [Failed(f"Timed out after {task.timeout_s:g} s.") if expired else error] * len(members)
            trace = None if expired else error.__traceback__
        except BaseException as error:  # noqa: BLE001  (whatever it raises is the outcome of all)
            outcomes, trace = [error] * len(members), error.__traceback__
        for member, outcome in zip(members, outcomes, strict=True):
            if not member.outcome.done():
                member.outcome.set_result((outcome, trace))

    async def _called(self, jobs: list[HeldJob], arguments: list[Any]) -> list[Any]:
        if self._task.is_coroutine:
            given = await self._task.call(jobs, arguments)
        elif self._threads.stuck >= self._task.size:
            raise GiveBack(_AGAIN_MS)  # as many calls hang, over their time, as may run at once
        else:
            given = await self._threads.call(lambda: self._task.call(jobs, arguments))
        return self._task.outcomes(given, len(jobs))

    def end(self) -> None:
        """Wait for no others any more: the worker takes none."""
        self._ending = True
        self._begin()

    def close(self) -> None:
        """Let go of its threads; another run of the worker makes new ones."""
        self._ending = False
        self._threads.close()


def _element(kind: Any) -> Any:
    """`A` of `list[A]`; None if it is no list."""
    if typing.get_origin(kind) in (list, Sequence) and len(typing.get_args(kind)) == 1:
        return typing.get_args(kind)[0]
    return None


def _is_jobs(kind: Any) -> bool:
    return isinstance(element := _element(kind), type) and issubclass(element, HeldJob)


def _result(task: str, given: Any) -> Any:
    """What one job comes to, by the return annotation."""
    if given in (None, type(None), Any):
        return Any if given is Any else None
    if (element := _element(given)) is None:
        raise ValueError(
            f"{task}: with batch=… it returns a list with an outcome for each job, list[Result | Exception], or None"
        )
    if typing.get_origin(element) not in (typing.Union, types.UnionType):
        return None if _is_error(element) else element
    kinds = [each for each in typing.get_args(element) if not _is_error(each)]
    return typing.Union[tuple(kinds)] if kinds else None  # noqa: UP007  (of a list)


def _is_error(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _fields(kind: Any) -> list[str]:
    try:
        return [name for name in typing.get_type_hints(kind) if not name.startswith("_")] if isinstance(kind, type) else []
    except Exception:  # noqa: BLE001  (whatever is wrong with somebody's annotations: keys can't depend on them then)
        return []
