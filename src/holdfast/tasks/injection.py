"""Dependency injection: parameters of a task that no call gives, because a function makes their values, as in FastAPI.

    session: Annotated[Session, Depends(get_session)] = INJECTED        or        session: Session = Depends(get_session)

A dependency is a function, a coroutine function, a generator of one value that is closed after the job, or a class; it may take the job, and have
dependencies of its own. One value is made for a job, also where several want it. What says `Depends` may be FastAPI's own.

A task that is a plain function has its dependencies in its own thread, those that are asynchronous in the worker's event loop; one that is a coroutine
function has them in its event loop, and plain ones in threads, so that none holds up the loop.
"""

import asyncio
import contextvars
import inspect
import threading
import typing
from collections.abc import Awaitable, Callable, Coroutine, Generator, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from holdfast.client.worker import HeldJob

_EXHAUSTED: Any = object()


class _Injected:
    def __repr__(self) -> str:
        return "INJECTED"


INJECTED: Any = _Injected()
"""The default of a parameter that is injected, so that type checkers know that a call leaves it out."""


@dataclass(frozen=True)
class _Depends:
    dependency: Callable[..., Any] | None
    use_cache: bool


def Depends(dependency: Callable[..., Any] | None = None, *, use_cache: bool = True) -> Any:  # noqa: N802  (as FastAPI has it)
    """Says of a parameter that this makes its value; without one, the class that it is annotated with. Not `use_cache`: a value of its own."""
    return _Depends(dependency, use_cache)


@dataclass(frozen=True, eq=False)
class Dependency:
    """What makes a value, read from its signature: from which others, and as which parameters it takes the job."""

    call: Callable[..., Any]
    use_cache: bool
    needs: Mapping[str, "Dependency"]
    takes_job: tuple[str, ...]

    @property
    def wants_job(self) -> bool:
        """Whether it, or one that it needs, takes the job."""
        return bool(self.takes_job) or any(each.wants_job for each in self.needs.values())


def dependency_of(task: str, parameter: inspect.Parameter, hint: Any) -> Dependency | None:
    """The dependency that a parameter names; None if it is an argument. Raises `ValueError`."""
    found = _needed(task, parameter, hint, ())
    if found is None and parameter.default is INJECTED:
        raise ValueError(
            f"{task}: {parameter.name} is INJECTED, but its annotation does not say by what: Annotated[…, Depends(…)]"
        )
    return found


def _is_depends(given: Any) -> bool:
    """Whether it is a `Depends`, ours or FastAPI's."""
    return type(given).__name__ in ("Depends", "_Depends") and hasattr(given, "dependency") and hasattr(given, "use_cache")


def read(task: str, call: Any, use_cache: bool = True, within: tuple[Any, ...] = ()) -> Dependency:
    """A dependency by what makes it. Raises `ValueError`."""
    if not callable(call):
        raise ValueError(f"{task}: a dependency is a function or a class, not {call!r}")
    name = getattr(call, "__qualname__", repr(call))
    if call in within:
        raise ValueError(f"{task}: {name} needs itself")
    try:
        listed = inspect.signature(call).parameters
        source: Any = call if inspect.isroutine(call) else type(call).__call__
        if isinstance(call, type):
            source = vars(call).get("__init__", call.__init__)  # type: ignore[misc]
        hints = typing.get_type_hints(source, include_extras=True) if listed else {}
    except Exception as error:  # whatever is wrong with somebody's annotations  # noqa: BLE001
        raise ValueError(f"{task}: what {name} needs can't be read: {error}") from None
    needs, takes_job = {}, []
    for each in listed.values():
        hint = hints.get(each.name)
        if isinstance(hint, type) and issubclass(hint, HeldJob):
            takes_job.append(each.name)
        elif (found := _needed(task, each, hint, (*within, call))) is not None:
            needs[each.name] = found
        elif each.default is each.empty and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise ValueError(
                f"{task}: nobody gives {name} its {each.name}: a dependency may take the job and what Depends(…) says"
            )
    return Dependency(call, use_cache, needs, tuple(takes_job))


def _needed(task: str, parameter: inspect.Parameter, hint: Any, within: tuple[Any, ...]) -> Dependency | None:
    found = parameter.default if _is_depends(parameter.default) else None
    for each in getattr(hint, "__metadata__", ()):
        if _is_depends(each):
            found = each
    if found is None:
        return None
    kind = typing.get_args(hint)[0] if hasattr(hint, "__metadata__") else hint
    return read(task, found.dependency or kind, found.use_cache, within)


