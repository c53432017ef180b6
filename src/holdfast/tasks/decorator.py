"""How a function becomes a task: `@tasks.task`, `@tasks.declare`, `@tasks.cron(…)`, with and without options."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, Unpack, overload

from holdfast.client.worker import HeldJob
from holdfast.tasks.batches import BatchTask
from holdfast.tasks.options import DefinedOptions, Duration
from holdfast.tasks.task import AsyncTask, SyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
T = TypeVar("T", bound=Task[..., Any])
Outcomes = Sequence[R | Exception]


Define = Callable[[Any, dict[str, Any]], Task[..., Any]]  # makes and registers a task of a function, with these options


class Decorator:
    """Given a function, it gives a task; given options, a decorator with these.

    A first parameter `job: Job` is no argument of a call. Pyright takes one of type `Any` or `object` for it: begin with a `*` then.
    """

    def __init__(self, define: Define, options: dict[str, Any] | None = None) -> None:
        self._define = define
        self._options = options or {}

    @overload
    def __call__(self, task: T, /) -> T: ...
    @overload
    def __call__(self, function: Callable[Concatenate[HeldJob, P], Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[Concatenate[HeldJob, P], R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, R], /) -> SyncTask[P, R]: ...
    @overload
    def __call__(self, /, *, batch: int, wait: Duration = ..., **options: Unpack[DefinedOptions]) -> "BatchDecorator": ...
    @overload
    def __call__(self, /, **options: Unpack[DefinedOptions]) -> "Decorator": ...

    def __call__(self, function: Any = None, /, **options: Any) -> Any:
        """Raises `ValueError` for what can't be a task, with a sentence that says why."""
        if function is None:
            return Decorator(self._define, self._options | options)
        if options:
            raise ValueError("options are given to the decorator: @tasks.task(queue=…)")
        return self._define(function, self._options)


class BatchDecorator(Protocol):
    """A decorator with `batch=…`, as type checkers see it: of a function of a list of arguments, which returns an outcome for each, or nothing."""

    @overload
    def __call__(
        self, function: Callable[[list[A]], Coroutine[Any, Any, None]], /
    ) -> BatchTask[A, None, Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(
        self, function: Callable[[list[A]], Coroutine[Any, Any, Outcomes[R]]], /
    ) -> BatchTask[A, R, Coroutine[Any, Any, Outcomes[R]]]: ...
    @overload
    def __call__(self, function: Callable[[list[A]], None], /) -> BatchTask[A, None, None]: ...
    @overload
    def __call__(self, function: Callable[[list[A]], Outcomes[R]], /) -> BatchTask[A, R, Outcomes[R]]: ...
    @overload
    def __call__(
        self, function: Callable[[list[HeldJob], list[A]], Coroutine[Any, Any, None]], /
    ) -> BatchTask[A, None, Coroutine[Any, Any, None]]: ...
    @overload
    def __call__(
        self, function: Callable[[list[HeldJob], list[A]], Coroutine[Any, Any, Outcomes[R]]], /
    ) -> BatchTask[A, R, Coroutine[Any, Any, Outcomes[R]]]: ...
    @overload
    def __call__(self, function: Callable[[list[HeldJob], list[A]], None], /) -> BatchTask[A, None, None]: ...
    @overload
    def __call__(self, function: Callable[[list[HeldJob], list[A]], Outcomes[R]], /) -> BatchTask[A, R, Outcomes[R]]: ...
