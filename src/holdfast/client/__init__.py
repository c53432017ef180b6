"""The client: `AsyncClient` for asyncio, `Client` without, and their types and errors.

    types.py     what is given and taken                  aio/    the source of the methods, and asyncio's transport
    retry.py     which outcome is tried again, and where  sync/   generated from aio/, and its own transport
    refusals.py  problem documents as exceptions          worker/ the runtime of workers, on top of AsyncClient
    contents.py  JSON that others wrote, read when it is asked for

It imports nothing of the server but leaves such as `errors.py` and `limits.py`. Each client is imported on first use: a command line that
needs no asyncio starts sooner without it.
"""

from typing import TYPE_CHECKING, Any

from holdfast.client.budgets import Block, Budget, Charge
from holdfast.client.contents import UnreadableJson
from holdfast.client.fair import Share, Shares
from holdfast.client.refusals import NotConcluded, UnexpectedAnswer, Unreachable
from holdfast.client.types import Conclude, Event, Extend, Fail, Job, NewJob, Raised, Release, Retry

if TYPE_CHECKING:
    from holdfast.client.aio.client import AsyncClient
    from holdfast.client.sync.client import Client

__all__ = [
    "AsyncClient",
    "Block",
    "Budget",
    "Charge",
    "Client",
    "Conclude",
    "Event",
    "Extend",
    "Fail",
    "Job",
    "NewJob",
    "NotConcluded",
    "Raised",
    "Release",
    "Retry",
    "Share",
    "Shares",
    "UnexpectedAnswer",
    "Unreachable",
    "UnreadableJson",
]


def __getattr__(name: str) -> Any:
    if name == "Client":
        from holdfast.client.sync.client import Client  # noqa: PLC0415

        return Client
    if name == "AsyncClient":
        from holdfast.client.aio.client import AsyncClient  # noqa: PLC0415

        return AsyncClient
    raise AttributeError(f"module 'holdfast.client' has no attribute {name!r}")