class Ways(Protocol):
    """How plain functions are called, and awaitables waited for."""

    async def plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a plain function returns."""
        ...

    async def closing(self, function: Callable[..., Any], *args: Any) -> Any:
        """The same, of one that closes what another call may be waiting for."""
        ...

    async def waited(self, awaitable: Awaitable[Any]) -> Any:
        """What an awaitable gives."""
        ...


class InLoop:
    """In a coroutine."""

    async def plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In a thread."""
        return await asyncio.to_thread(function, *args, **kwargs)

    async def closing(self, function: Callable[..., Any], *args: Any) -> Any:
        """In a thread of its own: all others may be waiting for a connection that this gives back to its pool."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def run() -> None:
            outcome: tuple[Any, BaseException | None]
            try:
                outcome = context.run(function, *args), None
            except BaseException as error:  # noqa: BLE001  (it is raised where it is waited for)
                outcome = None, error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle, over, outcome)

        threading.Thread(target=run, name="holdfast-dependency", daemon=True).start()
        return await over

    async def waited(self, awaitable: Awaitable[Any]) -> Any:
        """Here."""
        return await awaitable


class InThread:
    """In a thread, without giving way; awaitables in this event loop, or in one that is made for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._own: threading.Thread | None = None

    async def plain(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Here."""
        return function(*args, **kwargs)

    async def closing(self, function: Callable[..., Any], *args: Any) -> Any:
        """Here."""
        return function(*args)

    async def waited(self, awaitable: Awaitable[Any]) -> Any:
        """In the event loop, while this thread waits."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._own = threading.Thread(target=self._loop.run_forever, name="holdfast-dependencies", daemon=True)
            self._own.start()
        return asyncio.run_coroutine_threadsafe(_result(awaitable), self._loop).result()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine returns that never gives way."""
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        finally:
            if self._own is not None and self._loop is not None:
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._own.join()
                self._loop.close()
        raise AssertionError("nothing is waited for but in another thread")


def _settle(over: "asyncio.Future[Any]", outcome: tuple[Any, BaseException | None]) -> None:
    result, error = outcome
    if over.done():
        return
    if error is None:
        over.set_result(result)
    else:
        over.set_exception(error)


async def _result(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _key(call: Any) -> Any:
    """By which it is known; of an object that has no hash, its id."""
    return call if isinstance(call, Hashable) else id(call)


class Scope:
    """The values of one call: made when they are needed, and closed in the opposite order."""

    def __init__(self, task: str, overrides: Mapping[Any, Callable[..., Any]], job: HeldJob | None, ways: Ways) -> None:
        self._task = task
        self._overrides = overrides
        self._job = job
        self._ways = ways
        self._made: dict[Any, Any] = {}
        self._open: list[Any] = []  # generators, plain and asynchronous

    async def call(self, function: Callable[..., Any], needs: Mapping[str, Dependency], *args: Any, **kwargs: Any) -> Any:
        """Call a function with what it needs, and close that. A dependency that swallows the function's exception does not make it a success."""
        try:
            injected = {name: await self._value(each) for name, each in needs.items()}
            result = function(*args, **kwargs, **injected)
            if inspect.iscoroutine(result):
                result = await self._ways.waited(result)
        except BaseException as error:
            trace = error.__traceback__
            await self._close(error)
            error.__traceback__ = trace  # without the way through those that saw it, too
            raise
        await self._close(None)
        return result

    async def _value(self, dependency: Dependency) -> Any:
        key = _key(dependency.call)
        if dependency.use_cache and key in self._made:
            return self._made[key]
        source = dependency
        if key in self._overrides:
            source = read(self._task, self._overrides[dependency.call])
        given = {name: await self._value(each) for name, each in source.needs.items()}
        given |= dict.fromkeys(source.takes_job, self._job)
        self._made[key] = value = await self._make(source.call, given)
        return value

    async def _make(self, call: Callable[..., Any], given: dict[str, Any]) -> Any:
        function = call if inspect.isroutine(call) or isinstance(call, type) else type(call).__call__
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            made = call(**given)
            value = await self._step(made, None, self._ways.plain)
            if value is _EXHAUSTED:
                raise RuntimeError(f"{self._task}: {function.__qualname__} has yielded nothing")
            self._open.append(made)
            return value
        if inspect.iscoroutinefunction(function):
            return await self._ways.waited(call(**given))
        return await self._ways.plain(call, **given)

    async def _step(self, made: Any, error: BaseException | None, call: Callable[..., Awaitable[Any]]) -> Any:
        """What a generator yields next; `_EXHAUSTED` if it has ended."""
        if inspect.isasyncgen(made):
            try:
                return await self._ways.waited(made.__anext__() if error is None else made.athrow(error))
            except StopAsyncIteration:
                return _EXHAUSTED
        return await call(_next, made, error)

    async def _close(self, error: BaseException | None) -> None:
        """Close all, whatever one of them raises; raises that, if the call has not raised."""
        raised = None
        while self._open:
            made = self._open.pop()
            try:
                if await self._step(made, error, self._ways.closing) is not _EXHAUSTED:
                    raise RuntimeError(f"{self._task}: {made.__qualname__} has yielded more than once")
            except BaseException as worse:  # noqa: BLE001  (the others are closed first)
                if worse is not error:
                    error = raised = worse
        if raised is not None:
            raise raised


def _next(made: Generator[Any, Any, Any], error: BaseException | None) -> Any:
    try:
        return next(made) if error is None else made.throw(error)
    except StopIteration:
        return _EXHAUSTED
