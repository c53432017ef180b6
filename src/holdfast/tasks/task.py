"""A task, and what its calls return. A task with other options is another object of the same name; none is ever changed."""

import copy
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, Unpack

import msgspec
from msgspec import UNSET, Raw

from holdfast.client import types
from holdfast.client.aio.client import AsyncClient
from holdfast.client.contents import encode
from holdfast.client.sync.client import Client
from holdfast.client.types import Job, Lease, NewJob, Receipt
from holdfast.client.worker import HeldJob
from holdfast.limits import FAIR_KEY_CHARS, KEY_CHARS, PRIORITY_DEFAULT
from holdfast.tasks import options
from holdfast.tasks.injection import Dependency, InLoop, InThread, Scope
from holdfast.tasks.options import CallOptions, DefinedOptions, Duration, Key
from holdfast.tasks.signature import Content, InvalidArguments, Signature

if TYPE_CHECKING:
    from holdfast.tasks.tasks import Tasks

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
THEN = "holdfast.then"  # in `meta`: the jobs that follow this one, which its worker puts when it concludes


class Handle(Generic[R]):
    """A call that was enqueued, by this program or another: its `id`, and its result, as the return annotation says."""

    def __init__(self, clients: Callable[[Any], Any], returns: Content, id: int) -> None:
        self.id = id
        self._clients = clients
        self._returns = returns

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    def result(self, timeout: Duration | None = None) -> R:
        """Wait until the job is concluded; raises `NotConcluded` if it ends otherwise, `TimeoutError` after `timeout`, `ValueError` for a result of another
        type.
        """
        return self._read(self._clients(Client).result(self.id, _seconds(timeout)))

    async def aresult(self, timeout: Duration | None = None) -> R:  # noqa: ASYNC109
        """The same in a coroutine."""
        return self._read(await self._clients(AsyncClient).result(self.id, _seconds(timeout)))

    def _read(self, result: Any) -> R:
        read: R = self._returns.read_named(encode(result))
        return read


class Enqueued(Handle[R]):
    """A call that this program has enqueued, with its `receipt`. `durability` says how it is stored; after `many`, nothing."""

    def __init__(self, clients: Callable[[Any], Any], returns: Content, receipt: Receipt) -> None:
        super().__init__(clients, returns, receipt.id)
        self.receipt = receipt
        self.durability = receipt.durability.level if isinstance(receipt, types.Enqueued) else ""


