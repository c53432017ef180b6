"""A task of Django's, with what Holdfast adds: retries, unique keys, groups, budgets, a deadline, a timeout."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self, overload

from django.utils.module_loading import import_string

from holdfast.client.budgets import Charge
from holdfast.django.compat import DEFAULT_TASK_BACKEND_ALIAS, DEFAULT_TASK_PRIORITY, DEFAULT_TASK_QUEUE_NAME, InvalidTask, Task
from holdfast.limits import FAIR_KEY_CHARS, KEY_CHARS, TYPE_CHARS
from holdfast.tasks import options
from holdfast.tasks.options import Duration, Key, OnConflict, Retry, UniqueWhile

_JOB_FIELDS = ("max_attempts", "retry", "expires", "unique_while", "on_conflict", "debounce_max", "group_limit", "tags", "meta")
_USUAL: dict[str, Any] = {  # Django 6.0's tasks have no defaults of their own
    "priority": DEFAULT_TASK_PRIORITY,
    "queue_name": DEFAULT_TASK_QUEUE_NAME,
    "run_after": None,
}
_OPTIONS = {"unique_key": "unique", "group_key": "group"}  # a keyword that `holdfast.tasks` calls otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldfastTask(Task):
    """What `@task(…)` and `.using(…)` take beside Django's own keywords; each is None where it is not given.

    `max_attempts`, `retry`: try again after an exception, so often and with such delays. `unique_key`, `group_key`, `fair_key`: a text, or a
    function of some of the arguments that gives one. `timeout`: of one attempt. Durations are `timedelta`s or seconds.
    """

    max_attempts: int | None = None
    retry: Retry | None = None
    unique_key: Key | None = None
    unique_while: UniqueWhile | None = None
    on_conflict: OnConflict | None = None
    debounce_max: Duration | None = None
    group_key: Key | None = None
    group_limit: int | None = None
    fair_key: Key | None = None
    budgets: Sequence[Charge] | None = None
    expires: Duration | None = None
    timeout: Duration | None = None
    tags: Sequence[str] | None = None
    meta: Mapping[str, str] | None = None

    def using(self, **changes: Any) -> Self:
        """This task with other values of these keywords."""
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def __reduce__(self) -> Any:
        """Pickled as the task of its module, with what differs: a key may be a function without a name."""
        whole = import_string(self.module_path)
        changes = {
            field.name: value for field in fields(self) if (value := getattr(self, field.name)) != getattr(whole, field.name)
        }
        return _again, (self.module_path, changes)

    @property
    def timeout_s(self) -> float | None:
        """The bound of one attempt, in seconds."""
        return None if self.timeout is None else options.milliseconds("timeout", self.timeout, 1) / 1_000

    @property
    def is_retried(self) -> bool:
        """Whether an exception is followed by another attempt: Django's tasks are not, unless they ask for it."""
        return self.retry is not None or (self.max_attempts or 1) > 1


def _again(path: str, changes: dict[str, Any]) -> Any:
    return replace(import_string(path), **changes)


@overload
def task(function: Callable[..., Any], /) -> HoldfastTask: ...
@overload
def task(*, backend: str = ..., **given: Any) -> Callable[[Callable[..., Any]], HoldfastTask]: ...
def task(function: Callable[..., Any] | None = None, *, backend: str = DEFAULT_TASK_BACKEND_ALIAS, **given: Any) -> Any:
    """As Django's `task`, and the keywords of `HoldfastTask` also where that does not take them: in Django 6.0, and with other backends in tests."""

    def define(function: Callable[..., Any]) -> Any:
        return HoldfastTask(func=function, backend=backend, **_USUAL | given)

    return define if function is None else define(function)


def validate(task: Any) -> None:
    """Raise `InvalidTask` for what Holdfast would refuse when the task is enqueued."""
    if len(task.module_path) > TYPE_CHARS:
        raise InvalidTask(f"{task.module_path}: the path of a task is at most {TYPE_CHARS} characters long.")
    try:
        if isinstance(task, HoldfastTask):
            _options(task)
            task.timeout_s  # noqa: B018
            for key in _keys(task).values():
                if callable(key):
                    _asked(task, key)
    except ValueError as error:
        raise InvalidTask(str(error)) from None


def job_fields(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What the task says of its jobs, as the client has it. Raises `InvalidTask`."""
    if not isinstance(task, HoldfastTask):
        return {}
    found = _options(task)
    for name, key in _keys(task).items():
        value = key(**_arguments(task, key, args, kwargs)) if callable(key) else key
        before = (
            f"{task.module_path}:" if name == "unique_key" else ""
        )  # the server has one space of keys for a queue, and a task its own
        text = f"{before}{value}"
        most = FAIR_KEY_CHARS if name == "fair_key" else KEY_CHARS
        if value in (None, "") or len(text) > most:
            raise InvalidTask(
                f"{task.module_path}: {name}: {value!r} is no key of 1 to {most} characters, with {before!r} in front."
            )
        found[name] = text
    return found


def _options(task: HoldfastTask) -> dict[str, Any]:
    given = {name: value for name in _JOB_FIELDS if (value := getattr(task, name)) is not None}
    given |= {_OPTIONS[name]: value for name, value in _keys(task).items() if name in _OPTIONS}
    if task.budgets is not None:
        given["budgets"] = list(task.budgets)
    if task.meta is not None:
        given["meta"] = dict(task.meta)
    if task.tags is not None:
        given["tags"] = list(task.tags)
    return options.fields(task.module_path, given)


def _keys(task: HoldfastTask) -> dict[str, Key]:
    names = ("unique_key", "group_key", "fair_key")
    return {name: key for name in names if (key := getattr(task, name)) is not None}


def _asked(task: Any, key: Callable[..., object]) -> list[str]:
    """The arguments that a key depends on."""
    names = list(inspect.signature(key).parameters)
    known = inspect.signature(task.func).parameters
    for name in names:
        if name not in known:
            raise ValueError(f"{task.module_path}: a key asks for {name!r}, which is no parameter of the task.")
    return names


def _arguments(task: Any, key: Callable[..., object], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    context = [None] if task.takes_context else []
    try:
        bound = inspect.signature(task.func).bind(*context, *args, **kwargs)
    except TypeError as error:
        raise InvalidTask(f"{task.module_path}: {error}, so its keys can't be made.") from None
    bound.apply_defaults()
    return {name: bound.arguments[name] for name in _asked(task, key)}
