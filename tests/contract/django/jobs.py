"""Tasks that the tests run, some of them in processes of their own."""

import asyncio
import os
import threading
import time
from pathlib import Path

from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection

from holdfast.client import Charge
from holdfast.django import Retry, RetryAfter, Snooze, task

ran: list[object] = []


@task
def add(a, b=0):
    return a + b


@task
async def add_async(a, b=0):
    return a + b


@task
def note(value):
    ran.append(value)


@task
def fail():
    raise KeyError("nothing there")


@task
async def fail_async():
    raise KeyError("nothing there")


@task
def leave():
    raise SystemExit(3)


@task
def unwritable():
    return lambda: True


@task(takes_context=True, max_attempts=3, retry=Retry(base=0))
def third_time(context, wanted=3):
    if context.attempt < wanted:
        raise ValueError(f"attempt {context.attempt}")
    return [context.attempt, context.task_result.id, len(context.task_result.errors)]


@task(takes_context=True, max_attempts=3, retry=Retry(base=0))
async def third_time_async(context, wanted=3):
    if context.attempt < wanted:
        raise ValueError(f"attempt {context.attempt}")
    return [context.attempt]


@task(max_attempts=2, retry=Retry(base=0))
def in_vain():
    raise ValueError("again")


@task
def later():
    raise RetryAfter(3600, "the other side is away")


@task(takes_context=True)
def snoozing(context):
    if not ran:
        ran.append(context.attempt)
        raise Snooze(0)
    return "awake"


@task(unique_key=lambda a: a, on_conflict="existing")
def one_of_each(a, b=0):
    return a


@task(budgets=[Charge("pages", cost=2)], tags=["a"], meta={"tenant": "7"}, group_key="g", expires=60)
def charged():
    return None


@task(timeout=0.05)
async def slow():
    import asyncio  # noqa: PLC0415

    await asyncio.sleep(60)


@task
def users():
    return User.objects.count()


@task
async def users_async():
    return await User.objects.acount()


@task
def thread_is_connected():
    """Whether the connection was there before, and is used."""
    before = connection.connection is not None
    User.objects.count()
    return before


@task
def hold(path):
    """Say who runs it, and run until a file is there."""
    with Path(path).open("a") as log:
        log.write(f"{os.getpid()}\n")
    while not Path(f"{path}.end").exists():
        time.sleep(0.01)
    return os.getpid()


def no_task():
    ran.append("no task")


@task
async def in_threads(together=1):
    """The thread of what a coroutine does with databases; the same in two calls, while others run."""
    name = await sync_to_async(threading.get_ident)()
    ran.append(name)
    while len(ran) < together:  # noqa: ASYNC110  (whichever event loop the other is in)
        await asyncio.sleep(0.01)
    return [name, await sync_to_async(threading.get_ident)()]