class Task(Generic[P, R]):
    """What producers know of a task: its name, its signature and its options."""

    def __init__(self, tasks: "Tasks", name: str, function: Callable[..., Any] | None, given: dict[str, Any]) -> None:
        self.name = name
        self.function = function
        self.signature = self._read_signature(function)
        self.timeout_s: float | None = None
        if "timeout" in given:
            self.timeout_s = options.milliseconds(f"{name}: timeout", given["timeout"], 1) / 1_000
        self._tasks = tasks
        options.refuse_unknown(name, given, DefinedOptions)
        self._follow_ups: tuple[NewJob, ...] = ()
        self._given = given
        self._read_options()
        if function is not None:
            functools.update_wrapper(self, function, updated=())  # type: ignore[arg-type]

    def _read_signature(self, function: Callable[..., Any] | None) -> Signature:
        return Signature(self.name, function)

    def _read_options(self) -> None:
        given = self._given
        self._fields = options.fields(self.name, given)
        self._call = options.call_fields(self.name, given)
        self._keys: dict[str, tuple[Key, list[str]]] = {
            which: self._read_key(which, given[which]) for which in ("unique", "group", "fair") if which in given
        }

    def _read_key(self, which: str, key: Any) -> tuple[Key, list[str]]:
        """A key, and the arguments that it depends on."""
        if isinstance(key, str):
            return key, []
        if not callable(key):
            raise ValueError(f"{self.name}: {which} is a text, or a function of arguments that gives one, not {key!r}")
        names = list(inspect.signature(key).parameters)
        unknown = [] if self.function is None else [name for name in names if name not in self.signature.parameters]
        if unknown:
            raise ValueError(f"{self.name}: {which} asks for {unknown[0]!r}, which is no parameter of it")
        return key, names

    def run(self, held: HeldJob, arguments: dict[str, Any]) -> Any:
        """Call its function for a job. What it returns may be a coroutine."""
        return self._run([held] if self.signature.takes_job else [], arguments, self.signature.injected, held)

    def _run(self, args: Sequence[Any], kwargs: Mapping[str, Any], needs: Mapping[str, Dependency], held: HeldJob) -> Any:
        """Call its function with what it needs of what is injected."""
        assert self.function is not None, "only what has a function is run"
        if not needs:
            return self.function(*args, **kwargs)
        overrides = self._tasks.dependency_overrides
        if inspect.iscoroutinefunction(self.function):
            return Scope(self.name, overrides, held, InLoop()).call(self.function, needs, *args, **kwargs)
        thread = InThread(held.task.get_loop() if held.task is not None else None)
        return thread.run(Scope(self.name, overrides, held, thread).call(self.function, needs, *args, **kwargs))

    def _just_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call it as a function: what is injected may be given by name."""
        assert self.function is not None, "a stub is not called"
        needs = self.signature.injected
        if not needs and not self.signature.takes_job:
            return self.function(*args, **kwargs)
        held = self._made_up()
        before = [self._jobs_of(held, args)] if self.signature.takes_job else []
        if needs:
            given = inspect.signature(self.function).bind_partial(*before, *args, **kwargs).arguments
            needs = {name: each for name, each in needs.items() if name not in given}
        return self._run([*before, *args], kwargs, needs, held)

    def _jobs_of(self, held: HeldJob, args: tuple[Any, ...]) -> Any:  # noqa: ARG002  (a batch has several)
        return held

    def _made_up(self) -> HeldJob:
        return not_held(NewJob(queue=self.queue, type=self.name))

    @property
    def fields(self) -> Mapping[str, Any]:
        """What its options say of its jobs, but for keys, as it is sent."""
        return self._fields

    @property
    def queue(self) -> str:
        """Where its jobs go."""
        queue: str = self._fields["queue"]
        return queue

    @property
    def lease_ms(self) -> int | None:
        """The lease of its jobs; None: as the worker says."""
        return self._fields.get("lease_ms")

    def options(self, **changes: Unpack[CallOptions]) -> Self:
        """This task with other options. Raises `ValueError`."""
        options.refuse_unknown(self.name, changes, CallOptions)
        other = copy.copy(self)
        put_off = {"delay", "run_at"} if {"delay", "run_at"} & changes.keys() else set()
        other._given = {name: value for name, value in self._given.items() if name not in put_off} | changes  # noqa: SLF001
        other._read_options()  # noqa: SLF001
        return other

    def then(self, other: "Task[Q, Any]", *args: Q.args, **kwargs: Q.kwargs) -> Self:
        """This task, followed by a call of the other: when a job of this one concludes, in the same transaction."""
        follow_up = other.job(*args, **kwargs)
        if not self.known_to_follow(follow_up):
            raise InvalidArguments(f"{self.name}: {other.name} follows only in its own queue, and not in {follow_up.queue}")
        following = copy.copy(self)
        following._follow_ups = (*self._follow_ups, follow_up)  # noqa: SLF001
        return following

    def known_to_follow(self, job: NewJob) -> bool:
        """Whether a job is a task of this program, in the task's own queue."""
        return self._tasks.follows(job)

    def job(self, *args: P.args, **kwargs: P.kwargs) -> NewJob:
        """The job of a call, checked and not sent: for `many`, and for `job.follow` within a task. Raises `InvalidArguments`."""
        bound = self.signature.bind(args, kwargs)
        payload = self.signature.write(bound.arguments)
        job = NewJob(type=self.name, payload=payload, **self._fields)
        bound.apply_defaults()
        if "unique" in self._keys:  # the server has one space of keys for a queue, and a task its own
            job.unique_key = self._key("unique", bound.arguments, f"{self.name}:")
        if "group" in self._keys:
            job.group_key = self._key("group", bound.arguments, "")
        if "fair" in self._keys:
            job.fair_key = self._key("fair", bound.arguments, "", FAIR_KEY_CHARS)
        if self._follow_ups:
            job.meta = {**(job.meta or {}), THEN: encode(self._follow_ups).decode()}
        return job

    def _key(self, which: str, arguments: dict[str, Any], before: str, most: int = KEY_CHARS) -> str:
        key, names = self._keys[which]
        value = key if isinstance(key, str) else key(**{name: arguments[name] for name in names if name in arguments})
        text = f"{before}{value}"
        if value in (None, "") or len(text) > most:
            raise InvalidArguments(
                f"{self.name}: {which}: {value!r} is no key of 1 to {most} characters, with {before!r} in front"
            )
        return text

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> Enqueued[R]:
        """Enqueue a call; it is stored when this returns. Raises `InvalidArguments` before anything is sent, and what `Client.enqueue` raises."""
        job = self.job(*args, **kwargs)
        with self._tasks.enqueueing(job):
            return self._enqueued(self._tasks.client.enqueue(**sent(job), **self._call))

    async def aenqueue(self, *args: P.args, **kwargs: P.kwargs) -> Enqueued[R]:
        """The same in a coroutine."""
        job = self.job(*args, **kwargs)
        with self._tasks.enqueueing(job):
            return self._enqueued(await self._tasks.aclient.enqueue(**sent(job), **self._call))

    def many(self, jobs: Iterable[NewJob]) -> list[Enqueued[R]]:
        """Enqueue calls, `send.many(send.job(n) for n in …)`, in chunks of up to 1,000 that are each all or nothing."""
        listed = self._own(jobs)
        with self._tasks.enqueueing(*listed):
            return [self._enqueued(each) for each in self._tasks.client.enqueue_many(listed, **self._call)]

    async def amany(self, jobs: Iterable[NewJob]) -> list[Enqueued[R]]:
        """The same in a coroutine."""
        listed = self._own(jobs)
        with self._tasks.enqueueing(*listed):
            return [self._enqueued(each) for each in await self._tasks.aclient.enqueue_many(listed, **self._call)]

    def _own(self, jobs: Iterable[NewJob]) -> list[NewJob]:
        listed: list[Any] = list(jobs)
        for job in listed:
            if not isinstance(job, NewJob) or job.type != self.name:
                raise InvalidArguments(f"{self.name}: many takes jobs that {self.name}.job(…) made, not {job!r}")
        return listed

    def handle(self, job_id: int) -> Handle[R]:
        """The handle of a call that was enqueued before, perhaps by another program."""
        return Handle(self._tasks.clients, self.signature.result, job_id)

    def _enqueued(self, receipt: Receipt) -> Enqueued[R]:
        return Enqueued(self._tasks.clients, self.signature.result, receipt)


