"""What can't be a task is refused where it is defined, with a sentence."""

import pathlib
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from holdfast.tasks import Job, Retry, RetryAfter, Snooze, Tasks

if TYPE_CHECKING:
    from decimal import Decimal


@pytest.fixture
def tasks() -> Tasks:
    return Tasks()


def unannotated(user_id): ...
def many(*ids: int) -> None: ...
def named(**ids: int) -> None: ...
def positional(user_id: int, /) -> None: ...
def unknown_name(price: "Decimal") -> None: ...
def unreadable(at: "int ||") -> None: ...  # noqa: F722
def path(where: pathlib.Path) -> None: ...
def nested(where: list[dict[str, pathlib.Path]]) -> None: ...
def gives_path() -> pathlib.Path: ...  # type: ignore[empty-body]
def union(either: Job | int) -> None: ...
def late(user_id: int, job: Job) -> None: ...
def generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (unannotated, "unannotated: user_id has no annotation"),
        (many, r"many: \*ids: arguments travel by name"),
        (named, r"named: \*\*ids: arguments travel by name"),
        (positional, "positional: user_id: arguments travel by name"),
        (unknown_name, "unknown_name: price: name 'Decimal' is not defined. What an annotation names"),
        (unreadable, "unreadable: its annotations can't be read"),
        (path, "path: where can't be read from JSON: no rule for Path"),
        (nested, "nested: where can't be read from JSON: no rule for Path"),
        (gives_path, "gives_path: its result can't be read from JSON: no rule for Path"),
        (union, "union: either can't be read from JSON"),
        (late, "late: job: the job has to be the first parameter"),
        (generator, "generator has a yield: a task returns its result"),
        (7, "a task is a function or a coroutine function, not 7"),
        (lambda: None, "a lambda has no name of its own: give it one, name="),
    ],
)
def test_a_function_that_cannot_be_a_task(tasks, function, said):
    with pytest.raises(ValueError, match=said):
        tasks.task(function)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"queue": "a b"}, "send: queue: 'a b' can't be the name of a queue: 1 to 200 of"),
        ({"queue": 7}, "send: queue: 7 can't be the name of a queue"),
        ({"name": ""}, "the name of a task: "),
        ({"name": "x" * 129}, "the name of a task: "),
        ({"max_retries": 3}, "send: there is no option 'max_retries'"),
        ({"time_out": 3}, "send: there is no option 'time_out'; is 'timeout' meant"),
        ({"run_at": 3}, "send: there is no option 'run_at'"),
        ({"max_attempts": 0}, "send: max_attempts: expected `int` >= 1: 0"),
        ({"max_attempts": True}, "send: max_attempts: expected `int`, got `bool`"),
        ({"priority": 1.5}, "send: priority: expected `int`"),
        ({"retry": 3}, "send: retry: 3 is no Retry"),
        ({"timeout": 0}, "send: timeout is from 0.001 to"),
        ({"timeout": "30s"}, "send: timeout is a timedelta or a number of seconds, not '30s'"),
        ({"delay": timedelta(days=-1)}, "send: delay is from 0 to"),
        ({"expires": 0}, "send: expires is from 0.001 to"),
        ({"delay": float("nan")}, "send: delay is a timedelta or a number of seconds"),
        ({"unique": lambda user: user}, "send: unique asks for 'user', which is no parameter of it"),
        ({"unique": 7}, "send: unique is a text, or a function of arguments that gives one, not 7"),
        ({"on_conflict": "existing"}, "send: on_conflict says something about unique, which is not given"),
        ({"unique": "x", "on_conflict": "ignore"}, "send: on_conflict: invalid enum value 'ignore'"),
        ({"group_limit": 2}, "send: group_limit says something about group"),
        ({"tags": "a"}, "send: tags: expected `array`"),
        ({"budgets": ["openai"]}, "send: budgets: expected `object`, got `str`"),
        ({"meta": {"a": 1}}, "send: meta: expected `str`, got `int`"),
    ],
)
def test_an_option_that_cannot_be(tasks, options, said):
    def send(user_id: int) -> None: ...

    with pytest.raises(ValueError, match=said):
        tasks.task(**options)(send)
    if not options.keys() & {"name", "run_at", "timeout", "time_out"}:
        with pytest.raises(ValueError, match=said):
            tasks.task(send).options(**options)


@pytest.mark.parametrize("wrong", [{"base": -1}, {"factor": 0.5}, {"factor": "2"}, {"jitter": 2}, {"max": "1h"}])
def test_a_retry_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=f"the {next(iter(wrong))} of a Retry"):
        Retry(**wrong)


def test_durations_are_timedeltas_or_seconds():
    assert Retry(base=timedelta(seconds=2), max=60).wire() == Retry(base=2, max=timedelta(minutes=1)).wire()
    assert RetryAfter(timedelta(minutes=1), "why").delay_ms == RetryAfter(60).delay_ms == 60_000
    assert Snooze(1.5).delay_ms == 1_500
    with pytest.raises(ValueError, match="the delay is from 0"):
        Snooze(-1)


POSTPONED = """
from __future__ import annotations
from decimal import Decimal
from holdfast.tasks import Job

def price(job: Job, of: Decimal | None = None) -> Decimal:
    return (of or Decimal()) + job.attempt
"""


def test_annotations_that_are_read_later(tasks):
    names = {}
    exec(compile(POSTPONED, "postponed", "exec"), names)
    price = tasks.task(names["price"])
    with tasks.eager():
        assert repr(price.enqueue("1.10").result()) == "Decimal('2.10')"


def test_two_tasks_of_one_name(tasks):
    @tasks.task
    def send() -> None: ...

    with pytest.raises(ValueError, match="there is a task 'send' already"):
        tasks.task(name="send")(unknown_name.__class__(send.__wrapped__.__code__, {}))
    with pytest.raises(ValueError, match="there is a task 'send' already"):
        tasks.stub("send")


def test_a_task_is_made_once(tasks):
    with pytest.raises(ValueError, match=r"fine is a task already; @tasks.cron and @tasks.every stand above @tasks.task"):

        @tasks.task
        @tasks.every(60)
        def fine() -> None: ...


def test_a_schedule_that_cannot_be(tasks):
    @tasks.task
    def needs(user_id: int) -> None: ...

    @tasks.every(60)
    @tasks.task
    def fine() -> None: ...

    with pytest.raises(ValueError, match="needs: nobody gives it its user_id when it runs by itself"):
        tasks.every(60)(needs)
    with pytest.raises(ValueError, match="fine: there is a schedule 'fine' already; give it another name="):
        tasks.cron("* * * * *")(fine)
    with pytest.raises(ValueError, match="'a b' can't be the name of a schedule"):
        tasks.cron("* * * * *", name="a b")(fine)
    with pytest.raises(ValueError, match="every is from 1 to"):
        tasks.every(timedelta(milliseconds=1))
    for options in ({"delay": 5}, {"on_conflict": "existing", "unique": "x"}, {"debounce_max": 5, "unique": "x"}):
        name = next(iter(options))
        with pytest.raises(ValueError, match=f"{name}: a schedule takes no {name}: "):
            tasks.every(60)(tasks.task(name=name, **options)(lambda: None))


def test_tasks_of_a_queue_that_cannot_be():
    with pytest.raises(ValueError, match="can't be the name of a queue"):
        Tasks(queue="a/b")


def test_pydantic_need_not_be_there():
    program = "import sys; sys.modules['pydantic'] = None; from holdfast.tasks import Tasks; Tasks().task(name='a')(lambda: 1)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
