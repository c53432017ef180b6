"""`HoldfastBackend`: enqueues tasks, and finds their results."""

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.checks import CheckMessage
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

from holdfast.client import sql
from holdfast.client.aio.client import AsyncClient
from holdfast.client.sync.client import Client
from holdfast.client.types import Job, Receipt
from holdfast.django import settings
from holdfast.django.compat import (
    BaseTaskBackend,
    TaskResult,
    TaskResultDoesNotExist,
    TaskResultStatus,
    normalize_json,
    task_enqueued,
)
from holdfast.django.results import id_of, job_number, local, new_id, result_of, task_of, wire_priority
from holdfast.django.task import HoldfastTask, job_fields, validate
from holdfast.errors import JobNotFound
from holdfast.limits import REQUEST_ID_CHARS

C = TypeVar("C", Client, AsyncClient)
log = logging.getLogger("holdfast.django")
_KNOWN = 10_000  # results whose job's number is kept in mind

_clients: dict[Any, Any] = {}  # of the process: Django makes a backend for each thread
_numbers: "OrderedDict[tuple[Any, str], int]" = OrderedDict()


class HoldfastBackend(BaseTaskBackend):
    """Tasks of Django as jobs of Holdfast: a task's path is the job's type, its arguments are its payload."""

    task_class = HoldfastTask
    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        super().__init__(alias, params)
        self.given = settings.Options.of(self.options)

    def check(self, **_: Any) -> Iterator[CheckMessage]:
        """Django's system checks of the settings."""
        return settings.check(self.alias, self.queues, self.options)

    def validate_task(self, task: Any) -> None:
        """Raise `InvalidTask` for what can't be enqueued."""
        super().validate_task(task)
        validate(task)

    # ------------------------------------------------------------------------------------------------------ enqueue

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Enqueue a call of a task, when the settings say. Raises what `Client.enqueue` raises."""
        self.validate_task(task)
        result, call = self._call(task, args, kwargs)
        if self.given.enqueue == "now":
            self._put(result, call)
        elif self.given.enqueue == "on_commit":
            connection = transaction.get_connection(self.given.database)
            if connection.in_atomic_block:
                connection.on_commit(partial(self._put_after_commit, result, call))
            else:
                self._put(result, call)
        elif self.given.enqueue == "transaction":
            self._put_by_sql(result, call)
        else:
            raise ImproperlyConfigured(f"TASKS[{self.alias!r}]: ENQUEUE can't be {self.given.enqueue!r}.")
        return result

    async def aenqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """The same in a coroutine."""
        if self.given.enqueue != "now":  # a transaction belongs to the thread of Django's synchronous code
            return await sync_to_async(self.enqueue, thread_sensitive=True)(task, args, kwargs)
        self.validate_task(task)
        result, call = self._call(task, args, kwargs)
        self._stored(result, await self.client(AsyncClient).enqueue(**call))
        await task_enqueued.asend(type(self), task_result=result)
        return result

    def _call(self, task: Any, args: Any, kwargs: Any) -> tuple[Any, dict[str, Any]]:
        """The result of a call that is not stored yet, and how the client is called for it."""
        result = TaskResult(
            task=task,
            id=new_id(),
            status=TaskResultStatus.READY,
            enqueued_at=None,
            started_at=None,
            finished_at=None,
            last_attempted_at=None,
            args=normalize_json(list(args)),
            kwargs=normalize_json(dict(kwargs)),
            backend=self.alias,
            errors=[],
            worker_ids=[],
        )
        payload = {"id": result.id, "args": result.args, "kwargs": result.kwargs}
        fields = job_fields(task, args, kwargs)
        if task.run_after is not None:
            fields["run_at"] = task.run_after if task.run_after.tzinfo else task.run_after.astimezone()
            payload["run_after"] = task.run_after.isoformat()
        if self.given.max_attempts is not None and not ("max_attempts" in fields or "retry" in fields):
            fields["max_attempts"] = self.given.max_attempts
        if "retry" in fields or fields.get("max_attempts", 1) > 1:
            payload["retry"] = True
        return result, {
            "queue": self.given.queue_prefix + task.queue_name,
            "payload": payload,
            "type": task.module_path,
            "priority": wire_priority(task.priority),
            "idempotency_key": result.id,
            **fields,
        }

    def _put(self, result: Any, call: dict[str, Any]) -> None:
        self._stored(result, self.client(Client).enqueue(**call))
        task_enqueued.send(type(self), task_result=result)

    def _put_after_commit(self, result: Any, call: dict[str, Any]) -> None:
        """What fails here is logged: raised, it would cost all that is still to be done after the same commit, and the caller a commit that was made."""
        try:
            self._put(result, call)
        except Exception:
            log.exception("The task %s (%s) could not be enqueued after the commit.", result.task.module_path, result.id)

    def _put_by_sql(self, result: Any, call: dict[str, Any]) -> None:
        statement = sql.enqueue(**call)
        connection = transaction.get_connection(self.given.database)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement.text, statement.parameters)
                ((number,),) = cursor.fetchall()
        except Exception as error:
            refused = sql.refusal(error)
            if refused is None:
                raise
            raise refused from error
        self._remember(result.id, number)
        task_enqueued.send(type(self), task_result=result)

    def _stored(self, result: Any, receipt: Receipt) -> None:
        object.__setattr__(result, "enqueued_at", local(receipt.created_at))
        self._remember(result.id, receipt.id)

    # ------------------------------------------------------------------------------------------------------ results

    def get_result(self, result_id: str) -> Any:
        """The result with this id. Raises `TaskResultDoesNotExist`, also before the transaction of its enqueue is committed."""
        client = self.client(Client)
        number = self._known(result_id)
        try:
            if number is None:
                number = self._found(result_id, client.receipts(result_id))
            return self._asked(client.job(number), result_id)
        except JobNotFound as error:
            raise TaskResultDoesNotExist(result_id) from error

    async def aget_result(self, result_id: str) -> Any:
        """The same in a coroutine."""
        client = self.client(AsyncClient)
        number = self._known(result_id)
        try:
            if number is None:
                number = self._found(result_id, await client.receipts(result_id))
            return self._asked(await client.job(number), result_id)
        except JobNotFound as error:
            raise TaskResultDoesNotExist(result_id) from error

    def result_of(self, job: Job, result_id: str | None = None) -> Any:
        """The result of a job. Raises `ImportError` if its task is not there any more."""
        return result_of(job, task_of(job, self.alias, self.given.queue_prefix), self.alias, result_id)

    def _asked(self, job: Job, result_id: str) -> Any:
        """By its number only what has no id of its own: nobody guesses an id, and everybody a number."""
        if job_number(result_id) is not None and not (
            id_of(job) == result_id and job.queue.startswith(self.given.queue_prefix)
        ):
            raise TaskResultDoesNotExist(result_id)
        return self.result_of(job, result_id)

    def _known(self, result_id: Any) -> int | None:
        if not isinstance(result_id, str) or not 0 < len(result_id) <= REQUEST_ID_CHARS or not result_id.isprintable():
            raise TaskResultDoesNotExist(result_id)
        if not result_id.isascii():
            raise TaskResultDoesNotExist(result_id)
        return job_number(result_id) or _numbers.get((self._place(Client), result_id))

    def _found(self, result_id: str, receipts: list[Receipt]) -> int:
        if not receipts:
            raise TaskResultDoesNotExist(result_id)
        self._remember(result_id, receipts[0].id)
        return receipts[0].id

    def _remember(self, result_id: str, number: int) -> None:
        _numbers[self._place(Client), result_id] = number
        while len(_numbers) > _KNOWN:
            _numbers.popitem(last=False)

    # ------------------------------------------------------------------------------------------------------ clients

    def client(self, kind: type[C]) -> C:
        """The client of this process for the backend's server."""
        place = self._place(kind)
        if place not in _clients:
            _clients.setdefault(place, kind(self.given.url, deadline_s=self.given.deadline_s, **self.connection))
        found: C = _clients[place]
        return found

    @property
    def connection(self) -> dict[str, Any]:
        """How servers are reached, as `Client` and `Worker` take it."""
        given = self.given
        files = {"ca_file": given.ca_file, "client_cert": given.client_cert, "client_key": given.client_key}
        return {"token": given.token, **{name: file for name, file in files.items() if file is not None}}

    def _place(self, kind: Callable[..., Any]) -> tuple[Any, ...]:
        given = self.given
        ours = (given.url, given.token, given.deadline_s, given.ca_file, given.client_cert, given.client_key)
        return (kind, *ours, os.environ.get("HOLDFAST_URL"), os.environ.get("HOLDFAST_TOKEN"))