class SyncTask(Task[P, R]):
    """A task that is a plain function: workers run it in threads."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Just call the function."""
        return self._just_call(args, kwargs)  # type: ignore[no-any-return]


class AsyncTask(Task[P, R]):
    """A task that is a coroutine function: workers run it in their event loop."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Just call the function."""
        return self._just_call(args, kwargs)  # type: ignore[no-any-return]


def not_held(job: NewJob, number: int = 0) -> HeldJob:
    """The job that a task gets where no server has one: in eager mode, and where it is just called."""
    now = datetime.now(UTC)
    given = {name: value for name in ("tags", "meta") if (value := getattr(job, name)) is not UNSET}
    payload = Raw(b"null") if job.payload is UNSET else Raw(msgspec.json.encode(job.payload))
    made = Job(
        id=number, queue=job.queue, type=str(job.type), state="leased", priority=PRIORITY_DEFAULT, attempt=1, max_attempts=1,
        created_at=now, ready_at=now, payload_json=payload, lease=Lease("", "", 0), **given,
    )  # fmt: skip
    return HeldJob(made)


def sent(job: NewJob) -> dict[str, Any]:
    """The fields that a job says."""
    return {name: value for name, value in msgspec.structs.asdict(job).items() if value is not UNSET}


def _seconds(timeout: Duration | None) -> float | None:
    return None if timeout is None else options.milliseconds("timeout", timeout) / 1_000
