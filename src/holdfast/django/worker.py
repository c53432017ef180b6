"""A worker that runs the tasks of a backend. A job's type is the path of its task, which is imported when the first such job comes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asgiref.sync import ThreadSensitiveContext, iscoroutinefunction, sync_to_async
from django.core.exceptions import SuspiciousOperation
from django.db import close_old_connections, connections, reset_queries
from django.utils import timezone
from msgspec import UNSET, UnsetType

from holdfast.client.aio.client import AsyncClient
from holdfast.client.contents import UnreadableJson
from holdfast.client.held_leases import NO_ANSWER
from holdfast.client.raised import raised
from holdfast.client.sync.client import Client
from holdfast.client.types import Fail, Job
from holdfast.client.worker import DoNotRetry, HeldJob, Worker
from holdfast.client.worker.outcomes import GiveBack, told
from holdfast.client.worker.processes import Said
from holdfast.client.worker.runner import Handler
from holdfast.django.compat import TaskContext, TaskError, TaskResultStatus, normalize_json, task_finished, task_started
from holdfast.django.results import error_path, import_task, result_of, task_of, written

log = logging.getLogger("holdfast.worker")
_AGAIN_MS = 1_000
_TRIES_TO_IMPORT = 100  # attempts, a minute apart in the end, until a task that can't be imported is given up


class DjangoWorker(Worker):
    """Plain functions run in threads, coroutines in the event loop; connections to databases are closed around each as around a request."""

    def __init__(self, backend: Any, queues: list[str], **options: Any) -> None:
        prefix = backend.given.queue_prefix
        options = {"register": True, "url": backend.given.url, **backend.connection, **options}
        super().__init__([prefix + queue for queue in queues], **options)
        self._backend = backend
        self._prefix = prefix
        self._found: dict[str, Handler] = {}
        self._threads = Threads()
        self.handler(raw=True)(self._give_up)

    def _find(self, type: str) -> Handler | None:
        """How a job of this type is run; None, so that it is released: this program does not know the task, another one may."""
        if type in self._found:
            return self._found[type]
        try:
            task = import_task(type)
        except Exception as error:  # noqa: BLE001  (a module may raise anything)
            log.warning("the task %s can't be imported: %s", type, error)
            return Handler(partial(self._unknown, error), raw=True)
        run = self._arun if iscoroutinefunction(task.func) else self._run
        handler = self._found[type] = Handler(run, timeout_s=getattr(task, "timeout_s", None), raw=True)
        return handler

    def _unknown(self, error: Exception, held: HeldJob) -> None:
        """Back to the queue, for a worker of a newer version of the program, with a growing delay; in the end it has failed."""
        if isinstance(error, SuspiciousOperation) or held.attempt > _TRIES_TO_IMPORT:
            raise Said(Fail(token="", error=raised(error), retry=False))
        raise GiveBack(round(1_000 * min(60, 2.0 ** min(held.attempt - 1, 10))))

    def _give_up(self, held: HeldJob) -> None:
        raise DoNotRetry(f"{held.type} is no task.")

    # ------------------------------------------------------------------------------------------------- one attempt

    def _run(self, held: HeldJob) -> Any:
        reset_queries()  # which a project with DEBUG notes for ever
        close_old_connections()
        try:
            job = held.job
            if not _is_first(held):
                try:
                    job = _with_errors(job, self._backend.client(Client).job(held.id))
                except NO_ANSWER as error:
                    raise GiveBack(_AGAIN_MS) from error  # the task has not begun: that is no failure of it
            attempt = Attempt(self._backend, self._prefix, held, job)
            attempt.tell(task_started.send_robust)
            try:
                attempt.returned(attempt.call())
            except BaseException as error:
                said = attempt.failed(error)
                if attempt.is_over:
                    attempt.tell(task_finished.send_robust)
                raise said from error
            attempt.tell(task_finished.send_robust)
            return attempt.value
        finally:
            close_old_connections()

    async def _arun(self, held: HeldJob) -> Any:
        async with self._threads.one():
            job = held.job
            if not _is_first(held):
                try:
                    job = _with_errors(job, await self._backend.client(AsyncClient).job(held.id))
                except NO_ANSWER as error:
                    raise GiveBack(_AGAIN_MS) from error
            attempt = Attempt(self._backend, self._prefix, held, job)
            await _in_the_thread(_begin, attempt)
            try:
                attempt.returned(await attempt.call())
            except BaseException as error:
                said = attempt.failed(error)
                if attempt.is_over:
                    await _in_the_thread(attempt.tell, task_finished.send_robust)
                raise said from error
            await _in_the_thread(attempt.tell, task_finished.send_robust)
            return attempt.value

    async def _work(self, *given: Any) -> None:
        try:
            await super()._work(*given)
        finally:
            await asyncio.to_thread(self._threads.close)


class Threads:
    """Threads for what coroutines do with databases: each serves one attempt at a time, and has its connections for the next as a request has."""

    def __init__(self) -> None:
        self._idle: list[ThreadPoolExecutor] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Within, `sync_to_async` calls in a thread that nobody else uses."""
        thread = self._idle.pop() if self._idle else ThreadPoolExecutor(1, "holdfast-django")
        try:
            async with ThreadSensitiveContext(executor=thread):
                yield
        finally:
            thread.submit(self._free, thread)  # once it has done what was begun, of an attempt that was cut off, too

    def _free(self, thread: ThreadPoolExecutor) -> None:
        close_old_connections()
        self._idle.append(thread)

    def close(self) -> None:
        """End those that are idle."""
        while self._idle:
            thread = self._idle.pop()
            thread.submit(connections.close_all)
            thread.shutdown()


