"""What `holdfast bench` and `holdfast verify` share: a queue that nobody else has, which is gone when they end, and how they are interrupted."""

import asyncio
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import click

from holdfast.cli.context import INTERRUPTED, Duration
from holdfast.cli.output import tell
from holdfast.client import AsyncClient
from holdfast.client.types import QueueSettings
from holdfast.errors import HoldfastError

T = TypeVar("T")
_STATES = ("scheduled", "ready", "dead", "concluded", "cancelled")


def prefix_option(usual: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--prefix`, for a key that does not see every queue."""
    return click.option(
        "--prefix", default=usual, show_default=True, help="Begin the queue's name so, for a key that has only some queues."
    )


def for_option(longest_ms: int, in_words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--for`."""
    return click.option(
        "--for",
        "for_ms",
        type=Duration(longest_ms),
        default="10s",
        show_default=True,
        help=f"How long jobs are enqueued; at most {in_words}.",
    )


@asynccontextmanager
async def own_queue(client: AsyncClient, prefix: str, settings: QueueSettings, keep: Callable[[], bool]) -> AsyncIterator[str]:
    """Make a queue with a name that no other has, and delete it with all its jobs at the end, unless it is to be kept for a look."""
    name = f"{prefix}-{secrets.token_hex(6)}"
    await client.set_queue(name, **settings)
    try:
        yield name
    finally:
        if keep():
            tell(f"holdfast: the queue {name} is kept, for a look at its jobs; `holdfast queue delete {name}` removes it")
        else:
            await _removed(client, name)


async def _removed(client: AsyncClient, name: str) -> None:
    try:
        held = [job async for job in client.jobs(queue=name, state="leased", payload=False)]
        for job in held:  # of an answer that was lost
            await client.release_lease(job.id, job.attempt)
        await client.purge(name, _STATES)
        await client.delete_queue(name)
    except HoldfastError as error:
        tell(f"holdfast: the queue {name} is left: {error}; remove it by `holdfast queue purge` and `holdfast queue delete`")


def run_trial(trial: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, or until Ctrl-C or SIGTERM, after which it still removes what it made."""

    async def interruptible() -> T:
        task = asyncio.ensure_future(trial)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        return await task

    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        tell("holdfast: interrupted")
        sys.exit(INTERRUPTED)


async def with_one_refusal(run: Awaitable[T]) -> T:
    """Of the refusals that end the tasks of a group, raise the first alone."""
    try:
        return await run
    except* HoldfastError as errors:
        raise _first_of(errors) from None


def _first_of(errors: BaseExceptionGroup[HoldfastError]) -> HoldfastError:
    found = errors.exceptions[0]
    return _first_of(found) if isinstance(found, BaseExceptionGroup) else found
