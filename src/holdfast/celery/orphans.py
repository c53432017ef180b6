"""Queues that were to go with their consumer, and whose consumer was killed: the next process that declares such a queue removes them.

One is removed when no running worker takes from it, and it was made longer ago than it may be unused; if a message waits in it, only where
messages do not live long either, as those of remote control.
"""

import os
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from holdfast import errors
from holdfast.celery.exchanges import TEMPORARY
from holdfast.client import Client
from holdfast.client.types import Interest

EVERY_S = 600.0
_AT_LEAST = timedelta(minutes=10)
_LONG = timedelta(hours=1)
_ALL = ("scheduled", "ready", "dead", "cancelled", "concluded")
_swept: dict[tuple[int, str], float] = {}


def remove_in_background(client: Client, url: str) -> None:
    """Do it in a thread, once in a while."""
    process, now = (os.getpid(), url), time.monotonic()
    if now - _swept.get(process, -EVERY_S) >= EVERY_S:
        _swept[process] = now
        threading.Thread(target=remove, args=(client,), name="holdfast-orphans", daemon=True).start()


def remove(client: Client, now: datetime | None = None) -> list[str]:
    """Remove them; returns their names."""
    removed = []
    with suppress(errors.HoldfastError):  # it is no one's errand, and the key may not allow it
        temporary = [
            interest for interest in client.interests() if not isinstance(interest.match, str) and TEMPORARY in interest.match
        ]
        taken = {queue for worker in client.workers() for queue in worker.queues} if temporary else set()
        for interest in temporary:
            if interest.queue not in taken and _is_old(client, interest, now or datetime.now(UTC)):
                delete(client, interest.queue)
                removed.append(interest.queue)
    return removed


def _is_old(client: Client, interest: Interest, now: datetime) -> bool:
    unused = timedelta(milliseconds=int(interest.match[TEMPORARY]))  # type: ignore[index]
    queue = client.queue(interest.queue)
    waits = queue.jobs.ready + queue.jobs.scheduled + queue.jobs.leased
    return now - queue.created_at > max(unused, _AT_LEAST) and (not waits or unused < _LONG)


def delete(client: Client, queue: str) -> None:
    """Remove a queue with its bindings and its messages; what is being run in it stays."""
    with suppress(errors.QueueNotFound):
        client.delete_interest(queue)
    with suppress(errors.QueueNotFound, errors.WrongState):
        client.purge(queue, _ALL)
        client.delete_queue(queue)