def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


_in_the_thread = sync_to_async(_call)  # the way there and back is most of what an attempt costs: as few as can be


class Attempt:
    """One attempt of a task: its result as far as it has come. The signals are sent before the server knows of the end."""

    def __init__(self, backend: Any, prefix: str, held: HeldJob, job: Job) -> None:
        self.value: Any = None
        self.is_over = False
        self._held = held
        self._sender = type(backend)
        payload = _arguments(held)
        self._task = task_of(job, backend.alias, prefix)
        self._is_retried = held.is_retried = bool(payload.get("retry", getattr(self._task, "is_retried", False)))
        self._result = result_of(job, self._task, backend.alias)

    @property
    def call(self) -> Callable[[], Any]:
        """The task's function with its arguments, and its context if it takes one."""
        context = [TaskContext(task_result=self._result)] if self._task.takes_context else []
        return partial(self._task.func, *context, *self._result.args, **self._result.kwargs)

    def tell(self, send: Callable[..., Any]) -> Any:
        """Tell the receivers of a signal; one that raises is logged by Django, and ends no attempt."""
        return send(self._sender, task_result=self._result)

    def returned(self, value: Any) -> None:
        """What the function returned, as JSON."""
        self.value = normalize_json(value)
        object.__setattr__(self._result, "_return_value", self.value)
        self._ended(TaskResultStatus.SUCCESSFUL)

    def failed(self, error: BaseException) -> Said:
        """What a task raised, as it is told to the server. Raises it again if it is no failure: the task is given back, or cut off."""
        if isinstance(error, asyncio.CancelledError):
            raise error
        entry = told(error, "")
        if not isinstance(entry, Fail):
            raise error
        if isinstance(entry.error, UnsetType):
            entry.error = raised(error)
        entry.retry = entry.retry and (self._is_retried or entry.delay_ms is not UNSET)
        job = self._held.job
        path, trace = error_path(entry.error.kind), written(entry.error.traceback)
        self._result.errors.append(TaskError(exception_class_path=path, traceback=trace))
        if not entry.retry or job.failures + job.crashes + 1 >= job.max_attempts:
            self._ended(TaskResultStatus.FAILED)
        return Said(entry)

    def _ended(self, status: Any) -> None:
        self.is_over = True
        object.__setattr__(self._result, "status", status)
        object.__setattr__(self._result, "finished_at", timezone.now())


def _begin(attempt: Attempt) -> None:
    reset_queries()  # which a project with DEBUG notes for ever
    close_old_connections()
    attempt.tell(task_started.send_robust)


def _arguments(held: HeldJob) -> dict[str, Any]:
    """The payload. Raises `DoNotRetry` for one that no task has: another try would find the same."""
    try:
        payload = None if held.body is not None else held.payload
    except UnreadableJson as error:
        raise DoNotRetry(str(error)) from None
    if not isinstance(payload, dict):
        raise DoNotRetry(f"{held.type}: its payload is no JSON object of args and kwargs")
    if not isinstance(payload.get("args", []), list) or not isinstance(payload.get("kwargs", {}), dict):
        raise DoNotRetry(f"{held.type}: args is a list in its payload, and kwargs an object")
    return payload


def _is_first(held: HeldJob) -> bool:
    return not held.job.failures + held.job.crashes


def _with_errors(leased: Job, seen: Job) -> Job:
    """The leased job with its earlier attempts, which are not sent with a lease."""
    leased.errors = seen.errors
    return leased
